"""Compressed images as the plugins of image_transport have them: colour as JPEG or PNG, depth as PNG or RVL.

What others compressed is told by its first bytes; the format beside it says what it was before.
"""

from __future__ import annotations

import struct
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from tristage_ros.bags import rvl
from tristage_ros.bags.messages import COMPRESSED_IMAGE, IMAGE, new_message
from tristage_ros.perception.color import color_image
from tristage_ros.perception.images import DEPTH_ENCODINGS, LARGEST, Encoding, UnsupportedImageError, pixel_array
from tristage_ros.words import shown

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
NAMES = ("jpeg", "jpg", "png")  # by which formats call what is read here
# What compressed_depth_image_transport puts before the code: format (0: inverse depth) and A, B of float images, whose
# code is A / depth + B.
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
    """Return the sensor_msgs/Image of a CompressedImage that came on `topic`, with packed rows.

    Colour becomes rgb8 where it was rgb before, else bgr8 or mono8; depth becomes 16UC1, or 32FC1 where it was.

    Raises:
        UnsupportedImageError: the image is of a format that is not read here.
        ValueError: the data is not a whole image of its format.
    """
    depth = topic.endswith(DEPTH_SUFFIX)
    data = np.frombuffer(compressed.data, np.uint8)
    before, _, codec = (part.strip() for part in compressed.format.partition(";"))
    what = f"{topic}: {len(data)} bytes of format {shown(compressed.format)}"
    if depth:
        pixels = _depth(what, before, codec, data)
    else:
        pixels = _decoded(what, data, promised=any(name in compressed.format.lower() for name in NAMES))
    if pixels.dtype == np.uint8 and not depth and before not in DEPTH_ENCODINGS:
        encoding, pixels = _color(before, codec, pixels)
    elif pixels.dtype == np.float32:
        encoding = "32FC1"
    elif pixels.dtype == np.uint16 and pixels.ndim == 2 and before != "32FC1":
        encoding = DEPTH_ENCODING
    else:
        raise UnsupportedImageError(
            f"{what} hold {pixels.dtype} pixels of shape {pixels.shape}; "
            "read are colour and grey of 8 bits, and depth of 16 bits each"
        )
    height, width = pixels.shape[:2]
    return new_message(
        IMAGE,
        header=compressed.header,
        height=height,
        width=width,
        encoding=encoding,
        step=pixels.nbytes // height,
        data=np.ascontiguousarray(pixels).reshape(-1).view(np.uint8),
    )


def raw_topic(topic: str) -> str:
    """Return the topic of the images that `topic` carries in compressed form, or `topic` itself."""
    return topic.removesuffix(DEPTH_SUFFIX).removesuffix(COLOR_SUFFIX)


def _color(before: str, codec: str, pixels: NDArray[np.uint8]) -> tuple[str, NDArray[np.uint8]]:
    """Return the encoding of `pixels` as OpenCV decoded them, and these in its order, without alpha.

    OpenCV takes them for BGR, which image_transport turns them to and then says so; else they are as they were before.
    """
    if pixels.ndim == 2:
        return "mono8", pixels
    encoding = "rgb8" if before.startswith("rgb") else "bgr8"
    as_before = codec and "compressed bgr" not in codec and before.startswith(("rgb", "bgr"))
    decoded_as = "rgb8" if as_before else "bgr8"
    pixels = np.ascontiguousarray(pixels[..., :3])
    return encoding, pixels if encoding == decoded_as else np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


def _depth(what: str, before: str, codec: str, data: NDArray[np.uint8]) -> NDArray[Any]:
    """Return depth as uint16, in the units that it was published in, or as float32 in metres, NaN where unmeasured."""
    if before not in DEPTH_ENCODINGS or codec.split(" ")[0] != "compressedDepth":
        raise UnsupportedImageError(f"{what} are not depth of {', '.join(DEPTH_ENCODINGS)}; compressedDepth png or rvl")
    code = data[len(DEPTH_HEADER) :]
    if codec.endswith(" rvl"):
        try:
            pixels: NDArray[Any] = rvl.decode(code)
        except ValueError as error:
            raise ValueError(f"{what} are not a whole image: {error}") from error
    else:
        pixels = _decoded(what, code, promised=codec in ("compressedDepth", "compressedDepth png"))
    if before != "32FC1" or pixels.dtype != np.uint16:
        return pixels
    _, a, b = struct.unpack_from("<iff", data)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(pixels > 0, np.float32(a) / (pixels - np.float32(b)), np.float32(np.nan))


def _decoded(what: str, data: NDArray[np.uint8], *, promised: bool) -> NDArray[Any]:
    """Return the pixels of a JPEG or PNG as OpenCV has them, colour of 16 bits brought to 8.

    `promised`: what is neither is damaged; else it may be something that is not read here.
    """
    begin = data[:8].tobytes()
    name = next((name for name, (magic, _) in ENDS.items() if begin.startswith(magic)), "")
    if not name and (promised or not begin):
        raise ValueError(f"{what} are not an image")
    if not name:
        raise UnsupportedImageError(f"{what} are neither JPEG nor PNG; publish one of these, or raw images")
    if ENDS[name][1] not in data[-TAIL:].tobytes():
        raise ValueError(f"{what} are a {name} that was cut off")  # whose rest OpenCV would paint grey
    size = SIZES[name](data.tobytes())
    if not 0 < size[0] * size[1] <= LARGEST:  # OpenCV takes the memory for what it is told
        raise ValueError(f"{what} are not an image: {size[1]}x{size[0]} pixels")
    try:
        pixels: NDArray[Any] | None = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise ValueError(f"{what} are not an image")
    return (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 and pixels.ndim == 3 else pixels


def _png_size(data: bytes) -> tuple[int, int]:
    """Return height and width as the head of a PNG has them; 0 where it ends before."""
    return int.from_bytes(data[20:24], "big"), int.from_bytes(data[16:20], "big")


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """Return height and width as the first frame of a JPEG has them; 0 where there is none."""
    at = 2
    while (at := data.find(b"\xff", at)) >= 0 and at + 9 <= len(data):
        marker = data[at + 1]
        if marker in FRAMES:
            return int.from_bytes(data[at + 5 : at + 7], "big"), int.from_bytes(data[at + 7 : at + 9], "big")
        alone = marker in (0x00, 0x01, *range(0xD0, 0xD9))
        at += 1 if marker == 0xFF else 2 if alone else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return 0, 0


SIZES = {"jpeg": _jpeg_size, "png": _png_size}
FRAMES = {
    0xC0,
    0xC1,
    0xC2,
    0xC3,
    0xC5,
    0xC6,
    0xC7,
    0xC9,
    0xCA,
    0xCB,
    0xCD,
    0xCE,
    0xCF,
}  # what a frame of JPEG begins with


def _encoded(extension: str, parameters: tuple[int, ...], pixels: NDArray[Any]) -> NDArray[np.uint8]:
    _, data = cv2.imencode(extension, pixels, parameters)
    return np.asarray(data, np.uint8).reshape(-1)


def _compressed(header: Any, description: str, data: NDArray[np.uint8]) -> Any:
    return new_message(COMPRESSED_IMAGE, header=header, format=description, data=data)
