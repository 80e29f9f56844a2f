"""How an arm moves: direction reversals, total variation and RMS jerk of joint positions.

One definition for what is sent and what is measured, while it happens (`SmoothnessWindow`, the fields of
tristage_msgs/ArmStatus) and afterwards (`smoothness`: reports and benchmarks). Nothing here needs a bus or a clock.

All three are taken of the positions at `RATE`, each the mean over its period of the straight lines between samples.
So it does not matter how often something is sampled, and what is faster than 10 Hz is left out: where movement
analysis cuts off, too (spectral arc length, Balasubramanian et al. 2015), and beyond what the arm's servos follow.
Jerk of raw feedback would be a figure of its noise: an encoder count, 0.001 degree, rounds by 5e-6 rad RMS, which three
differences at 200 Hz turn into 180 rad/s^3; at 20 Hz it is below 0.2.

- Direction reversals: the share of a joint's steps, from one of these positions to the next, that go the other way than
  its step before. Steps below `STILL` are neither counted nor compared with: a joint that pauses and goes on has not
  turned back, one that pauses and comes back has, once.
- Total variation: the sum of the sizes of all steps of all joints.
- RMS jerk: the third difference over the period's cube; the root of its mean square over positions and joints. Per
  joint, then: the norm over all joints is sqrt(6) of it.

Lower is smoother. Reversals and jerk are what learned policies are judged by: chunks that contradict each other turn
the arm back, and their seams jerk it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RATE = 20.0  # Hz
WINDOW = 5.0  # s
_PERIODS = round(WINDOW * RATE)
GAP = 0.25  # s between two samples; across a longer one nothing is known, and what follows begins anew
# rad in a period. Six encoder counts, more than one at rest flickers by; at the tool of an arm that is stretched out
# 0.06 mm, less than the 0.1 mm to which the Piper repeats a position.
STILL = 1e-4


@dataclass(frozen=True)
class Smoothness:
    """Hold how joints moved; all NaN where fewer than four positions in a row are known."""

    reversals: float = math.nan  # 0..1, 0 at rest
    variation: float = math.nan  # rad
    jerk: float = math.nan  # rad/s^3

    @property
    def known(self) -> bool:
        """Tell whether there was enough to know it."""
        return not math.isnan(self.variation)


class Resampler:
    """Turn samples at any times into positions at `RATE`, on a grid that does not depend on when they begin."""

    def __init__(self) -> None:
        """Know no sample yet."""
        self.stamp = -math.inf  # s, of the newest sample
        self._joints = np.zeros(0)
        self._area = np.zeros(0)  # twice the integral over the part of the period that has passed
        self._period, self._whole = 0, False  # number of the present period, and whether it is known from its beginning

    def add(self, stamp: float, joints: Floats) -> list[tuple[int, Floats]]:
        """Take a sample, s and [j] rad; return the periods it completes: their numbers and mean positions.

        One that is not newer than the last is passed over.
        """
        before, self.stamp = self.stamp, max(self.stamp, stamp)
        if not stamp > before:
            return []
        done: list[tuple[int, Floats]] = []
        if not stamp - before <= GAP:
            self._period, self._whole = math.floor(stamp * RATE), False
            self._area = np.zeros(len(joints))
        else:
            slope = (joints - self._joints) / (stamp - before)
            while stamp >= (end := (self._period + 1) / RATE):
                there = self._joints + slope * (end - before)
                if self._whole:
                    done.append((self._period, (self._area + (end - before) * (self._joints + there)) * (0.5 * RATE)))
                self._period, self._whole = self._period + 1, True
                self._joints, before, self._area = there, end, np.zeros(len(joints))
            self._area += (stamp - before) * (self._joints + joints)
        self._joints = joints
        return done


class SmoothnessWindow:
    """Follow how joints move over the last `WINDOW` s, sample by sample; one thread adds, any may ask."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._resampler = Resampler()
        self._positions: tuple[tuple[int, Floats], ...] = ()  # the newest; replaced, never changed
        self._told = (0, 0), Smoothness()  # the last answer, and for which period now and of the newest position

    def add(self, stamp: float, joints: Floats) -> None:
        """Take a sample, s and [j] rad, whose array nobody changes afterwards."""
        if done := self._resampler.add(stamp, joints):
            self._positions = (*self._positions, *done)[-_PERIODS:]

    def over(self, now: float) -> Smoothness:
        """Return it over the last `WINDOW` s before `now`, s on the clock of the stamps."""
        positions, (told_for, told) = self._positions, self._told
        asked = math.floor(now * RATE), positions[-1][0] if positions else 0
        if asked != told_for:
            told = _of([one for one in positions if one[0] >= asked[0] - _PERIODS])
            self._told = asked, told
        return told


def smoothness(stamps: Floats, joints: Floats) -> Smoothness:
    """Return how joints moved: stamps [n] s, joints [n, j] rad. Samples that are not newer are passed over."""
    resampler = Resampler()
    rows = np.asarray(joints, dtype=float)
    return _of([one for stamp, row in zip(stamps, rows, strict=True) for one in resampler.add(float(stamp), row)])


def _of(positions: list[tuple[int, Floats]]) -> Smoothness:
    """Return it of numbered positions; those whose numbers follow one another belong together."""
    if len(positions) < 4:
        return Smoothness()
    numbers = np.array([number for number, _ in positions])
    steps = np.diff(np.array([joints for _, joints in positions]), axis=0)
    follows = np.diff(numbers) == 1
    known = follows[2:] & follows[1:-1] & follows[:-2]
    if not known.any():
        return Smoothness()
    jerk = (steps[2:] - 2.0 * steps[1:-1] + steps[:-2])[known] * RATE**3
    return Smoothness(
        _reversals(steps, follows), float(np.abs(steps[follows]).sum()), float(np.sqrt(np.square(jerk).mean()))
    )


def _reversals(steps: Floats, follows: NDArray[np.bool_]) -> float:
    """Return the share of steps [n, j] that turn back; those that `follows` [n] leaves out cross a gap."""
    moves = (np.abs(steps) > STILL) & follows[:, None]
    numbers = np.where(moves, np.arange(len(steps))[:, None], -1)
    latest = np.maximum.accumulate(numbers, axis=0)[:-1]  # of each joint's steps so far, the one that last moved it
    gaps = np.cumsum(~follows)  # a step is compared with one of its own side of a gap only
    compared = moves[1:] & (latest >= 0) & (gaps[latest] == gaps[1:, None])
    turned = compared & (np.take_along_axis(steps, latest, axis=0) * steps[1:] < 0.0)
    return float(turned.sum() / max(1, compared.sum()))
