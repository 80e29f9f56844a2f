"""Colour images from the wire, as RGB."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from tristage_ros.perception.pixels import Encoding, Pixels, pixel_array

CHANNELS = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "mono8": 1}
ENCODINGS = {name: Encoding("u1", channels) for name, channels in CHANNELS.items()}
CONVERSIONS = {
    "bgr8": cv2.COLOR_BGR2RGB,
    "rgba8": cv2.COLOR_RGBA2RGB,
    "bgra8": cv2.COLOR_BGRA2RGB,
    "mono8": cv2.COLOR_GRAY2RGB,
}


def color_image(data: Pixels, encoding: str, height: int, width: int, *, step: int = 0) -> NDArray[np.uint8]:
    """Return an image [H, W, 3] RGB uint8 from the `data` of a sensor_msgs/Image; it may share memory with `data`.

    Accepts rgb8, bgr8, rgba8, bgra8 and mono8. `step` is the length of a row in bytes, 0 if packed.

    Raises:
        ValueError: the encoding is another one, or the data does not fit the size.
    """
    pixels = np.ascontiguousarray(pixel_array(data, encoding, ENCODINGS, height, width, step=step), np.uint8)
    if encoding in CONVERSIONS:
        pixels = np.asarray(cv2.cvtColor(pixels, CONVERSIONS[encoding]), np.uint8)
    return pixels
