"""Whether the arm has run into something, or is moved by somebody.

A servo under load hangs some 10 to 30 mrad below its target, and a joint in motion lags behind it: both are normal. Not
normal is a joint that is asked to go on and stands, however far behind it is by then. What an arm of any timing has in
common is that a lagging joint moves: in the time by which it lags it covers its lead. A stuck one does not, and its
motor pushes. Nor does a joint slow down by itself while its motor pushes it on.

An encoder that lies says that all is well: it repeats the set-point, which no loaded servo reaches quite. Then the
effort alone tells, beyond what the arm weighs there.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tristage_ros.devices.arm.gravity import holding_torque

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_WATCHED = 0.6  # of the lead allowed, from where on a joint that stands is stuck
_STANDS = 0.15  # of its lead that a joint covers within the window, below which it stands
_STILL = 0.05  # rad/s, likewise
_HELD = 0.6  # of its set-point's least speed lately, below which a joint is held back
_LAG, _LAG_LESS = 0.25, 0.10  # s for which a set-point has to have gone on at no speed, and less at full
_STRETCH, _MARKS = 0.05, 5  # s, over which a joint's speed is measured; times that a set-point's is, lately
_HARD, _HARD_SLOWLY = 3.0, 1.4  # times that effort its motor pushes it on, at full speed and at none
_FULL_LEAD = 0.25  # rad, that belongs to full speed
_CREEPS = 0.005  # rad/s, below which it is not asked to go on
_WINDOW = 0.12  # s that are looked back
_PERSISTS = 0.06  # s
_BEHIND = 0.12  # of the lead allowed
_HELD_FOR, _HELD_SOONER = 0.35, 0.23  # s at no speed, and sooner at full: what gives way holds a joint back for less
_AT_REST = 2e-3  # rad
_SETTLED = 0.2  # s at rest after which a lead is a standing offset
_MOST_STANDING = 0.04  # rad
_LEFT = 0.75  # of the lead allowed, from where on a joint has left a set-point at rest
_GOING = 0.01  # rad within the window
EFFORT = np.array([3.0, 3.0, 3.0, 1.2, 1.2, 1.2])  # N m beyond what the arm carries that a joint's own way never asks
_STRAIN = np.array([6.0, 8.0, 6.0, 2.5, 2.5, 2.5])  # N m beyond the arm's weight, of a joint that is where it is to be
_STRAIN_SPEED = np.array([8.0, 8.0, 8.0, 4.0, 4.0, 4.0])  # N m s/rad more in motion
_STRAINED = 0.2  # s
_GIVES = 1e-3  # rad for each N m, by which a servo that tells the truth gives way at least
_NO_LEAD = 0.003  # rad more or less than at rest before, that no such servo has while it strains
_NO_LAG = 0.01  # s, likewise of one in motion
_REPEATS = 3e-5  # rad, two counts of an encoder, within which the set-point itself comes back
_HIDES = 1.0  # N m less of its own weight, where hanging less may make up for giving way
_NOWHERE = np.full(6, math.inf)  # rad
_UNKNOWN_WEIGHT = 2.0  # N m/s, by which an arm at rest may turn out to carry something else


@dataclass(frozen=True)
class Sample:
    """Hold what one moment's feedback says of the joints."""

    stamp: float  # s, monotonic clock
    position: Floats  # [6] rad
    velocity: Floats  # [6] rad/s, the motors' own
    effort: Floats  # [6] N m


@dataclass(frozen=True)
class Noticed:
    """Say what has happened to the arm."""

    joint: int  # 0..5
    words: str  # for a person
    presses: bool = False  # the arm, on something: it has to let go
    lies: bool = False  # perhaps, the encoder of that joint
    going: bool = False  # the arm is being moved, by something stronger


