"""How a leader leads the arm live: when it may, how closely the arm follows it, and what ends that.

A leader is a second arm or any other device that says where the joints are to be, or a velocity of the tool. It leads
only when somebody asks for that, and only from nearby, joint by joint. Then the arm catches up slowly, and follows with
bounded velocity and acceleration. Silence holds; what is told to have jumped, or is too far ahead, ends it. No thread,
no bus: times are s on the monotonic clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tristage_ros.devices.arm.guard import GuardConfig, RefusedError
from tristage_ros.devices.arm.trajectory import MotionLimits
from tristage_ros.devices.arm.twist import joint_velocity
from tristage_ros.devices.arm.values import LeadState, LeadStatus, Led

Floats = NDArray[np.float64]

WINDOW = 0.1  # rad of each joint within which the leader has to be to be engaged
CAUGHT_UP = 0.02  # rad
FARTHEST = 0.5  # rad that it may be ahead of the arm
_HEARD = 0.5  # s for which it counts as heard
_SILENT, _PERIODS = 0.1, 3.0  # s, or periods of what is heard, without a word, from where on the arm holds
_FASTEST = 6.0  # rad/s, and the window: what goes farther from one word to the next has jumped
_UNSEEN = 1.0  # rad/s, and the window, that it may go while it is silent for less than it counts as heard
_CATCHES_UP, _QUICKENS = 0.15, 0.6  # rad/s at most when it begins, and rad/s^2 by which that grows
_STIFFNESS = 15.0  # 1/s, of the distance that is left
_BRAKES = 0.7  # of the acceleration that braking is planned with
_SMOOTH, _SMOOTH_SPEED = 0.02, 0.05  # s
_STILL = 1e-4  # rad/s
_SAME_OPENING = 0.005  # m, within which a leader's gripper takes over
_GRIPPER_SPEED = 0.15  # m/s
_STICK = 1e-3  # m/s and rad/s, of a stick that is let go of


@dataclass
class _Goal:
    """Follow where a leader is, less its noise."""

    stamp: float
    position: Floats  # [6] rad
    velocity: Floats  # [6] rad/s

    def take(self, stamp: float, position: Floats) -> None:
        """Take where it is at a later time."""
        passed = stamp - self.stamp
        if passed <= 0.0:
            return
        speed = (position - self.position) / (passed + _SMOOTH)
        self.velocity = self.velocity + (1.0 - math.exp(-passed / _SMOOTH_SPEED)) * (speed - self.velocity)
        self.position = self.position + (1.0 - math.exp(-passed / _SMOOTH)) * (position - self.position)
        self.stamp = stamp

    def at(self, now: float, horizon: float) -> Floats:
        """Return where it is by now, if that is not more than `horizon` s after it was heard."""
        place: Floats = self.position + self.velocity * min(max(now - self.stamp, 0.0) + _SMOOTH, horizon)
        return place


class Leading:
    """Lead one arm by what a leader says; whoever owns the set-points asks it for the next one."""

    def __init__(self, motion: MotionLimits, guard: GuardConfig, dh_is_offset: bool) -> None:
        """Begin with no leader heard."""
        limits = np.array(guard.joint_limits)
        self._lower, self._upper = limits[:, 0] + guard.position_margin, limits[:, 1] - guard.position_margin
        self._motion, self._dh_is_offset, self._tcp = motion, dh_is_offset, guard.body.tool.tcp
        self._gripper_range = guard.gripper_range
        self.forget()

    def forget(self) -> None:
        """Know nothing of a leader any more: another command source has the arm."""
        self.engaged = False
        self._led: Led | None = None
        self._goal: _Goal | None = None
        self._period = 0.0  # s between two words, smoothed
        self._objection = ""  # why what is heard may not lead
        self._ended = ""  # why it leads no longer
        self._waits = ""  # what was left out of what it asked for last
        self._since = -math.inf  # s, from when on the arm catches up, slowly at first
        self._caught_up = False
        self._has_gripper = False  # which took over
        self._gripper_before: float | None = None  # m, asked for beside a twist before it was engaged

    # What is heard.

    def hear(self, led: Led) -> None:
        """Take what a leader asks for."""
        self._objection = ""
        before, self._led = self._led, led
        gap = math.inf if before is None else led.stamp - before.stamp
        if gap < _HEARD:
            self._period += 0.1 * (gap - self._period) if self._period else gap
        if led.position is None:
            return
        if self.engaged and before is not None and before.position is not None:
            self._judge(led.position - before.position, gap)
        if self._goal is None or gap > self._silence or not self.engaged:
            velocity = np.zeros(6) if self._goal is None or gap > self._silence else self._goal.velocity
            self._goal = _Goal(led.stamp, led.position.copy(), velocity)
        else:
            self._goal.take(led.stamp, led.position)

    def _judge(self, change: Floats, gap: float) -> None:
        """End it where the leader has jumped, or was silent and has gone elsewhere meanwhile."""
        joint = int(np.abs(change).argmax())
        far = abs(change[joint])
        if gap <= self._silence:
            if far > _FASTEST * max(gap, self._period) + WINDOW:
                self.disengage(f"joint {joint + 1} of the leader jumped by {change[joint]:+.2f} rad within {gap:.3f} s")
        elif far > WINDOW + _UNSEEN * gap * (gap <= _HEARD):
            self.disengage(f"silent for {gap:.2f} s, in which joint {joint + 1} of the leader went {far:.2f} rad")

    def object(self, reason: str) -> None:
        """Let nothing lead for a reason, until something else is heard; "" takes it back."""
        self._objection = reason
        if reason:
            self.disengage(reason)

    @property
    def _silence(self) -> float:
        """Return after how long without a word the arm holds, s."""
        return min(_HEARD, max(_SILENT, _PERIODS * self._period))

    def _within(self, position: Floats) -> Floats:
        within: Floats = np.clip(position, self._lower, self._upper)
        return within

    # Whether it leads.

    def status(self, now: float, position: Floats) -> LeadStatus:
        """Return how far it leads an arm whose set-point is, or would be, at `position`, [6] rad."""
        led = self._led
        age = math.inf if led is None else now - led.stamp
        missing = np.full(6, math.nan)
        if led is not None and age <= _HEARD:
            missing = np.zeros(6) if led.position is None else led.position - position
        state, words = self._state(led, age, position, missing)
        told = [f"ended: {self._ended}"] * bool(self._ended) + [words] * bool(words)
        return LeadStatus(state, "; ".join(told), missing, age, led, self._ended)

    def _state(self, led: Led | None, age: float, position: Floats, missing: Floats) -> tuple[LeadState, str]:
        if self.engaged:
            held = f"holds: silent for {age:.2f} s" if age > self._silence else self._waits
            return (LeadState.LEADING if self._caught_up else LeadState.CATCHING_UP), held
        if self._objection:
            return LeadState.NOT_LEADING, "" if self._objection == self._ended else self._objection
        if led is None:
            return LeadState.NOT_LEADING, "no leader has been heard yet"
        if age > _HEARD:
            return LeadState.NOT_LEADING, f"no leader has been heard for {age:.1f} s: move it a little, or look for it"
        if led.position is None:
            return LeadState.READY, "it may be engaged"
        away = self._within(led.position) - position
        if far := [k for k in range(6) if abs(away[k]) > WINDOW]:
            names = ", ".join(f"joint {k + 1} by {-away[k]:+.2f} rad" for k in far)
            return LeadState.TOO_FAR, f"bring the leader nearer, within {WINDOW} rad: {names}"
        return LeadState.READY, "near enough: it may be engaged"

    def engage(self, now: float, position: Floats) -> None:
        """Begin to lead an arm whose set-point is at rest at `position`, [6] rad.

        Raises:
            RefusedError: no leader is heard, it may not lead, or it is too far away; the words say which.
        """
        status = self.status(now, position)
        if self.engaged:
            return
        if status.state is not LeadState.READY:
            raise RefusedError(self._state(self._led, status.age, position, status.missing)[1] or self._objection)
        led = self._led
        if led is not None and led.twist is not None and np.abs(led.twist).max() > _STICK:
            raise RefusedError("let go of the stick first: it asks the tool to move already")
        self.engaged, self._ended, self._waits = True, "", ""
        self._caught_up, self._has_gripper = led is None or led.position is None, False
        self._gripper_before = None if led is None else led.gripper
        if self._goal is not None:
            self._goal.velocity = np.zeros(6)
        self._since = now

    def disengage(self, reason: str) -> None:
        """Lead no more, if it did."""
        if self.engaged:
            self.engaged, self._ended, self._waits = False, reason, ""

    # Where the arm is to go.

    def advance(
        self,
        now: float,
        step: float,
        position: Floats,
        velocity: Floats,
        top: float,
        objection: Callable[[Floats], str],
    ) -> tuple[Floats, Floats]:
        """Return set-point and velocity, [6] rad and rad/s, `step` s after those given; not engaged, it comes to rest.

        Args:
            now: s.
            step: s.
            position: [6] rad, of the last set-point.
            velocity: [6] rad/s, likewise.
            top: rad/s, the fastest that a joint may turn now.
            objection: returns why the arm may not go along a path [n, 6] rad, "" where it may.
        """
        wish = self._wish(now, position, velocity, top, step) if self.engaged else None
        if wish is None:
            return self._braked(step, position, velocity)
        there = position + (velocity + wish) / 2 * step
        rest = there + wish * (np.abs(wish).max() / (2 * self._motion.acceleration))
        if np.abs(wish).max() > _STILL and (why := objection(np.stack([position, there, rest]))):
            self._waits = f"the arm waits: {why}"
            self._since = now
            return self._braked(step, position, velocity)
        return there, wish

    def _wish(self, now: float, position: Floats, velocity: Floats, top: float, step: float) -> Floats | None:
        """Return the next velocity, [6] rad/s; None: come to rest."""
        led = self._led
        if led is None or now - led.stamp > self._silence:
            self._since = now
            return None
        self._waits = ""
        if top <= 0.0:
            return None
        top = min(top, _CATCHES_UP + _QUICKENS * max(0.0, now - self._since))
        if led.position is not None:
            return self._towards(now, position, velocity, top, step)
        return self._along(led, position, velocity, top, step)

    def _towards(self, now: float, position: Floats, velocity: Floats, top: float, step: float) -> Floats | None:
        """Return the next velocity of an arm that follows joints."""
        assert self._goal is not None
        asked = self._goal.at(now, _SMOOTH + max(self._period, 0.01))
        goal = self._within(asked)
        left = goal - position
        joint = int(np.abs(left).argmax())
        if abs(left[joint]) > FARTHEST:
            self.disengage(
                f"joint {joint + 1} of the leader is {abs(left[joint]):.2f} rad ahead of the arm, more than "
                f"{FARTHEST}: lead more slowly, or raise speed_scale"
            )
            return None
        self._caught_up = self._caught_up or abs(left[joint]) < CAUGHT_UP
        beyond = asked - goal
        if np.abs(beyond).max() > CAUGHT_UP:
            joint = int(np.abs(beyond).argmax())
            self._waits = f"joint {joint + 1} stays at its limit: the leader is {abs(beyond[joint]):.2f} rad beyond"
        acceleration = self._motion.acceleration
        braking = np.sqrt(2.0 * _BRAKES * acceleration * np.abs(left))
        nearing = np.sign(left) * np.minimum(_STIFFNESS * np.abs(left), braking)
        going = np.where(goal == asked, self._goal.velocity, 0.0)
        wished = np.clip(going + nearing, -top, top)
        change = acceleration * step
        wish: Floats = velocity + np.clip(wished - velocity, -change, change)
        return np.where(np.abs(wish) < _STILL, 0.0, wish) if np.abs(wished).max() < _STILL else wish

    def _along(self, led: Led, position: Floats, velocity: Floats, top: float, step: float) -> Floats:
        """Return the next velocity of an arm whose tool is led: no joint changes the direction for its own limits."""
        wished = joint_velocity(led, position, self._dh_is_offset, self._tcp)
        room = np.where(wished > 0.0, self._upper - position, position - self._lower)
        brakeable = np.sqrt(2.0 * _BRAKES * self._motion.acceleration * np.maximum(room, 0.0))
        allowed = np.minimum(np.minimum(top, brakeable), _STIFFNESS * np.maximum(room, 0.0))
        shares = allowed / np.maximum(np.abs(wished), 1e-9)
        joint = int(shares.argmin())
        if shares[joint] < 1.0:
            wished = wished * shares[joint]
            if room[joint] < CAUGHT_UP:
                self._waits = f"the arm waits: joint {joint + 1} is at its limit"
        change, most = wished - velocity, self._motion.acceleration * step
        wish: Floats = velocity + change * min(1.0, most / max(float(np.abs(change).max()), 1e-9))
        return wish

    def _braked(self, step: float, position: Floats, velocity: Floats) -> tuple[Floats, Floats]:
        """Return the next set-point and velocity of an arm that comes to rest along its way."""
        speed = float(np.abs(velocity).max())
        share = max(0.0, speed - self._motion.acceleration * step) / speed if speed > 0.0 else 0.0
        share = share if share * speed > _STILL else 0.0
        return position + velocity * (1.0 + share) / 2 * step, velocity * share

    def opening(self, asked: float, step: float) -> float:
        """Return the opening of the gripper, m, `step` s after it was `asked` for.

        A leader's gripper takes over once it has been where the arm's is, so that nothing is let fall; beside a twist,
        what is asked for from now on counts.
        """
        led = self._led
        if not self.engaged or led is None or led.gripper is None:
            return asked
        low, high = self._gripper_range
        wished = min(high, max(low, led.gripper))
        if led.position is None:  # which is no place, but what was asked for
            self._has_gripper = self._has_gripper or led.gripper != self._gripper_before
            if not self._has_gripper:
                return asked
        self._has_gripper = self._has_gripper or abs(wished - asked) <= _SAME_OPENING
        if not self._has_gripper:
            self._waits = self._waits or (
                f"the leader's gripper is open by {wished * 1e3:.0f} mm, and takes over at {asked * 1e3:.0f} mm"
            )
            return asked
        reach = _GRIPPER_SPEED * step
        return asked + min(reach, max(-reach, wished - asked))
