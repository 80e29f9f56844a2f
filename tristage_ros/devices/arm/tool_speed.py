"""How fast tool, cameras and elbow may go: a cap in m/s, whatever share of the joints' speed is allowed.

The planner lowers a path's feed rate where the fastest of these points would exceed the cap, early enough for the feed
rate's bounded slope; the guard scales what is still too fast. Neither changes where the path leads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tristage_ros.devices.arm.body import Body
from tristage_ros.devices.arm.kinematics import link_poses

Floats = NDArray[np.float64]

_STEP = 0.02  # s of path time between the positions at which a path's speed is looked at
_MARGIN = 0.95  # of the cap that is planned with, so that the guard has nothing to do
_SLOPE_MARGIN = 0.7  # likewise of the feed rate's slope


class ToolSpeed:
    """Keep the fastest of an arm's points below a cap."""

    def __init__(self, cap: float, body: Body, dh_is_offset: bool = True) -> None:
        """Take the cap, m/s, and whose points."""
        self.cap = cap
        self._body, self._dh_is_offset = body, dh_is_offset

    def share(self, last: Floats, target: Floats, step: float) -> float:
        """Return the share 0..1 of the way from `last` to `target`, [6] rad, that may be gone within `step` s."""
        if not math.isfinite(self.cap):
            return 1.0
        fastest = self.fastest(np.stack([last, target]), np.array([0.0, step]))
        return min(1.0, self.cap / max(float(fastest[0]), 1e-9))

    def fastest(self, path: Floats, times: Floats) -> Floats:
        """Return the mean speed [n - 1], m/s, of the fastest point between joint positions [n, 6] at times [n], s."""
        points = self._body.fast_points(link_poses(path, self._dh_is_offset))
        distance = np.linalg.norm(np.diff(points, axis=0), axis=-1).max(-1)
        speed: Floats = distance / np.maximum(np.diff(times), 1e-9)
        return speed

    def limits(self, motion: Any) -> Floats:
        """Return the feed rates [n] that keep the cap at even times along a motion of Ruckig's, both ends included."""
        count = 2 + int(motion.duration / _STEP)
        if not math.isfinite(self.cap) or motion.duration <= 0.0:
            return np.full(count, np.inf)
        times = np.linspace(0.0, motion.duration, count)
        speed = self.fastest(np.array([motion.at_time(time)[0] for time in times]), times)
        faster = np.maximum(np.append(speed, 0.0), np.append(0.0, speed))
        with np.errstate(divide="ignore"):
            limits: Floats = _MARGIN * self.cap / faster
        return limits


def eased(limits: Sequence[Floats], durations: Sequence[float], slope: float) -> tuple[Floats, ...]:
    """Return limits of the feed rate that can be kept while it changes by `slope` 1/s at most.

    Args:
        limits: feed rates [n] at even times along each motion of a path.
        durations: s, path time, of each motion.
        slope: 1/s.
    """
    result, after = [], math.inf
    for limit, duration in zip(reversed(limits), reversed(durations), strict=True):
        lowered = limit.copy()
        gain = 2.0 * _SLOPE_MARGIN * slope * duration / max(len(limit) - 1, 1)
        for k in reversed(range(len(lowered))):
            lowered[k] = after = min(float(lowered[k]), math.sqrt(after * after + gain))
        result.append(lowered)
    return tuple(reversed(result))
