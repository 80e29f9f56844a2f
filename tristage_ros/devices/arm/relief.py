"""How the arm lets go of what it presses on, in a fault and where its way ends short of its goal.

Letting go is one motion per fault and joint, at bounded speed: the target goes back to the measured joint and its
standing offset, and on as long as its motor still pushes (what was run into may be soft). Then the target never moves
again: to follow the measured joint would be to creep. `/arm/back_off` alone leads farther, along the way that led here.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from tristage_ros.devices.arm.contact import EFFORT, Contact, Noticed, Sample
from tristage_ros.devices.arm.guard import LEAST_LEAD, RELIEF_SPEED, Guard
from tristage_ros.devices.arm.trajectory import Execution

Floats = NDArray[np.float64]

_CREEP = 0.004  # rad of each further step back
_CREEP_BLINDLY = 0.020  # rad, where the joint is not where its encoder says
_CREEP_TIME = 0.15  # s for its effect to be seen
_CREEPS = 15  # at most
_EASED = 1.0  # N m beyond what the arm carries, above which a motor still pushes
_PRESSES = 0.02  # rad of lead at rest beyond the standing offset
_RESTED = 0.1  # s at rest, after which it is looked at
_TRAIL, _TRAIL_STEP = 60, 0.01  # set-points that are remembered of the way that led here, and rad between them
_BACK_SPEED = 0.15  # rad/s


class Relief:
    """Lead the set-points of an arm away from what they press on; each joint once."""

    def __init__(self, braked: Floats | None = None) -> None:
        """Begin with no joint relieved; `braked`: where the set-points come to rest, [6] rad, if they move."""
        self.target: Floats | None = None  # [6] rad, once there is something to let go of
        self._braked = braked
        self._done = np.zeros(6, bool)  # has been begun, for good
        self._creeps = np.zeros(6, int)
        self._creep = np.zeros(6)  # rad of each step, in the direction that lets go
        self._there = False
        self._since = -math.inf  # s, when it came to rest there

    def release(self, joint: int, setpoint: Floats, there: float, push: float, lies: bool = False) -> None:
        """Begin to let go with one joint, 0..5, if that was not done before.

        Args:
            joint: 0..5.
            setpoint: [6] rad, the last one.
            there: rad, the set-point at which that joint would hang where it is measured.
            push: N m, what its motor does beyond what the arm carries.
            lies: its encoder may be wrong.
        """
        if self._done[joint]:
            return
        self._done[joint] = True
        if self.target is None:
            self.target = (setpoint if self._braked is None else self._braked).copy()
        self.target[joint] = there
        back = there - setpoint[joint]
        away = -push if lies or abs(back) <= 1e-3 else back
        self._creep[joint] = np.sign(away) * (_CREEP_BLINDLY if lies else _CREEP)
        self._creeps[joint] = _CREEPS

    @property
    def over(self) -> bool:
        """Tell whether the set-points will not move any more."""
        return not self._creeps.any() and self._there

    def step(self, now: float, step: float, setpoint: Floats, push: Floats | None) -> Floats:
        """Return the next set-point, [6] rad; `push`: [6] N m as above, None where there is no fresh feedback."""
        if self.target is None:
            return setpoint
        reach = RELIEF_SPEED * step
        moved: Floats = setpoint + np.clip(self.target - setpoint, -reach, reach)
        self._there = bool(np.abs(moved - self.target).max() < 1e-6)
        if not self._there:
            self._since = now
        elif push is not None and self._creeps.any() and now - self._since >= _CREEP_TIME:
            going = (self._creeps > 0) & (-np.sign(self._creep) * push > _EASED)
            self._creeps = np.where(going, self._creeps - 1, 0)
            self.target = self.target + np.where(going, self._creep, 0.0)
            self._since = now
        return moved


class LettingGo:
    """Decide when an arm lets go, and give its set-points until it has."""

    def __init__(self, guard: Guard, contact: Contact) -> None:
        """Begin with nothing to let go of and no way back; `guard` and `contact` are those of the arm's motion."""
        self._guard, self._contact = guard, contact
        self._relief: Relief | None = None
        self._trail: deque[Floats] = deque(maxlen=_TRAIL)
        self._back: list[Floats] = []  # what of the trail is to be gone back, the nearest last
        self._blind = False  # no feedback for so long that the arm may be anywhere
        self._pressed = False  # on something, by what was noticed: whatever pushes lets go

    def forget(self) -> None:
        """Let go of nothing: the arm moves on, or is held anew."""
        self._relief, self._back, self._pressed = None, [], False

    def begin_trail(self) -> None:
        """Begin a new way here."""
        self._trail.clear()
        self.forget()

    def note(self, setpoint: Floats) -> None:
        """Remember the way, [6] rad a set-point."""
        if not self._trail or np.abs(setpoint - self._trail[-1]).max() > _TRAIL_STEP:
            self._trail.append(setpoint.copy())

    @property
    def relaxes(self) -> bool:
        """Tell whether there is something to let go of."""
        return self._relief is not None

    def go_back(self) -> int:
        """Begin to go the way back; return how many set-points it has."""
        self._back = list(self._trail)
        return len(self._back)

    def _forget_what_led_into_it(self, joint: int, there: float, ahead: float) -> None:
        """Forget of the way where a joint would be farther `ahead`, -1 or 1, than `there`, rad: it cannot get there."""
        while self._trail and ahead * (self._trail[-1][joint] - there) > 0.0:
            self._trail.pop()

    def stay(self) -> None:
        """Break off the way back."""
        self._back = []

    def begin(self, noticed: Noticed, setpoint: Floats, sample: Sample) -> None:
        """Let go with the joint that was found pressing, having braked the others along the path."""
        self._relief, self._pressed = Relief(self._guard.braked), True
        self._release(self._relief, noticed.joint, setpoint, sample, noticed.lies)
        push, lead = self._contact.push, self._contact.lead(setpoint, sample.position)
        for joint in np.flatnonzero(
            (np.abs(push) > 2.0 * EFFORT) & (push * lead > 0.0)
        ):  # of the same push on the tool
            self._release(self._relief, int(joint), setpoint, sample)

    def _release(self, relief: Relief, joint: int, setpoint: Floats, sample: Sample, lies: bool = False) -> None:
        there = sample.position[joint] + self._contact.standing[joint]
        self._forget_what_led_into_it(joint, there, float(np.sign(setpoint[joint] - there)))
        relief.release(joint, setpoint, there, self._contact.push[joint], lies)

    def consider(
        self, execution: Execution, now: float, setpoint: Floats, sample: Sample | None, settle: float
    ) -> None:
        """Let go where the arm stands elsewhere for good: its target would press on whatever is in its way."""
        if sample is not None and (execution.short or self._contact.at_rest(now) >= settle):
            self._release_what_presses(setpoint, sample)

    def _release_what_presses(self, setpoint: Floats, sample: Sample) -> None:
        presses = np.abs(self._contact.lead(setpoint, sample.position)) > _PRESSES
        presses |= self._pressed & (np.abs(self._contact.push) > EFFORT)
        for joint in np.flatnonzero(presses):
            self._relief = self._relief or Relief()
            self._release(self._relief, int(joint), setpoint, sample)

    def ease(self, setpoint: Floats, sample: Sample) -> None:
        """Let go with what is still ahead of the arm once a fault is over."""
        self._release_what_presses(setpoint, sample)

    def too_far(self, setpoint: Floats, sample: Sample) -> bool:
        """Tell whether it lets go of so much that the set-points are farther from the arm than a path's may be."""
        lead = np.abs(self._contact.lead(setpoint, sample.position))
        return self.relaxes and bool(lead.max() > self._guard.lead)

    def without_fault(self, now: float, step: float, sample: Sample | None) -> Floats:
        """Return the next target, [6] rad, of an arm that lets go without a fault; any command may break it off."""
        assert self._relief is not None
        target = self._relief.step(now, step, self._guard.position, None if sample is None else self._contact.push)
        if self._relief.over:
            self._relief = None
        return target

    def in_fault(
        self, execution: Execution, now: float, step: float, sample: Sample | None, age: float, joints: Floats
    ) -> tuple[Floats, bool]:
        """Return the next target, [6] rad, of an arm in fault, and whether it leads away from what it presses on.

        To rest along the path first. `age`: s, of the newest feedback; `joints`: [6] rad by it, however old.
        """
        guard, last = self._guard, self._guard.position
        if guard.mistrusts:
            sample = None
        if sample is None:
            self._blind = self._blind or age > guard.gap_after
        elif self._blind:
            last = self._where_it_is(execution, sample, last)
        if sample is not None and self._contact.at_rest(now) >= _RESTED:
            self._release_what_presses(last, sample)
        if self._relief is None or self._relief.target is None:
            slows = execution.busy and execution.trajectory.feed > 0.0
            target = execution.advance(step, 0.0, joints, execution.gripper) if slows else last
        else:
            execution.trajectory.drop()
            target = self._relief.step(now, step, last, None if sample is None else self._contact.push)
        if self._back and sample is not None and not execution.busy:
            return self._retreat(last, step, sample), True
        return target, self._relief is not None

    def _retreat(self, last: Floats, step: float, sample: Sample) -> Floats:
        """Return the next set-point of the way back; where it ends or is blocked the arm lets go, and stays."""
        goal, reach = self._back[-1], _BACK_SPEED * step
        target: Floats = last + np.clip(goal - last, -reach, reach)
        before, after = (np.abs(self._contact.lead(each, sample.position)) for each in (last, target))
        if ((after > LEAST_LEAD) & (after > before)).any():  # something is in the way there, too
            self._back, self._relief = [], None
            return last
        if np.abs(target - goal).max() < 1e-6:
            self._back.pop()
            self._relief = None
        return target

    def _where_it_is(self, execution: Execution, sample: Sample, last: Floats) -> Floats:
        """Return the set-point at which an arm that was out of sight stays where it is by now, and take it."""
        self._blind = False
        if np.abs(self._contact.lead(last, sample.position)).max() <= _PRESSES:
            return last
        limits = np.transpose(self._guard.config.joint_limits)
        here: Floats = np.clip(sample.position + self._contact.standing, *limits)
        self._guard.rest(here)
        execution.stand(here)
        return here
