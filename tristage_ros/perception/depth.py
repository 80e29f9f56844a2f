"""Depth images from the wire, in metres."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tristage_ros.perception.pixels import Encoding, Pixels, pixel_array

ENCODINGS = {"16UC1": Encoding("u2", 1), "32FC1": Encoding("f4", 1)}
METRES_PER_UNIT = np.float32(1e-3)  # of 16UC1, REP-118


def depth_in_metres(
    data: Pixels, encoding: str, height: int, width: int, *, step: int = 0, is_bigendian: bool = False
) -> NDArray[np.float32]:
    """Return depth [H, W] in metres, NaN where nothing was measured, from the `data` of a sensor_msgs/Image.

    16UC1 holds millimetres, 0 where nothing was measured; 32FC1 holds metres, where NaN, infinities (REP-117: too near,
    too far) and values that are not positive are no measurement. `step` is the length of a row in bytes, 0 if packed.

    Raises:
        ValueError: the encoding is another one, or the data does not fit the size.
    """
    raw = pixel_array(data, encoding, ENCODINGS, height, width, step=step, is_bigendian=is_bigendian)[..., 0]
    depth = raw.astype(np.float32)
    if encoding == "16UC1":
        depth *= METRES_PER_UNIT
    depth[~((depth > 0) & (depth < np.inf))] = np.nan
    return depth
