"""Images in bags, compressed as the plugins of image_transport do it: colour as JPEG or PNG, depth as lossless PNG."""

from __future__ import annotations

import struct
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from tristage_ros.bags.messages import COMPRESSED_IMAGE, IMAGE, new_message
from tristage_ros.perception.color import color_image
from tristage_ros.perception.pixels import Encoding, pixel_array

COLOR_SUFFIX, DEPTH_SUFFIX = "/compressed", "/compressedDepth"
COLOR_ENCODINGS = ("rgb8", "bgr8")
DEPTH_ENCODING = "16UC1"
ColorFormat = Literal["jpeg", "png", "raw"]
COLOR_FORMATS: tuple[ColorFormat, ...] = ("jpeg", "png", "raw")
JPEG = (cv2.IMWRITE_JPEG_QUALITY, 90)
# Level 1 is 10 % larger than level 9 and several times faster; depth is full of runs of equal values.
PNG = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE)
ENCODERS = {"jpeg": (".jpg", JPEG), "png": (".png", PNG)}
# What compressed_depth_image_transport puts before the PNG: format (0: inverse depth) and two numbers for float images.
DEPTH_HEADER = struct.pack("<iff", 0, 0.0, 0.0)


def compress(image: Any, color: ColorFormat = "jpeg") -> tuple[str, Any] | None:
    """Return the topic suffix and the CompressedImage for a sensor_msgs/Image, or None if it is to stay as it is.

    rgb8 and bgr8 become what `color` says (`raw`: they stay), little-endian 16UC1 becomes PNG, other encodings stay.

    Raises:
        ValueError: the image's data does not fit its size.
    """
    if image.encoding in COLOR_ENCODINGS and color != "raw":
        rgb = color_image(image.data, image.encoding, image.height, image.width, step=image.step)
        data = _encoded(*ENCODERS[color], cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
        return COLOR_SUFFIX, _compressed(image.header, f"{image.encoding}; {color} compressed bgr8", data)
    if image.encoding == DEPTH_ENCODING and not image.is_bigendian:
        accepted = {DEPTH_ENCODING: Encoding("u2", 1)}
        raw = pixel_array(image.data, DEPTH_ENCODING, accepted, image.height, image.width, step=image.step)
        data = np.concatenate([np.frombuffer(DEPTH_HEADER, np.uint8), _encoded(*ENCODERS["png"], raw)])
        return DEPTH_SUFFIX, _compressed(image.header, f"{DEPTH_ENCODING}; compressedDepth png", data)
    return None


def restore(topic: str, compressed: Any) -> Any:
    """Return the sensor_msgs/Image of a CompressedImage that came on `topic`, with packed rows, in its first encoding.

    Raises:
        ValueError: the data is not an image.
    """
    encoding = compressed.format.split(";")[0].strip()
    depth = topic.endswith(DEPTH_SUFFIX)
    data = np.frombuffer(compressed.data, np.uint8)[len(DEPTH_HEADER) if depth else 0 :]
    pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED if depth else cv2.IMREAD_COLOR) if len(data) else None
    if pixels is None:
        raise ValueError(f"{topic}: {len(data)} bytes of format {compressed.format!r} are not an image")
    if encoding == "rgb8":
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    height, width = pixels.shape[:2]
    return new_message(
        IMAGE,
        header=compressed.header,
        height=height,
        width=width,
        encoding=encoding,
        step=pixels.nbytes // height,
        data=pixels.reshape(-1).view(np.uint8),
    )


def raw_topic(topic: str) -> str:
    """Return the topic of the images that `topic` carries in compressed form, or `topic` itself."""
    return topic.removesuffix(DEPTH_SUFFIX).removesuffix(COLOR_SUFFIX)


def _encoded(extension: str, parameters: tuple[int, ...], pixels: NDArray[Any]) -> NDArray[np.uint8]:
    _, data = cv2.imencode(extension, pixels, parameters)
    return np.asarray(data, np.uint8).reshape(-1)


def _compressed(header: Any, description: str, data: NDArray[np.uint8]) -> Any:
    return new_message(COMPRESSED_IMAGE, header=header, format=description, data=data)