class Contact:
    """Watch the joints of one arm; times are s on the monotonic clock."""

    def __init__(self, dh_is_offset: bool = True) -> None:
        """Begin without a past; `dh_is_offset`: which zero the firmware gives J2 and J3, see `kinematics`."""
        self._dh_is_offset = dh_is_offset
        self.standing = np.zeros(6)  # rad, set-point minus measured joint of an arm that only carries itself
        self._samples: deque[Sample] = deque()
        self._setpoints: list[tuple[float, Floats]] = []  # lately
        self._still = (math.inf, _NOWHERE, _NOWHERE)  # since when set-point and joints are where they are
        self._stuck_since = np.full(6, math.inf)
        self._held_for = np.zeros(6)  # s, less what it was not
        self._strained_since = np.full(6, math.inf)
        self._asked: tuple[float, Floats] | None = None  # since when the set-point is where it is
        self._asked_still = 0.0  # s
        self._beyond = np.zeros(6)  # N m that the motors do beyond what the arm itself weighs
        self._surplus: Floats | None = None  # of it, what they do at rest, as of a payload
        self._hung = np.zeros(6)  # rad of lead at rest that belong to it
        self._weight = np.zeros(6)  # N m that the arm itself weighs, and what it did there
        self._weight_there = np.zeros(6)

    def forget(self) -> None:
        """Begin anew, as after the arm was moved by hand or switched on."""
        self.standing = np.zeros(6)
        self._samples.clear()
        self._setpoints.clear()
        self._still = (math.inf, _NOWHERE, _NOWHERE)
        self._stuck_since[:] = self._strained_since[:] = math.inf
        self._held_for[:] = 0.0
        self._asked, self._asked_still = None, 0.0
        self._surplus = None

    def look(self, now: float, setpoint: Floats, sample: Sample, in_fault: bool = False) -> None:
        """Take what is asked for and what is measured; in a fault nothing is learnt of what the arm carries."""
        passed = sample.stamp - self._samples[-1].stamp if self._samples else math.inf
        if passed > 0.0:
            self._samples.append(sample)
            self._weight = holding_torque(sample.position, self._dh_is_offset)
            self._beyond = sample.effort - self._weight
            while self._samples[0].stamp < sample.stamp - 0.5:
                self._samples.popleft()
        self._setpoints.append((now, setpoint.copy()))
        while self._setpoints[0][0] < now - _LAG - _STRETCH:
            del self._setpoints[0]
        if self._asked is None or np.abs(setpoint - self._asked[1]).max() > 1e-4:
            self._asked = (now, setpoint.copy())
        self._asked_still = now - self._asked[0]
        since, asked, stood = self._still
        if np.abs(setpoint - asked).max() > 1e-4 or np.abs(sample.position - stood).max() > _AT_REST:
            self._still = (now, setpoint.copy(), sample.position.copy())
        elif now - since >= _SETTLED:
            lead = setpoint - sample.position
            self.standing = np.where(np.abs(lead) <= _MOST_STANDING, lead, self.standing)
            if not in_fault:
                self._learn(passed, lead)

    def _learn(self, passed: float, lead: Floats) -> None:
        """Learn, slowly, what the arm carries, and how far it hangs with it: a push at rest is not to pass for it.

        Nor is that of a joint that stands farther from its set-point than any load makes it hang.
        """
        hangs = np.abs(lead) <= _MOST_STANDING
        if self._surplus is None:
            self._surplus, self._hung = np.where(hangs, self._beyond, 0.0), np.where(hangs, lead, 0.0)
        most = _UNKNOWN_WEIGHT * max(0.0, passed) * hangs
        calm = np.abs(self._beyond - self._surplus) < EFFORT / 2
        self._surplus = self._surplus + np.clip(self._beyond - self._surplus, -most, most)
        slack = np.where(calm, np.inf, most * _GIVES)
        self._hung = self._hung + np.clip(lead - self._hung, -slack, slack)
        self._weight_there = np.where(calm, self._weight, self._weight_there)

    @property
    def push(self) -> Floats:
        """Return what the motors do beyond what the arm weighs with what it carries, by the newest sample, [6] N m."""
        return self._beyond if self._surplus is None else self._beyond - self._surplus

    def at_rest(self, now: float) -> float:
        """Return for how long neither a set-point nor a joint has moved, s."""
        return max(0.0, now - self._still[0])

    def lead(self, setpoint: Floats, measured: Floats) -> Floats:
        """Return how far the set-point is ahead beyond the standing offset, [6] rad."""
        ahead: Floats = setpoint - measured - self.standing
        return ahead

    def notice(self, now: float, setpoint: Floats, allowed: float) -> Noticed | None:
        """Return what has happened to the arm by the newest sample, None where nothing has.

        Args:
            now: s.
            setpoint: [6] rad, the last one sent.
            allowed: rad, how far set-points may be ahead now.
        """
        if not self._samples:
            return None
        newest = self._samples[-1]
        earlier, lead = self._before(newest.stamp - _WINDOW) or newest, self.lead(setpoint, newest.position)
        return (
            self._stuck(now, lead, allowed, newest)
            or self._strained(now, setpoint, newest, earlier)
            or self._led_away(lead, allowed, newest, earlier)
        )

    def _stuck(self, now: float, lead: Floats, allowed: float, newest: Sample) -> Noticed | None:
        """Look for a joint that is asked to go on, and whose motor pushes, but which stands or is held back."""
        earlier, ahead = self._before(newest.stamp - _WINDOW), np.sign(lead)
        if earlier is None:
            return None
        covered, push = ahead * (newest.position - earlier.position), ahead * self.push
        stands = (covered < _STANDS * np.abs(lead)) & (ahead * newest.velocity < _STILL) & (push > EFFORT)
        share = min(1.0, allowed / _FULL_LEAD)  # of full speed
        stuck = stands & (np.abs(lead) > _WATCHED * allowed)
        held = (np.abs(lead) > _BEHIND * allowed) & self._held_back(ahead, push, share, newest)
        self._stuck_since = np.where(stuck, np.minimum(self._stuck_since, now), math.inf)
        passed = now - self._setpoints[-2][0] if len(self._setpoints) > 1 else 0.0
        self._held_for = np.maximum(0.0, self._held_for + np.where(held, passed, -passed))
        long = (now - self._stuck_since >= _PERSISTS) | (self._held_for >= _HELD_FOR - _HELD_SOONER * share)
        if not long.any():
            return None
        joint = int(np.abs(np.where(long, lead, 0.0)).argmax())
        short = f"{abs(lead[joint]):.2f} rad short, pushing with {abs(push[joint]):.0f} N m"
        return Noticed(joint, f"joint {joint + 1} is blocked: {short}; it lets go", presses=True)

    def _held_back(self, ahead: Floats, push: Floats, share: float, newest: Sample) -> Bools:
        """Tell which joints [6] go slower than their set-points have gone for a while, though their motors push hard.

        At little speed less is hard: less of it is friction and inertia. Where set-points come to rest nothing is held
        back: there something is pushed to where it has to be, as a door is.
        """
        earlier, begin = self._before(newest.stamp - _STRETCH), self._setpoints[-1][0] - _LAG + _LAG_LESS * share
        lately = [mark for mark in self._setpoints if mark[0] >= begin]
        if earlier is None or self._setpoints[0][0] > begin or len(lately) < _MARKS:  # too few where the loop was late
            return np.zeros(6, bool)
        marks = lately[:: -max(1, len(lately) // _MARKS)][::-1]
        stamps, setpoints = np.array([stamp for stamp, _ in marks]), np.array([setpoint for _, setpoint in marks])
        wanted = (ahead * np.diff(setpoints, axis=0) / np.diff(stamps)[:, None]).min(axis=0)
        speed = ahead * (newest.position - earlier.position) / (newest.stamp - earlier.stamp)
        hard = EFFORT * (_HARD_SLOWLY + (_HARD - _HARD_SLOWLY) * share)
        held: Bools = (wanted > _CREEPS) & (speed < _HELD * wanted) & (push > hard)
        return held

    def _before(self, stamp: float) -> Sample | None:
        """Return the newest sample that is not newer than `stamp`, None where there is none."""
        return next((sample for sample in reversed(self._samples) if sample.stamp <= stamp), None)

    def _strained(self, now: float, setpoint: Floats, newest: Sample, earlier: Sample) -> Noticed | None:
        """Look for a joint that is where it is to be by its encoder, while its motor pushes against something."""
        if self._surplus is None:
            return None
        more = np.abs(self.push)
        speed = np.abs(newest.position - earlier.position) / max(newest.stamp - earlier.stamp, 1e-3)
        lead, as_told = setpoint - newest.position, _NO_LEAD + _NO_LAG * speed
        # Closely: where a push just makes up for how far the joint hung, the truth is near the set-point, too.
        repeats = (np.abs(lead) < _REPEATS) & (self._asked_still >= _WINDOW)
        gives = np.sign(self.push) * (self._weight - self._weight_there) > -_HIDES  # hides none of it by hanging less
        there = (np.abs(lead - self._hung) < as_told) & gives
        strained = (there | repeats) & (more > _STRAIN + _STRAIN_SPEED * speed)
        self._strained_since = np.where(strained, np.minimum(self._strained_since, now), math.inf)
        long = now - self._strained_since >= _STRAINED
        if not long.any():
            return None
        joint = int(np.where(long, more, 0.0).argmax())
        what = (
            f"motor {joint + 1} pushes with {more[joint]:.0f} N m although its joint is where it is to be: it presses "
            "on something, and its encoder may be wrong; it lets go"
        )
        return Noticed(joint, what, presses=True, lies=True)

    def _led_away(self, lead: Floats, allowed: float, newest: Sample, earlier: Sample) -> Noticed | None:
        """Look for a joint that has left a set-point at rest, and whether it still goes."""
        joint = int(np.abs(lead).argmax())
        if self._asked_still < _SETTLED or abs(lead[joint]) <= _LEFT * allowed:
            return None
        gone = -np.sign(lead[joint]) * (newest.position - earlier.position)[joint]
        what = f"joint {joint + 1} is {abs(lead[joint]):.2f} rad from where it was to hold: somebody moves the arm"
        return Noticed(joint, what, going=bool(gone > _GOING))
