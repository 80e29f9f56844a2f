"""Measured joint positions of the last seconds, to be asked for at the stamp of an observation."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

_AHEAD = 0.05  # s that a stamp may be newer than the newest sample


class JointHistory:
    """Keep joint positions by time and interpolate between them."""

    def __init__(self, span: float = 2.0) -> None:
        """Keep the last `span` seconds."""
        self._span = span
        self._samples: deque[tuple[float, NDArray[np.float64]]] = deque()

    def add(self, stamp: float, position: NDArray[np.float64]) -> None:
        """Take a sample, [6] rad; one that is not newer than the last is ignored."""
        if self._samples and stamp <= self._samples[-1][0]:
            return
        self._samples.append((stamp, position))
        while self._samples[0][0] < stamp - self._span:
            self._samples.popleft()

    def at(self, stamp: float) -> NDArray[np.float64]:
        """Return the joint positions [6] at `stamp`.

        Raises:
            ValueError: there are none for that time.
        """
        if not self._samples:
            raise ValueError("no joint positions have been measured yet")
        oldest, newest = self._samples[0][0], self._samples[-1][0]
        if stamp < oldest:
            raise ValueError(f"the stamp is {oldest - stamp:.2f} s older than the oldest measured joint positions")
        if not stamp <= newest + _AHEAD:
            raise ValueError(f"the stamp is {stamp - newest:.2f} s newer than the newest measured joint positions")
        later = next((i for i, (time, _) in enumerate(self._samples) if time >= stamp), len(self._samples) - 1)
        (before, start), (after, end) = self._samples[max(later - 1, 0)], self._samples[later]
        share = (min(stamp, after) - before) / (after - before) if after > before else 1.0
        return start + share * (end - start)
