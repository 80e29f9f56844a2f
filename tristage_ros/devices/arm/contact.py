"""Whether the arm has run into something, and how it lets go of it.

A servo under load hangs some 10 to 30 mrad below its target, and a joint in motion lags behind it: both are normal. Not
normal is a joint that is asked to go on and stands, however far behind it is by then. What an arm of any timing has in
common is that a lagging joint moves: in the time by which it lags it covers its lead. A stuck one does not, and its
motor's effort rises.

An encoder that lies says that all is well; then the effort alone tells, at joints that carry little: J1, J4 to J6.

Letting go is one motion per fault and joint, at bounded speed: the target goes back to the measured joint and its
standing offset, and on as long as that takes effort away (what was run into may be soft). Then the target never moves
again: to follow the measured joint would be to creep.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEAST_LEAD = 0.05  # rad that a set-point may be ahead beyond the standing offset, however slow the arm is to be
_WATCHED = 0.6  # of the lead allowed, from where on a joint that stands is stuck
_STANDS = 0.15  # of its lead that a joint covers within the window, below which it stands
_WINDOW = 0.12  # s that are looked back
_PERSISTS = 0.06  # s
_AT_REST = 2e-3  # rad
_SETTLED = 0.2  # s at rest after which a lead is a standing offset
_MOST_STANDING = 0.04  # rad
_LEFT = 0.75  # of the lead allowed, from where on a joint has left a set-point at rest
_GOING = 0.01  # rad within the window
_EFFORT = np.array([3.0, 3.0, 3.0, 1.2, 1.2, 1.2])  # N m by which a stuck joint's motor does more than on its way
_LOADED = 0.15  # s after the motors came on, in which they take up what the arm weighs
_STRAIN = np.array([6.0, np.inf, np.inf, 2.5, 2.5, 2.5])  # N m at rest without any lead; J2 and J3 carry the arm
_STRAIN_SPEED = np.array([8.0, 0.0, 0.0, 4.0, 4.0, 4.0])  # N m s/rad more in motion
_STRAINED = 0.2  # s
_NO_LEAD = 0.008  # rad
RELIEF_SPEED = 0.5  # rad/s
_CREEP = 0.004  # rad of each further step back
_CREEP_TIME = 0.15  # s for its effect to be seen
_CREEPS = 12  # at most
_EASED = 0.3  # N m that a further step has to take away to be worth another


@dataclass(frozen=True)
class Sample:
    """Hold what one moment's feedback says of the joints."""

    stamp: float  # s, monotonic clock
    position: Floats  # [6] rad
    velocity: Floats  # [6] rad/s, the motors' own
    effort: Floats  # [6] N m


