"""How a leader leads the arm live: when it may, how closely the arm follows it, and what ends that.

A leader is a second arm or any other device that says where the joints are to be, or a velocity of the tool. It leads
only when somebody asks for that, and only from nearby, joint by joint. Then the arm catches up slowly, and follows with
bounded velocity and acceleration. Silence holds; what is told to have jumped, or is too far ahead, ends it. No thread,
no bus: times are s on the monotonic clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tristage_ros.devices.arm.guard import GuardConfig, RefusedError
from tristage_ros.devices.arm.pursuit import STILL, Goal, Pursuit
from tristage_ros.devices.arm.trajectory import MotionLimits
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
_SAME_OPENING = 0.005  # m, within which a leader's gripper takes over
_GRIPPER_SPEED = 0.15  # m/s
_STICK = 1e-3  # m/s and rad/s, of a stick that is let go of


class Leading:
    """Lead one arm by what a leader says; whoever owns the set-points asks it for the next one."""

    def __init__(self, motion: MotionLimits, guard: GuardConfig, dh_is_offset: bool) -> None:
        """Begin with no leader heard."""
        self._pursuit = Pursuit(motion, guard, dh_is_offset)
        self._gripper_range = guard.gripper_range
        self.forget()

    def forget(self) -> None:
        """Know nothing of a leader any more: another command source has the arm."""
        self.engaged = False
        self._led: Led | None = None
        self._goal: Goal | None = None
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
            self._goal = Goal(led.stamp, led.position.copy(), velocity)
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
        away = self._pursuit.within(led.position) - position
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
            return self._pursuit.braked(step, position, velocity)
        there = position + (velocity + wish) / 2 * step
        way = np.stack([position, there, self._pursuit.rest(there, wish)])
        if np.abs(wish).max() > STILL and (why := objection(way)):
            self._waits = f"the arm waits: {why}"
            self._since = now
            return self._pursuit.braked(step, position, velocity)
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
        if self._goal is None:
            wish, joint = self._pursuit.along(led, position, velocity, top, step)
            self._waits = f"the arm waits: joint {joint} is at its limit" if joint else ""
            return wish
        asked = self._goal.at(now, max(self._period, 0.01))
        if not self._is_near(asked, position):
            return None
        return self._pursuit.towards(asked, self._goal.velocity, position, velocity, top, step)

    def _is_near(self, asked: Floats, position: Floats) -> bool:
        """Note how far the leader is, at `asked` [6] rad; end it where that is too far. Return whether it goes on."""
        goal = self._pursuit.within(asked)
        left, beyond = np.abs(goal - position), np.abs(asked - goal)
        if left.max() > FARTHEST:
            ahead = f"joint {left.argmax() + 1} of the leader is {left.max():.2f} rad ahead of the arm"
            self.disengage(f"{ahead}, more than {FARTHEST}: lead more slowly, or raise speed_scale")
            return False
        self._caught_up = self._caught_up or bool(left.max() < CAUGHT_UP)
        if beyond.max() > CAUGHT_UP:
            joint = f"joint {beyond.argmax() + 1} stays at its limit"
            self._waits = f"{joint}: the leader is {beyond.max():.2f} rad beyond"
        return True

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
