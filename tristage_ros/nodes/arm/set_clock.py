"""The offset of a clock that somebody may set, and for how long its stamps then mean nothing."""

from __future__ import annotations

import math
from collections.abc import Callable

from rclpy.time import Time

_STEP = 0.02  # s; slewing is a thousand times slower
_APART = 0.002  # s from before the clock was read until after it, for the reading to count


class SetClock:
    """Tell ROS time from monotonic time, and when the former was set."""

    def __init__(self, max_age: float) -> None:
        """Mistrust stamps for `max_age` s after the clock was set: older ones are refused anyway."""
        self._max_age, self._offset, self._change, self._set_at = max_age, math.nan, 0.0, -math.inf

    def offset(self, ros: Callable[[], Time], monotonic: Callable[[], float]) -> float:
        """Return ROS time minus monotonic time, s, both read now."""
        while True:
            before, now, after = monotonic(), ros().nanoseconds * 1e-9, monotonic()
            if after - before < _APART:
                break
        offset = now - before
        if abs(offset - self._offset) > _STEP:
            self._change, self._set_at = offset - self._offset, after
        self._offset = offset
        return offset

    def complaint(self, monotonic: float) -> str:
        """Return why stamps cannot be told from one another now, s on the monotonic clock; "" while they can."""
        if monotonic - self._set_at > self._max_age:
            return ""
        return f"this computer's clock was set by {self._change:+.3f} s: what was observed before cannot be told apart"