class Contact:
    """Watch the joints of one arm; times are s on the monotonic clock."""

    def __init__(self) -> None:
        """Begin without a past."""
        self.standing = np.zeros(6)  # rad, set-point minus measured joint of an arm that only carries itself
        self._samples: deque[Sample] = deque()
        self._still = (math.inf, np.zeros(6), np.zeros(6))  # since when set-point and joints are where they are
        self._stuck_since = np.full(6, math.inf)
        self._strained_since = np.full(6, math.inf)
        self._before: Floats | None = None  # effort when the present motion began
        self._asked: tuple[float, Floats] | None = None  # since when the set-point is where it is
        self._asked_still = 0.0  # s

    def forget(self) -> None:
        """Begin anew, as after the arm was moved by hand or switched on."""
        self.standing = np.zeros(6)
        self._samples.clear()
        self._still = (math.inf, np.zeros(6), np.zeros(6))
        self._stuck_since[:] = self._strained_since[:] = math.inf
        self._before = None
        self._asked, self._asked_still = None, 0.0

    def look(self, now: float, setpoint: Floats, sample: Sample) -> None:
        """Take what is asked for and what is measured."""
        if not self._samples or sample.stamp > self._samples[-1].stamp:
            self._samples.append(sample)
            while self._samples[0].stamp < sample.stamp - 0.5:
                self._samples.popleft()
        if self._asked is None or np.abs(setpoint - self._asked[1]).max() > 1e-4:
            self._asked = (now, setpoint.copy())
        self._asked_still = now - self._asked[0]
        since, asked, stood = self._still
        if np.abs(setpoint - asked).max() > 1e-4 or np.abs(sample.position - stood).max() > _AT_REST:
            self._still = (now, setpoint.copy(), sample.position.copy())
            if self._before is None and sample.stamp - self._samples[0].stamp >= _LOADED:
                self._before = sample.effort
        elif now - since >= _SETTLED:
            lead = setpoint - sample.position
            self.standing = np.where(np.abs(lead) <= _MOST_STANDING, lead, self.standing)
            self._before = sample.effort

    def at_rest(self, now: float) -> float:
        """Return for how long neither a set-point nor a joint has moved, s."""
        return max(0.0, now - self._still[0])

    def lead(self, setpoint: Floats, measured: Floats) -> Floats:
        """Return how far the set-point is ahead beyond the standing offset, [6] rad."""
        ahead: Floats = setpoint - measured - self.standing
        return ahead

    def stuck(self, now: float, setpoint: Floats, allowed: float) -> int | None:
        """Return the joint, 0..5, that is asked to go on but stands, pushed against something; None where none is."""
        if len(self._samples) < 2:
            return None
        newest = self._samples[-1]
        earlier = next((s for s in reversed(self._samples) if s.stamp <= newest.stamp - _WINDOW), None)
        if earlier is None:
            return None
        lead = self.lead(setpoint, newest.position)
        covered = np.sign(lead) * (newest.position - earlier.position)
        pushes = np.sign(lead) * (newest.effort - (earlier.effort if self._before is None else self._before))
        stands = (covered < _STANDS * np.abs(lead)) & (np.sign(lead) * newest.velocity < 0.05)
        stuck = (np.abs(lead) > _WATCHED * allowed) & stands & (pushes > _EFFORT)
        self._stuck_since = np.where(stuck, np.minimum(self._stuck_since, now), math.inf)
        long = now - self._stuck_since >= _PERSISTS
        return int(np.abs(np.where(long, lead, 0.0)).argmax()) if long.any() else None

    def strains(self, now: float, setpoint: Floats) -> int | None:
        """Return the joint, 0..5, that is where it is to be by its encoder, but whose motor pushes; None if none."""
        if not self._samples:
            return None
        newest = self._samples[-1]
        more = np.abs(newest.effort) - _STRAIN_SPEED * np.abs(newest.velocity)
        strained = (more > _STRAIN) & (np.abs(self.lead(setpoint, newest.position)) < _NO_LEAD)
        self._strained_since = np.where(strained, np.minimum(self._strained_since, now), math.inf)
        long = now - self._strained_since >= _STRAINED
        return int(np.where(long, more, 0.0).argmax()) if long.any() else None

    def led_away(self, now: float, setpoint: Floats, allowed: float) -> tuple[int, bool] | None:
        """Return the joint, 0..5, that has left a set-point at rest, and whether it still goes; None if none has."""
        if not self._samples or not self._asked_still >= _SETTLED:
            return None
        newest = self._samples[-1]
        lead = self.lead(setpoint, newest.position)
        joint = int(np.abs(lead).argmax())
        if abs(lead[joint]) <= _LEFT * allowed:
            return None
        earlier = next((s for s in reversed(self._samples) if s.stamp <= newest.stamp - _WINDOW), newest)
        return joint, bool(-np.sign(lead[joint]) * (newest.position - earlier.position)[joint] > _GOING)

    def pushes(self, joint: int) -> float:
        """Return by how much the motor of a joint does more than when the motion began, N m."""
        if not self._samples or self._before is None:
            return 0.0
        return float(abs(self._samples[-1].effort[joint] - self._before[joint]))


class Relief:
    """Lead the set-points of an arm in fault away from what they press on; each joint once."""

    def __init__(self, braked: Floats | None = None) -> None:
        """Begin with no joint relieved; `braked`: where the set-points come to rest, [6] rad, if they move."""
        self.target: Floats | None = None  # [6] rad, once there is something to let go of
        self._braked = braked
        self._done = np.zeros(6, bool)  # has been begun, for good
        self._creeps = np.zeros(6, int)
        self._away = np.zeros(6)  # -1 or 1: the direction that lets go
        self._there = False
        self._seen = (-math.inf, np.zeros(6))  # when the effort was looked at, and what it was

    def release(self, joint: int, now: float, setpoint: Floats, sample: Sample, standing: Floats) -> None:
        """Begin to let go with one joint, 0..5, if that was not done before."""
        if self._done[joint]:
            return
        self._done[joint] = True
        if self.target is None:
            self.target = (setpoint if self._braked is None else self._braked).copy()
        self.target[joint] = sample.position[joint] + standing[joint]
        back = self.target[joint] - setpoint[joint]
        self._away[joint] = np.sign(back if abs(back) > 1e-3 else -sample.effort[joint])  # against what it pushes with
        self._creeps[joint] = _CREEPS
        self._seen = (now, sample.effort.copy())

    @property
    def over(self) -> bool:
        """Tell whether the set-points will not move any more."""
        return not self._creeps.any() and self._there

    def step(self, now: float, step: float, setpoint: Floats, sample: Sample | None) -> Floats:
        """Return the next set-point, [6] rad; `sample`: fresh feedback, None where there is none."""
        if self.target is None:
            return setpoint
        reach = RELIEF_SPEED * step
        moved: Floats = setpoint + np.clip(self.target - setpoint, -reach, reach)
        self._there = bool(np.abs(moved - self.target).max() < 1e-6)
        since, effort = self._seen
        if not self._there:
            self._seen = (now, effort if sample is None else sample.effort.copy())
        elif sample is not None and self._creeps.any() and now - since >= _CREEP_TIME:
            eased = -self._away * (effort - sample.effort)  # by the step before, towards less
            going = (self._creeps == _CREEPS) | ((self._creeps > 0) & (np.abs(eased) > _EASED))
            self._creeps = np.where(going, self._creeps - 1, 0)
            self.target = self.target + np.where(going, self._away * _CREEP, 0.0)
            self._seen = (now, sample.effort.copy())
        return moved
