"""Colour images through OpenCV: from the wire as RGB, and with the kept tokens painted over for a person."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from tristage_ros.perception.images import Encoding, Pixels, pixel_array

# To RGB. OpenCV calls a mosaic by its second row, from the second pixel on: what ROS calls rggb is its BG.
CONVERSIONS = {
    "bgr8": cv2.COLOR_BGR2RGB,
    "rgba8": cv2.COLOR_RGBA2RGB,
    "bgra8": cv2.COLOR_BGRA2RGB,
    "mono8": cv2.COLOR_GRAY2RGB,
    "yuv422": cv2.COLOR_YUV2RGB_UYVY,
    "uyvy": cv2.COLOR_YUV2RGB_UYVY,
    "yuv422_yuy2": cv2.COLOR_YUV2RGB_YUY2,
    "yuyv": cv2.COLOR_YUV2RGB_YUY2,
    "bayer_rggb8": cv2.COLOR_BayerBG2RGB,
    "bayer_bggr8": cv2.COLOR_BayerRG2RGB,
    "bayer_gbrg8": cv2.COLOR_BayerGR2RGB,
    "bayer_grbg8": cv2.COLOR_BayerGB2RGB,
}
YUV = ("yuv422", "uyvy", "yuv422_yuy2", "yuyv")  # two pixels in four bytes
CHANNELS = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, **dict.fromkeys(YUV, 2)}
ENCODINGS = {name: Encoding("u1", CHANNELS.get(name, 1)) for name in ("rgb8", *CONVERSIONS)}


def color_image(data: Pixels, encoding: str, height: int, width: int, *, step: int = 0) -> NDArray[np.uint8]:
    """Return an image [H, W, 3] RGB uint8 from the `data` of a sensor_msgs/Image; it may share memory with `data`.

    Accepts `ENCODINGS`. `step` is the length of a row in bytes, 0 if packed.

    Raises:
        UnsupportedImageError: the encoding is another one.
        ValueError: the data does not fit the size, or the size the encoding.
    """
    pixels = np.ascontiguousarray(pixel_array(data, encoding, ENCODINGS, height, width, step=step), np.uint8)
    if encoding not in CONVERSIONS:
        return pixels
    if encoding in YUV and width % 2:
        raise ValueError(
            f"{encoding} image of {width}x{height} pixels: two pixels share their colour, the width is odd"
        )
    return np.asarray(cv2.cvtColor(pixels, CONVERSIONS[encoding]), np.uint8)


# The first three as in the paper's Fig. 8; all four stay apart for the colour-blind by their brightness.
KEPT_COLORS = {
    "neither": (70, 70, 70),
    "2D only": (120, 190, 255),
    "3D only": (255, 140, 0),
    "both": (130, 230, 120),
}
OPACITY = 0.5
LINE = (50, 50, 50)


def draw_overlay(
    image: NDArray[np.uint8], keep_2d: NDArray[np.bool_], keep_3d: NDArray[np.bool_], patch_of_point: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """Return `image` ([H, W, 3] RGB) in grey, tinted patch by patch with what was kept there (see `KEPT_COLORS`).

    `keep_2d` [P] tells by patch of a square grid, `keep_3d` [N] by 3D token; a token lies in `patch_of_point` [N], and
    tokens outside the image (-1) are not drawn. A patch counts as kept in 3D when one of its tokens is.

    Raises:
        ValueError: P is not a square number, or the 3D arrays differ in length.
    """
    grid = math.isqrt(len(keep_2d))
    if grid * grid != len(keep_2d) or len(keep_3d) != len(patch_of_point):
        raise ValueError(
            f"keep_2d has {len(keep_2d)} entries, a square number is needed; keep_3d has {len(keep_3d)} and "
            f"patch_of_point {len(patch_of_point)}, as many are needed"
        )
    seen_3d = np.zeros(len(keep_2d), np.bool_)
    seen_3d[patch_of_point[(patch_of_point >= 0) & keep_3d]] = True
    palette = np.array(list(KEPT_COLORS.values()), np.uint8)
    kind = np.asarray(keep_2d, np.int64) + 2 * seen_3d  # in the order of the palette
    height, width = image.shape[:2]
    tint = cv2.resize(palette[kind].reshape(grid, grid, 3), (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)  # so that every hue is a tint
    shown = np.asarray(cv2.addWeighted(grey, 1 - OPACITY, tint, OPACITY, 0), np.uint8)
    shown[np.arange(1, grid) * height // grid] = LINE
    shown[:, np.arange(1, grid) * width // grid] = LINE
    return shown
