"""Whether whoever decides for the arm, on another machine perhaps, still hears it and is heard."""

from __future__ import annotations

import math


class Link:
    """Watch a peer that repeats the stamps of what the arm tells it.

    A stamp that comes back has travelled both ways, and is of the arm's own clock: nothing else need be right.
    """

    def __init__(self, timeout: float) -> None:
        """Watch for silences longer than `timeout` s; 0 watches nothing."""
        self.timeout = timeout
        self._heard = math.inf  # s, monotonic clock, newest stamp that came back; infinite before the first

    def heard(self, stamp: float, now: float) -> None:
        """Take a stamp that came back, s on the monotonic clock; one from the future is of a clock that was set."""
        stamp = min(stamp, now)
        self._heard = stamp if math.isinf(self._heard) else max(self._heard, stamp)

    def complaint(self, now: float) -> str:
        """Return what is wrong, "" while nothing is: who was never heard cannot have fallen silent."""
        silent = now - self._heard
        if not self.timeout or silent <= self.timeout:
            return ""
        return f"no word from the policy for {silent:.2f} s: its process, its machine or the network is gone"
