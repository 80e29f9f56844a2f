"""Which observations may still move the arm."""

from __future__ import annotations

import math

from tristage_ros.devices.arm.guard import RefusedError


class Freshness:
    """Refuse what was decided on an observation from before a gap, or from before the last one that was acted on."""

    def __init__(self) -> None:
        """Accept any observation."""
        self._newest = -math.inf  # s, monotonic clock, of what was acted on
        self._gap_end = -math.inf  # s, monotonic clock

    def after_gap(self, now: float) -> None:
        """Ask for observations that are newer than `now`, s."""
        self._gap_end = now

    def accept(self, stamp: float) -> None:
        """Take note of the observation that is acted on."""
        self._newest = stamp

    def check(self, stamp: float) -> None:
        """Check the stamp of an observation, s.

        Raises:
            RefusedError: there is a newer one, or a gap has been since.
        """
        if stamp <= self._gap_end:
            raise RefusedError(f"its observation was made {self._gap_end - stamp:.2f} s before a gap ended")
        if stamp <= self._newest:
            late = f"{self._newest - stamp:.3f} s older than" if stamp < self._newest else "not newer than"
            raise RefusedError(f"its observation is {late} that of the chunk before")
