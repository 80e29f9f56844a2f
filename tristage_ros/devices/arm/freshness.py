"""Whether a decision may still move the arm: what it was made on, and whether its maker still hears the arm.

`Freshness` refuses observations from before a gap, `JointHistory` has the joints measured at an observation's stamp,
and `Link` watches whoever decides, on another machine perhaps.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

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


class Link:
    """Watch a peer that repeats the stamps of what the arm tells it.

    A stamp that comes back has travelled both ways, and is of the arm's own clock: nothing else need be right.
    """

    def __init__(self, timeout: float) -> None:
        """Watch for silences longer than `timeout` s; 0 watches nothing."""
        self.timeout = timeout
        self._heard = math.inf  # s, monotonic clock, newest stamp that came back; infinite before the first

    def begin(self, now: float) -> None:
        """Watch from now on, also a peer that was not heard yet: the arm was enabled."""
        self._heard = now if math.isinf(self._heard) else max(self._heard, now)

    def heard(self, stamp: float, now: float) -> None:
        """Take a stamp that came back, s on the monotonic clock; one from the future is of a clock that was set."""
        stamp = min(stamp, now)
        self._heard = stamp if math.isinf(self._heard) else max(self._heard, stamp)

    def complaint(self, now: float) -> str:
        """Return what is wrong, "" while nothing is: before the arm is enabled nobody has to be heard."""
        silent = now - self._heard
        if not self.timeout or silent <= self.timeout:
            return ""
        return f"no word from the policy for {silent:.2f} s: its process, its machine or the network is gone"
