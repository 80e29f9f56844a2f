"""The set-points of a log beside what the arm said of its joints: steps, speeds, and what leads away from the arm."""

from __future__ import annotations

import numpy as np

from tristage_ros.bench.arm.log import Floats, Log

FASTEST = 2.0  # rad/s, at speed_scale 1
RELIEF = 0.55  # rad/s, whatever the speed_scale
SCALE_TAKES = 2.5  # s until a lower speed_scale is in force
LEAP, LEAP_AFTER = 0.05, 0.03  # rad from measured joints to where a stream may begin anew; s, three periods of pause
GAP, LOOK_BACK = 0.2, 1.5  # s without feedback, after which the stream may go on where the arm is, and for how long
NEAR = 0.3  # s for which a measured position may count as where the arm is


class Stream:
    """Hold the set-points of a log; step k leads to set-point k + 1."""

    def __init__(self, log: Log) -> None:
        """Take what the log has of them."""
        setpoints, measured = log.setpoints(), log.measured()
        self.stamps, self.targets = setpoints[:, 0], setpoints[:, 1:]  # [n] s, [n, 6] rad
        self.steps = np.diff(self.targets, axis=0)  # [n - 1, 6] rad
        self.sizes = np.abs(self.steps).max(axis=1, initial=0.0)  # [n - 1] rad
        self._seen, self._arm = measured[:, 0], measured[:, 1:]
        self._scales = log.scales

    @property
    def moving(self) -> int:
        """Return how many set-points were not where the one before was."""
        return int((self.sizes > 1e-4).sum())

    def told(self, k: int) -> str:
        """Put a step in words."""
        return f"{self.stamps[k + 1]:.3f}: a step of {self.sizes[k]:.3f} rad after {1e3 * self.pause(k):.0f} ms"

    def pause(self, k: int) -> float:
        """Return how long a step took, s."""
        return float(self.stamps[k + 1] - self.stamps[k])

    def scale(self, stamp: float) -> float:
        """Return the highest speed_scale that may be in force."""
        before = [scale for when, scale in self._scales if when <= stamp - SCALE_TAKES][-1:]
        since = [scale for when, scale in self._scales if stamp - SCALE_TAKES < when <= stamp]
        return max([*before, *since], default=1.0)

    def begins_anew(self, k: int) -> bool:
        """Tell whether a step leads to where the arm is, after a pause or after the arm was out of sight."""
        stamp = self.stamps[k + 1]
        near = self._arm[(self._seen > stamp - NEAR) & (self._seen <= stamp)]
        there = bool((np.abs(near - self.targets[k + 1]).max(axis=1, initial=0.0) < LEAP).any())
        looks = np.array([stamp - LOOK_BACK, *self._seen[(self._seen > stamp - LOOK_BACK) & (self._seen <= stamp)]])
        return there and (self.pause(k) > LEAP_AFTER or bool(np.diff([*looks, stamp]).max() > GAP))

    def away(self, begin: float, end: float) -> Floats:
        """Return how far each joint's target moved away from the measured joint in that time, [6] rad."""
        if not len(self._seen) or not len(self.steps):
            return np.zeros(6)
        chosen = np.flatnonzero((self.stamps[1:] > begin) & (self.stamps[1:] < end) & (self.sizes > 1e-5))
        arm = self._arm[np.maximum(0, np.searchsorted(self._seen, self.stamps[chosen + 1]) - 1)]
        before, after = np.abs(self.targets[chosen] - arm), np.abs(self.targets[chosen + 1] - arm)
        result: Floats = np.maximum(0.0, after - before).sum(axis=0)
        return result

    def leads(self) -> Floats:
        """Return how far each set-point is from where the arm is seen to be, rad: [n]; NaN where it is not seen."""
        if not len(self._seen):
            return np.full(len(self.stamps), np.nan)
        known = np.searchsorted(self._seen, self.stamps) - 1
        age = self.stamps - self._seen[np.maximum(known, 0)]
        lead = np.abs(self.targets - self._arm[np.maximum(known, 0)]).max(axis=1)
        return np.where((known >= 0) & (age < NEAR), lead, np.nan)

    def speed(self, stamp: float) -> float:
        """Return how fast the set-points have just been, rad/s, over four periods."""
        recent = np.flatnonzero((self.stamps > stamp - 0.3) & (self.stamps <= stamp + 0.05))
        if len(recent) < 5:
            return 0.0
        travel = np.abs(self.targets[recent[4:]] - self.targets[recent[:-4]]).max(axis=1)
        return float((travel / np.maximum(self.stamps[recent[4:]] - self.stamps[recent[:-4]], 0.03)).max())
