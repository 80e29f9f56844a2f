"""From a camera's clock to this machine's."""

from __future__ import annotations

from collections import deque

WINDOW = 10.0  # s over which the fastest transport is looked for; crystals drift apart by less than 1 ms in it
TRUSTED = 0.25  # s; a camera on the host's clock that is further off is wrong, not slow
RELEASED = 0.5 * TRUSTED  # s; once wrong, it must come this close to be trusted again


class CameraClock:
    """Turn the times of a camera's clock into times of this machine's, frame by frame.

    A camera whose times are claimed to be of the host's clock, and are plausible, is believed. Otherwise the offset
    between the clocks is taken from the frame of the last seconds that travelled fastest: such stamps are late by
    that frame's travel, some milliseconds, and free of the jitter of the arrivals. A frame that was held up keeps its
    age: it is never taken for a new one.
    """

    def __init__(self) -> None:
        """Start without a frame."""
        self._offsets: deque[tuple[float, float]] = deque()  # (arrival, arrival - device time), s
        self._newest = float("-inf")  # s, the camera's clock
        self.mapped = False
        self.skew = 0.0  # s that the host's clock is ahead of the camera's, travel included

    def stamp(self, device: float, arrival: float, on_host_clock: bool) -> float:
        """Return when a frame was made, on the host's clock.

        `device` is the camera's time of the frame and `arrival` the host's time when it came, both in s;
        `on_host_clock` says that the camera's clock is meant to be the host's.
        """
        if device < self._newest:  # it was set back or began anew
            self._offsets.clear()
        self._newest = device
        self._offsets.append((arrival, arrival - device))
        # A clock of this machine that was set leaves arrivals behind that lie in the future.
        while not arrival - WINDOW <= self._offsets[0][0] <= arrival:
            self._offsets.popleft()
        self.skew = min(value for _, value in self._offsets)
        limit = RELEASED if self.mapped else TRUSTED
        self.mapped = not on_host_clock or not -limit < self.skew < limit
        return device + self.skew if self.mapped else device
