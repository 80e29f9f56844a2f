"""Images that say that a camera is not seeing: the same one again and again, black ones, depth without a value."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tristage_ros.devices.realsense.values import Capture

DARK = 16  # 0..255; an image whose brightest percent is darker shows nothing
_EVERY = 8  # of the pixels that are looked at, in both directions


class ImageWatch:
    """Look at every capture of a camera and remember what is wrong with the newest one."""

    def __init__(self) -> None:
        """Start with nothing seen."""
        self.black = False
        self.without_depth = False
        self.repeated_for = 0.0  # s that the same image has come again and again
        self._previous: Capture | None = None
        self._since = 0.0

    def look(self, capture: Capture) -> None:
        """Judge `capture`, which came after the last one."""
        sample = capture.color[::_EVERY, ::_EVERY]
        self.black = bool(np.percentile(sample, 99) < DARK)
        self.without_depth = not capture.depth.any()
        if self._previous is None or not _same(self._previous, capture) or sample.min() == sample.max():
            self._previous, self._since = capture, capture.arrival
        self.repeated_for = max(0.0, capture.arrival - self._since)


def _same(first: Capture, second: Capture) -> bool:
    """Tell whether two captures are equal to the last bit; the noise of a sensor keeps that from ever happening."""
    return _equal(first.color, second.color) and _equal(first.raw_depth, second.raw_depth)


def _equal(first: NDArray[np.generic], second: NDArray[np.generic]) -> bool:
    coarse = np.array_equal(first[::_EVERY, ::_EVERY], second[::_EVERY, ::_EVERY])
    return coarse and np.array_equal(first, second)
