"""RVL, a lossless code of depth images (A. D. Wilson, Fast Lossless Depth Image Compression, 2017), decoded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tristage_ros.perception.images import LARGEST


def decode(data: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Return the image [H, W] of `data`: its width and height as little-endian uint32, then the code.

    The code is numbers: so many zeros, so many others, the step to each of these from the one before, and anew.

    Raises:
        ValueError: the data ends before the image does, or is no such code.
    """
    if len(data) < 8:
        raise ValueError("no width and height")
    width, height = (int(number) for number in data[:8].view("<u4"))
    if not 0 < width * height <= LARGEST:
        raise ValueError(f"{width}x{height} pixels")
    numbers = _numbers(data[8:])
    listed, runs, pixel, number = numbers.tolist(), [], 0, 0
    while pixel < width * height:
        if number + 2 > len(listed):
            raise ValueError(f"cut off after {pixel} of {width}x{height} pixels")
        zeros, others = listed[number], listed[number + 1]
        runs += (zeros, others)
        pixel, number = pixel + zeros + others, number + 2 + others
    if pixel > width * height or number > len(listed):
        raise ValueError(f"its runs do not fit {width}x{height} pixels")
    counts, either = np.array(runs), np.tile([False, True], len(runs) // 2)
    measured = np.repeat(either, counts)
    counts[::2] = 2  # numbers that tell of the run itself
    folded = numbers[:number][np.repeat(either, counts)]  # 0, -1, 1, -2, ... as 0, 1, 2, 3, ...
    depth = np.zeros(width * height, np.uint16)
    depth[measured] = np.cumsum((folded >> 1) ^ -(folded & 1)).astype(np.uint16)
    return depth.reshape(height, width)


def _numbers(code: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return the numbers that the nibbles of `code` are: three bits each, the lowest first; a fourth says: more follow.

    Nibbles lie in little-endian words of 32 bits, the first one highest.
    """
    swapped = code[: len(code) // 4 * 4].reshape(-1, 4)[:, ::-1].reshape(-1)
    nibbles = np.stack([swapped >> 4, swapped & 0xF], axis=1).reshape(-1)
    last = np.flatnonzero(nibbles < 8).astype(np.int32)  # of each number; what comes after these was cut off
    if not len(last):
        return np.empty(0, np.int32)
    first = np.append(np.int32(0), last[:-1] + np.int32(1))
    shifts = np.arange(last[-1] + 1, dtype=np.int32) - np.repeat(first, last - first + 1)
    if shifts.max() > 9:
        raise ValueError("a number of more than 30 bits")
    return np.add.reduceat((nibbles[: len(shifts)] & 7).astype(np.int32) << (3 * shifts), first)
