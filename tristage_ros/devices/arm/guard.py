"""The last word on every set-point: whatever is asked, what leaves is finite, within limits and near the arm.

| violation | answer |
|---|---|
| joint beyond its limit less a margin | clamped, having slowed down before it |
| faster or harder accelerated than allowed | clamped |
| farther ahead of the measured joints than its lead: `max_lead` at full speed, less at less | clamped; the path slows \
down from half of it on |
| tool about to leave the workspace; any part of the arm, its fingers open, about to leave the box or to meet table, \
base or a keep-out box | held where it is, fault |
| faster than the operator's share of the speed; tool, camera or elbow faster than `tool_speed` | clamped |
| set-point missing, not finite or malformed | slows down and holds; fault after `command_timeout` |
| feedback older than `stale_after` / `gap_after` / `lost_after` | slows down and holds / the path ends, and only a \
newer observation may move the arm / fault |
| feedback that repeats itself while the set-points move on | fault after `frozen_after` |
| arm blocked for `blocked_after` | fault |
| first set-point away from the measured joints | refused to start |
| gripper beyond its range / not finite | clamped / last one kept |

A fault stays until `clear()`; while it does, the speed limit falls to 0, and nothing moves but what lets go. The guard
has no clock and no threads: time is passed in, s.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tristage_ros.devices.arm.body import Body
from tristage_ros.devices.arm.kinematics import GRIPPER_RANGE, JOINT_LIMITS, JOINT_MAX_VELOCITY, link_poses
from tristage_ros.devices.arm.tool_speed import ToolSpeed
from tristage_ros.devices.arm.workspace import Workspace

Floats = NDArray[np.float64]

LEAST_LEAD = 0.05  # rad that a set-point may be ahead beyond the standing offset, however slow the arm is to be
RELIEF_SPEED = 0.5  # rad/s, at which an arm lets go of what it presses on
_OUTSIDE = 2e-3  # m outside the workspace that a set-point may be; twice what is accepted of a path beforehand
_AT_ONCE = 256  # joint positions of a path that are looked at together: others need the interpreter, too
_STANDING = 1e-3  # rad that a set-point moves before its arm can be expected to be seen moving


@dataclass(frozen=True)
class GuardConfig:
    """Hold the limits of the set-point stream."""

    joint_limits: tuple[tuple[float, float], ...] = tuple((float(low), float(high)) for low, high in JOINT_LIMITS)
    position_margin: float = 0.01  # rad kept from every joint limit
    max_velocity: float = 2.0  # rad/s, of the set-points
    max_acceleration: float = 10.0  # rad/s^2, of the set-points
    max_lead: float = 0.25  # rad that a set-point may be ahead of the measured joint, at full speed
    max_first_step: float = 0.05  # rad between the first set-point and the measured joints
    gripper_range: tuple[float, float] = GRIPPER_RANGE  # m
    workspace: Workspace = field(default_factory=Workspace)
    body: Body = field(default_factory=Body)
    tool_speed: float = math.inf  # m/s, of the fastest of grasp centre, fingertips, cameras and elbow
    stale_after: float = 0.05  # s without feedback: slow down and hold
    gap_after: float = 0.25  # s without feedback: the path ends
    lost_after: float = 1.0  # s without feedback: fault
    frozen_after: float = 0.2  # s of unchanged feedback while the set-point moves by `frozen_travel`: fault
    frozen_travel: float = 0.05  # rad
    blocked_after: float = 1.0  # s at the end of the lead: fault
    command_timeout: float = 0.1  # s without a valid set-point: fault

    def __post_init__(self) -> None:
        """Refuse limits that the arm does not have.

        Raises:
            ValueError: a limit is wider than the Piper's, not positive, or out of order.
        """
        limits = np.asarray(self.joint_limits)
        if limits.shape != (6, 2) or not (JOINT_LIMITS[:, 0] <= limits[:, 0]).all():
            raise ValueError(f"joint_limits are six (lower, upper) within {JOINT_LIMITS.tolist()} rad, not {limits}")
        if not (limits[:, 1] <= JOINT_LIMITS[:, 1]).all() or not (np.ptp(limits, 1) > 2 * self.position_margin).all():
            raise ValueError(f"joint_limits {limits.tolist()} are beyond the Piper's or leave nothing between them")
        if not 0.0 < self.max_velocity <= JOINT_MAX_VELOCITY:
            raise ValueError(f"max_velocity is above 0 and at most {JOINT_MAX_VELOCITY} rad/s, not {self.max_velocity}")
        positive = ("max_acceleration", "max_lead", "max_first_step", "blocked_after", "command_timeout")
        for name in (*positive, "frozen_after", "frozen_travel"):
            if not 0.0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} is positive and finite, not {getattr(self, name)}")
        if self.position_margin < 0.0 or not 0.0 < self.stale_after < self.gap_after < self.lost_after < math.inf:
            raise ValueError("position_margin is not negative, and 0 < stale_after < gap_after < lost_after")
        if not self.tool_speed > 0.0:
            raise ValueError(f"tool_speed is above 0 m/s, not {self.tool_speed}")
        low, high = self.gripper_range
        if not GRIPPER_RANGE[0] <= low < high <= GRIPPER_RANGE[1]:
            raise ValueError(f"gripper_range is within {GRIPPER_RANGE} m, not {self.gripper_range}")


@dataclass(frozen=True)
class Setpoint:
    """Hold what may be sent to the arm."""

    position: Floats  # [6] rad
    gripper: float  # m, total opening
    limited: str  # why it is not what was asked for, "" when it is


class RefusedError(ValueError):
    """Say why something was refused; nothing was changed."""


class Guard:
    """Pass the set-points of one arm, limited.

    Invariants of every `Setpoint`, whatever came in: finite; within the joint limits; within the lead of the measured
    joints and their standing offset (where the joint limits allow), or latched; no farther from the last one than
    `max_velocity` times the step, except to follow an arm that was moved away; unmoved once a latched one has come to
    rest, except to let go.
    """

    def __init__(self, config: GuardConfig, dh_is_offset: bool = True) -> None:
        """Begin released: nothing may be sent until `engage`."""
        self.config = config
        self.fault = ""  # why it is latched, "" when it is not
        self.mistrusts = False  # latched because the joints cannot be where they say: nothing is led by them
        limits = np.array(config.joint_limits)
        self._lower, self._upper = limits[:, 0], limits[:, 1]
        self._dh_is_offset = dh_is_offset
        self.tool_speed = ToolSpeed(config.tool_speed, config.body, dh_is_offset)
        self._position: Floats | None = None
        self._velocity = np.zeros(6)  # rad/s, mean of the last step
        self._step = 0.0  # s, the last one
        self._gripper = 0.0
        self.speed_scale = 1.0  # 0..1 of `max_velocity`, the operator's
        self.share = 1.0  # 0..1 of full speed that the present path has, from which the lead follows
        self.period = 0.0  # s between two samples of the joints, as they come
        self.standing = np.zeros(6)  # rad by which the arm hangs below its set-points, see `contact`
        self._top = config.max_velocity  # rad/s, what a fault or the operator has left of it
        self._invalid_since = math.inf
        self._blocked_since = math.inf
        self._seen = (math.inf, np.zeros(6), np.zeros(6))  # since which feedback, measured joints, set-point then

    def engage(self, target: ArrayLike, gripper: float, measured: ArrayLike) -> None:
        """Begin a stream of set-points at `target` [6] rad, at rest; `gripper` in m.

        Raises:
            RefusedError: latched, not finite, too far from the measured joints [6], or those are beyond their limits.
        """
        first, now = np.asarray(target, dtype=float), np.asarray(measured, dtype=float)
        self.check_start(first, gripper, now)
        self._position, self._gripper = np.clip(first, self._lower, self._upper), self._clip_gripper(gripper)
        self._seen = (math.inf, now, self._position)
        self._velocity, self._step = np.zeros(6), 0.0
        self._top = self.speed_scale * self.config.max_velocity
        self._invalid_since = self._blocked_since = math.inf

    def check_start(self, first: Floats, gripper: float, now: Floats) -> None:
        """Check that a stream may begin at `first` [6] rad with the joints at `now`; raises what `engage` does."""
        if self.fault:
            raise RefusedError(f"fault: {self.fault}")
        if first.shape != (6,) or now.shape != (6,) or not np.isfinite([*first, *now, gripper]).all():
            raise RefusedError(f"first set-point {first}, gripper {gripper} or measured joints {now} are not finite")
        step, joint = _worst(first - now)
        if step > self.config.max_first_step:
            raise RefusedError(
                f"first set-point is {step:.3f} rad from measured joint {joint}, more than {self.config.max_first_step}"
            )
        beyond, joint = _worst(now - np.clip(now, self._lower, self._upper))
        if beyond > self.config.max_first_step:
            raise RefusedError(f"joint {joint} is {beyond:.3f} rad beyond its limit; move it back by hand")

    def release(self) -> None:
        """End the stream of set-points."""
        self._position = None

    def rest(self, position: Floats) -> None:
        """Take the last set-point to be `position` [6] rad, and the arm to stand there, as after a pause in sending."""
        self._position, self._velocity, self._step = position.copy(), np.zeros(6), 0.0

    def latch(self, reason: str) -> None:
        """Enter the fault state; the first reason stays."""
        self.fault = self.fault or reason

    def clear(self) -> None:
        """Leave the fault state."""
        self.fault, self.mistrusts = "", False
        self._seen = (math.inf, np.zeros(6), np.zeros(6))
        self._invalid_since = self._blocked_since = math.inf

    @property
    def stale_after(self) -> float:
        """Return after how long without feedback the arm slows down, s: longer where its feedback comes seldom."""
        return min(self.config.lost_after / 2, max(self.config.stale_after, 2.5 * self.period))

    @property
    def gap_after(self) -> float:
        """Return after how long without feedback a path ends, s."""
        return min(self.config.lost_after, max(self.config.gap_after, 5.0 * self.period))

    @property
    def lead(self) -> float:
        """Return how far, rad, a set-point may now be ahead of the measured joints and their standing offset."""
        return min(self.config.max_lead, max(LEAST_LEAD, self.share * self.config.max_lead))

    @property
    def position(self) -> Floats:
        """Return the last set-point, [6] rad. Raises RefusedError where there is none."""
        if self._position is None:
            raise RefusedError("set-points are refused until the guard is engaged")
        position: Floats = self._position.copy()
        return position

    @property
    def gripper(self) -> float:
        """Return the last opening, m."""
        return self._gripper

    @property
    def velocity(self) -> Floats:
        """Return how fast the set-points move, [6] rad/s."""
        velocity: Floats = self._velocity.copy()
        return velocity

    @property
    def braked(self) -> Floats:
        """Return where the set-points come to rest if they are braked from now on, [6] rad."""
        return self.position + self._velocity * np.abs(self._velocity) / self.config.max_acceleration

    def allowance(self, now: float, stamp: float, measured: ArrayLike) -> float:
        """Return the share 0..1 of its speed at which the path may go on, given feedback [6] rad of time `stamp`.

        It falls from 1 at half of the lead to 0 at 0.8 of it, so that a path waits for its arm.
        """
        config, age = self.config, now - stamp
        if not age <= config.lost_after:  # also catches NaN
            self.latch(f"no joint feedback for {age:.2f} s, more than {config.lost_after}")
        arm = np.asarray(measured, dtype=float)
        if self.fault or age > self.stale_after or self._position is None or not np.isfinite(arm).all():
            return 0.0
        if self._frozen(stamp, arm, self._position):
            return 0.0
        lead, joint = _worst(self._position - arm - self.standing)
        if lead < 0.75 * self.lead:
            self._blocked_since = math.inf
        elif now - min(self._blocked_since, now) >= config.blocked_after:
            self.latch(f"the arm does not follow: joint {joint} is {lead:.3f} rad from its set-point")
        else:
            self._blocked_since = min(self._blocked_since, now)
        return float(np.clip((0.8 - lead / self.lead) / 0.3, 0.0, 1.0))

    def filter(
        self,
        now: float,
        step: float,
        proposed: ArrayLike | None,
        gripper: float,
        measured: ArrayLike,
        letting_go: bool = False,
    ) -> Setpoint:
        """Return the set-point to send `step` s after the last one, near `proposed` [6] rad, given measured [6] rad.

        `letting_go`: in a fault, too, since `proposed` leads away from what the arm presses on.

        Raises:
            RefusedError: not engaged, or `step` or `measured` is unusable.
        """
        last, arm = self._position, np.asarray(measured, dtype=float)
        if last is None:
            raise RefusedError("set-points are refused until the guard is engaged")
        if not 0.0 < step <= 1.0 or arm.shape != (6,) or not np.isfinite(arm).all():
            raise RefusedError(f"step {step} s is not within 0..1 or the measured joints {arm} are not finite")
        wish = self._validated(now, proposed)
        fall = self.config.max_acceleration / 2 * step  # gentler than a path's own braking, which comes first
        allowed = self.speed_scale * self.config.max_velocity
        if self.fault:
            allowed = RELIEF_SPEED if letting_go else 0.0
        self._top = max(allowed, self._top - fall)
        velocity = self._limited_velocity(np.zeros(6) if wish is None else wish - last, last, step)
        target = last + self.tool_speed.share(last, last + velocity * step, step) * velocity * step
        reason = "" if wish is None or np.abs(target - wish).max() < 1e-9 else _excuse(wish, last, target)
        if wish is None:
            reason = "no valid set-point"
        led = self._led(target, arm, letting_go)
        if not np.array_equal(led, target):
            reason = f"joint {_worst(led - target)[1]} waits for the arm"
        if not letting_go and (outside := self._trespasses(np.stack([last, led]), _OUTSIDE)):
            self.latch(outside)
            reason = outside
            led = self._led(last, arm, letting_go)
        self._velocity = np.clip((led - last) / step, -self.config.max_velocity, self.config.max_velocity)
        self._position, self._gripper, self._step = led, self._clip_gripper(gripper), step
        return Setpoint(led.copy(), self._gripper, reason)

    def _led(self, target: Floats, arm: Floats, letting_go: bool) -> Floats:
        """Return the target within the joint limits and near the arm; in a fault it follows no arm that moves."""
        if not self.fault and not letting_go:
            near = arm + self.standing
            target = np.clip(target, near - self.lead, near + self.lead)
        within: Floats = np.clip(target, self._lower, self._upper)
        return within

    def check_path(self, path: Floats) -> None:
        """Check joint positions [n, 6] along a path, the first of which is the present set-point.

        Raises:
            RefusedError: it leaves the joint limits less their margin, the tool its workspace or a part of the arm the
                box, or one gets into table, base or a keep-out box. A path that begins there may only lead out.
        """
        margin, start = self.config.position_margin, path[0]
        low, high = np.minimum(self._lower + margin, start), np.maximum(self._upper - margin, start)
        beyond, joint = _worst((path - np.clip(path, low, high)).ravel()[None])
        if beyond > 1e-6:
            raise RefusedError(f"the path takes joint {(joint - 1) % 6 + 1} {beyond:.3f} rad beyond its limit")
        if outside := self._trespasses(path, _OUTSIDE / 2):
            raise RefusedError(f"on the path {outside}")

    def _validated(self, now: float, proposed: ArrayLike | None) -> Floats | None:
        wish = None if proposed is None else np.asarray(proposed, dtype=float)
        if wish is not None and wish.shape == (6,) and np.isfinite(wish).all():
            self._invalid_since = math.inf
            return wish
        self._invalid_since = min(self._invalid_since, now)
        if now - self._invalid_since >= self.config.command_timeout:
            self.latch(f"no valid set-point for {now - self._invalid_since:.2f} s; the last one was {proposed!r}")
        return None

    def _limited_velocity(self, wish: Floats, last: Floats, step: float) -> Floats:
        """Return the velocity [6] for a move by `wish` [6] rad that keeps the limits and can be braked before them."""
        margin, top = self.config.position_margin, self._top
        change = self.config.max_acceleration * (step + self._step) / 2  # mean velocities are half a step apart each
        velocity = np.clip(wish, -top * step, top * step) / step
        velocity = np.clip(velocity, self._velocity - change, self._velocity + change)
        room_down = last - np.minimum(self._lower + margin, last)
        room_up = np.maximum(self._upper - margin, last) - last
        loss = self.config.max_acceleration * step
        limited: Floats = np.clip(velocity, -_brakeable(room_down, loss, step), _brakeable(room_up, loss, step))
        return np.clip(limited, -top, top)

    def _trespasses(self, path: Floats, tolerance: float) -> str:
        """Return what of the arm joints [n, 6] take where it must not be, farther than the first of them; "": nothing.

        What is there already may stay or come out, and nothing else may get in for it.
        """
        config, excess, depths = self.config, np.zeros(1), np.zeros((1, 1))
        for begin in range(0, len(path), _AT_ONCE):
            links = link_poses(path[begin : begin + _AT_ONCE], self._dh_is_offset)
            beyond = config.workspace.excess(links[:, 5], config.body.tool)
            inside = config.body.depths(links, config.workspace.table_height)
            if begin == 0:
                excess, depths = beyond[:1], inside[:1]
            deeper = inside.max(0) - np.maximum(depths[0], tolerance)
            if deeper.max() > 0.0:
                worst = int(deeper.argmax())
                return config.body.describe(worst, float(inside[:, worst].max()))
            if beyond.max() > max(float(excess[0]), tolerance):
                return f"the tool would be {beyond.max():.3f} m outside the workspace"
        return ""

    def _frozen(self, stamp: float, arm: Floats, setpoint: Floats) -> bool:
        """Tell, and latch, that feedback keeps coming but has not changed at all since the set-points went on."""
        since, seen, begin = self._seen
        if stamp < since or not np.array_equal(arm, seen):
            self._seen = (stamp, arm, setpoint)
            return False
        travel, joint = _worst(setpoint - begin)
        if travel < _STANDING:
            self._seen = (stamp, seen, begin)
            return False
        if stamp - since < self.config.frozen_after or travel < self.config.frozen_travel:
            return False
        self.latch(
            f"joint feedback has not changed for {stamp - since:.2f} s while the set-point of joint {joint} moved by "
            f"{travel:.3f} rad: frozen feedback, or an arm that does not move"
        )
        self.mistrusts = True
        return True

    def _clip_gripper(self, gripper: float) -> float:
        low, high = self.config.gripper_range
        return min(high, max(low, gripper)) if math.isfinite(gripper) else self._gripper


def _excuse(wish: Floats, last: Floats, target: Floats) -> str:
    joint = _worst(target - wish)[1] - 1
    return f"joint {joint + 1} was to go from {last[joint]:.4f} to {wish[joint]:.4g} rad in one step"


def _brakeable(room: Floats, loss: float, step: float) -> Floats:
    """Return the velocity from which steps that lose `loss` rad/s each come to rest within `room` rad."""
    steps = np.maximum(1.0, np.ceil(np.sqrt(0.25 + 2.0 * room / (loss * step)) - 0.5))
    speed: Floats = room / (steps * step) + loss * (steps - 1.0) / 2
    return speed


def _worst(error: Floats) -> tuple[float, int]:
    """Return the largest absolute value and the number of its joint, counted from 1."""
    magnitude = np.abs(error).ravel()
    worst = int(magnitude.argmax())
    return float(magnitude[worst]), worst + 1
