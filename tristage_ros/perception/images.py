"""The bytes of image messages as arrays, and depth images in metres.

No OpenCV here: the arm node reaches this through ros/convert and does without. Colour is in `color`.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tristage_ros.words import shown

LARGEST = 1 << 26  # pixels: what claims more is no image of a camera
Pixels: TypeAlias = "bytes | bytearray | memoryview | array[int] | NDArray[np.uint8]"


class UnsupportedImageError(ValueError):
    """Say that an image is of a kind that nothing here reads; it may be whole all the same."""


@dataclass(frozen=True)
class Encoding:
    """Describe one pixel of an image encoding of ROS."""

    kind: str  # numpy type of one channel, without its byte order
    channels: int


def pixel_array(
    data: Pixels,
    encoding: str,
    accepted: Mapping[str, Encoding],
    height: int,
    width: int,
    *,
    step: int = 0,
    is_bigendian: bool = False,
) -> NDArray[Any]:
    """View the `data` of a sensor_msgs/Image as [H, W, channels], or copy it where its rows are padded.

    `step` is the length of a row in bytes, padding included; 0 means that rows are packed.

    Raises:
        UnsupportedImageError: the encoding is none of `accepted`.
        ValueError: the image is empty, or `data` or `step` does not fit its size.
    """
    if encoding not in accepted:
        raise UnsupportedImageError(
            f"image encoding {shown(encoding)} is not supported; publish one of {', '.join(accepted)}"
        )
    if height <= 0 or width <= 0:
        raise ValueError(f"{encoding} image of {width}x{height} pixels is empty")
    channels = accepted[encoding].channels
    kind = np.dtype((">" if is_bigendian else "<") + accepted[encoding].kind)
    packed = width * channels * kind.itemsize
    step = step or packed
    content = np.frombuffer(data, np.uint8)
    if step < packed or content.size != step * height:
        raise ValueError(
            f"{encoding} image of {width}x{height} pixels with step {step} holds {content.size} bytes; "
            f"the step must be at least {packed} bytes and the size height * step"
        )
    rows = np.ascontiguousarray(content.reshape(height, step)[:, :packed])
    return rows.view(kind).reshape(height, width, channels)


DEPTH_ENCODINGS = {"16UC1": Encoding("u2", 1), "mono16": Encoding("u2", 1), "32FC1": Encoding("f4", 1)}
METRES_PER_UNIT = np.float32(1e-3)  # of 16UC1, REP-118


def depth_in_metres(
    data: Pixels, encoding: str, height: int, width: int, *, step: int = 0, is_bigendian: bool = False
) -> NDArray[np.float32]:
    """Return depth [H, W] in metres, NaN where nothing was measured, from the `data` of a sensor_msgs/Image.

    16UC1 and mono16, as some drivers call the same, hold millimetres, 0 where nothing was measured; 32FC1 holds metres,
    where NaN, infinities (REP-117: too near, too far) and values that are not positive are no measurement. `step` is
    the length of a row in bytes, 0 if packed.

    Raises:
        ValueError: the encoding is another one, or the data does not fit the size.
    """
    raw = pixel_array(data, encoding, DEPTH_ENCODINGS, height, width, step=step, is_bigendian=is_bigendian)[..., 0]
    depth = raw.astype(np.float32)
    if encoding == "32FC1":
        depth[~((depth > 0) & (depth < np.inf))] = np.nan
    else:
        depth *= METRES_PER_UNIT
        depth[raw == 0] = np.nan
    return depth
