"""Images in bags, compressed as the plugins of image_transport do it: colour as JPEG or PNG, depth as lossless PNG."""

from __future__ import annotations

import struct
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from tristage_ros.bags.messages import COMPRESSED_IMAGE, IMAGE, new_message
from tristage_ros.perception.color import color_image
from tristage_ros.perception.images import Encoding, pixel_array

COLOR_SUFFIX, DEPTH_SUFFIX = "/compressed", "/compressedDepth"
COLOR_ENCODINGS = ("rgb8", "bgr8")
DEPTH_ENCODING = "16UC1"
ColorFormat = Literal["jpeg", "png", "raw"]
COLOR_FORMATS: tuple[ColorFormat, ...] = ("jpeg", "png", "raw")
JPEG_QUALITY = 90  # 1..100
# Level 1 is 10 % larger than level 9 and several times faster; depth is full of runs of equal values.
PNG = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE)
# How files of a codec begin and end; some encoders pad behind the end.
ENDS = {"jpeg": (b"\xff\xd8", b"\xff\xd9"), "png": (b"\x89PNG", b"IEND\xaeB`\x82")}
TAIL = 16  # bytes
# What compressed_depth_image_transport puts before the PNG: format (0: inverse depth) and two numbers for float images.
DEPTH_HEADER = struct.pack("<iff", 0, 0.0, 0.0)


def compress(image: Any, color: ColorFormat = "jpeg", quality: int = JPEG_QUALITY) -> tuple[str, Any] | None:
    """Return the topic suffix and the CompressedImage for a sensor_msgs/Image, or None if it is to stay as it is.

    rgb8 and bgr8 become what `color` says (`raw`: they stay), little-endian 16UC1 becomes PNG, other encodings stay.
    `quality` is that of JPEG, 1..100.

    Raises:
        ValueError: the image's data does not fit its size.
    """
    if image.encoding in COLOR_ENCODINGS and color != "raw":
        rgb = color_image(image.data, image.encoding, image.height, image.width, step=image.step)
        encoder = (".png", PNG) if color == "png" else (".jpg", (cv2.IMWRITE_JPEG_QUALITY, quality))
        data = _encoded(*encoder, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
        return COLOR_SUFFIX, _compressed(image.header, f"{image.encoding}; {color} compressed bgr8", data)
    if image.encoding == DEPTH_ENCODING and not image.is_bigendian:
        accepted = {DEPTH_ENCODING: Encoding("u2", 1)}
        raw = pixel_array(image.data, DEPTH_ENCODING, accepted, image.height, image.width, step=image.step)
        data = np.concatenate([np.frombuffer(DEPTH_HEADER, np.uint8), _encoded(".png", PNG, raw)])
        return DEPTH_SUFFIX, _compressed(image.header, f"{DEPTH_ENCODING}; compressedDepth png", data)
    return None


def restore(topic: str, compressed: Any) -> Any:
    """Return the sensor_msgs/Image of a CompressedImage that came on `topic`, with packed rows, in its first encoding.

    Raises:
        ValueError: the format is not one of ours, or the data is not a whole image of it.
    """
    depth = topic.endswith(DEPTH_SUFFIX)
    encoding = _encoding(topic, compressed.format, depth)
    data = np.frombuffer(compressed.data, np.uint8)[len(DEPTH_HEADER) if depth else 0 :]
    what = f"{topic}: {len(data)} bytes of format {compressed.format!r}"
    if not len(data):
        raise ValueError(f"{what} are not an image")
    _require_end(what, data)
    pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED if depth else cv2.IMREAD_COLOR)
    if pixels is None:
        raise ValueError(f"{what} are not an image")
    if depth and (pixels.dtype != np.uint16 or pixels.ndim != 2):
        raise ValueError(f"{what} hold {pixels.dtype} pixels of shape {pixels.shape}, not one uint16 each")
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


def _encoding(topic: str, description: str, depth: bool) -> str:
    """Return the encoding of the image before compression: `16UC1; compressedDepth png`, `rgb8; jpeg ...` or `jpeg`."""
    encoding, _, codec = (part.strip() for part in description.partition(";"))
    if depth:
        if encoding == DEPTH_ENCODING and codec in ("compressedDepth png", "compressedDepth"):
            return encoding
        raise ValueError(f"{topic}: format {description!r} is not '{DEPTH_ENCODING}; compressedDepth png'")
    if encoding in COLOR_ENCODINGS and codec.split(" ")[0] in ENDS:
        return encoding
    if description in ENDS:  # older publishers say no more; what OpenCV unpacks is bgr8
        return "bgr8"
    wanted = " or ".join(f"'{known}; jpeg|png ...'" for known in COLOR_ENCODINGS)
    raise ValueError(f"{topic}: format {description!r} is not {wanted}")


def _require_end(what: str, data: NDArray[np.uint8]) -> None:
    """Refuse an image that was cut off, whose rest OpenCV would paint grey.

    Raises:
        ValueError: a JPEG or PNG does not end as one.
    """
    for name, (begin, end) in ENDS.items():
        if data[: len(begin)].tobytes() == begin and end not in data[-TAIL:].tobytes():
            raise ValueError(f"{what} are a {name} that was cut off")


def _encoded(extension: str, parameters: tuple[int, ...], pixels: NDArray[Any]) -> NDArray[np.uint8]:
    _, data = cv2.imencode(extension, pixels, parameters)
    return np.asarray(data, np.uint8).reshape(-1)


def _compressed(header: Any, description: str, data: NDArray[np.uint8]) -> Any:
    return new_message(COMPRESSED_IMAGE, header=header, format=description, data=data)
