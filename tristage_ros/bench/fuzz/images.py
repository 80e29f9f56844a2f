"""Images as they come over the wire, raw or compressed."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage, Image

from tristage_ros.bags import rvl
from tristage_ros.bags.images import COLOR_SUFFIX, DEPTH_HEADER, DEPTH_SUFFIX, restore
from tristage_ros.bench.fuzz.judge import Kind
from tristage_ros.bench.fuzz.mutations import SIZES, TEXTS, mangled, mostly
from tristage_ros.perception.color import ENCODINGS, color_image
from tristage_ros.perception.images import DEPTH_ENCODINGS, depth_in_metres

COLOR = np.random.default_rng(0).integers(0, 255, (12, 16, 3), np.uint8)
DEPTH = (np.arange(12 * 16, dtype=np.uint16) * 7 + 300).reshape(12, 16)
RVL = struct.pack("<II", 4, 2) + bytes.fromhex("b8e2c41080f0a0d1")
LENGTHS = st.one_of(st.integers(0, 20), st.sampled_from([size for size in SIZES if size < 2**32]))
FORMATS = st.one_of(
    st.just("16UC1; compressedDepth rvl"), st.just("32FC1; compressedDepth rvl"), st.just("32FC1; compressedDepth png"),
    st.builds("{}; {}{}".format, st.sampled_from((*ENCODINGS, *DEPTH_ENCODINGS)),
              st.sampled_from(("jpeg compressed bgr8", "png compressed ", "compressedDepth", "compressedDepth png",
                               "compressedDepth rvl", "h264", "")), st.sampled_from(("", " rvl", "\n"))),
    st.sampled_from(("jpeg", "png", "", ";;", "16UC1; compressedDepth rvl")), TEXTS,
)  # fmt: skip


def kinds(_: Path) -> dict[str, Kind]:
    """Return the kinds by name."""
    return {
        "raw": Kind(_raw(), lambda data: _look(deserialize_message(data, Image)), (ValueError,)),
        "compressed": Kind(
            _compressed(_coded(), "rgb8; jpeg compressed bgr8"),
            lambda data: _restored(COLOR_SUFFIX, data),
            (ValueError,),
        ),
        "depth": Kind(
            _compressed(_depth(), "16UC1; compressedDepth png"),
            lambda data: _restored(DEPTH_SUFFIX, data),
            (ValueError,),
        ),
        "rvl": Kind(_rvl(), lambda data: rvl.decode(np.frombuffer(data, np.uint8)), (ValueError,)),
    }


def _restored(suffix: str, data: bytes) -> None:
    _look(restore(f"/front/image{suffix}", deserialize_message(data, CompressedImage)))


def _look(image: Any) -> None:
    size = image.height, image.width
    if image.encoding in DEPTH_ENCODINGS:
        depth_in_metres(image.data, image.encoding, *size, step=image.step, is_bigendian=bool(image.is_bigendian))
    else:
        color_image(image.data, image.encoding, *size, step=image.step)


@st.composite
def _raw(draw: DrawFn) -> bytes:
    encoding = draw(mostly(st.sampled_from((*ENCODINGS, *DEPTH_ENCODINGS)), TEXTS))
    height, width = draw(mostly(st.just((4, 6)), st.tuples(LENGTHS, LENGTHS)))
    steps = st.sampled_from([width * size % 2**32 for size in (1, 2, 3, 4)])
    step = draw(mostly(steps, LENGTHS))
    fitting = step * height if step * height < 1 << 16 else 64
    size = draw(mostly(st.just(fitting), st.integers(0, 200)))
    image = Image(height=height, width=width, encoding=encoding, step=step, is_bigendian=draw(st.integers(0, 255)))
    image.data = draw(st.sampled_from((b"\0", b"\xff"))) * size
    return bytes(serialize_message(image))


@st.composite
def _compressed(draw: DrawFn, data: SearchStrategy[bytes], usual: str) -> bytes:
    told = draw(mostly(st.just(usual), FORMATS))
    return bytes(serialize_message(CompressedImage(format=told, data=draw(data))))


def _coded() -> SearchStrategy[bytes]:
    seeds = [_encode(".jpg", COLOR), _encode(".png", COLOR), _encode(".png", COLOR[..., 0]), _encode(".png", DEPTH)]
    others = [_encode(extension, COLOR) for extension in (".bmp", ".tiff", ".webp")]
    return st.one_of(mangled([*seeds, *seeds, *others]), _png(), st.binary(max_size=40))


def _depth() -> SearchStrategy[bytes]:
    numbers = st.floats(width=32)
    head = mostly(st.just(DEPTH_HEADER), st.builds(struct.pack, st.just("<iff"), st.integers(-2, 2), numbers, numbers))
    code = mostly(mangled([_encode(".png", DEPTH)]), st.one_of(_png(), _rvl()))
    return st.one_of(st.builds(bytes.__add__, head, code), st.binary(max_size=20))


@st.composite
def _png(draw: DrawFn) -> bytes:
    """Return a PNG whose checksums are right whatever it says."""
    head = struct.pack(
        ">IIBBBBB", *draw(st.tuples(LENGTHS, LENGTHS)), draw(st.sampled_from((1, 2, 4, 8, 16, 3))),
        draw(st.sampled_from((0, 2, 3, 4, 6, 1))), 0, 0, draw(st.integers(0, 2)),
    )  # fmt: skip
    pixels = zlib.compress(draw(st.binary(max_size=16)) * draw(st.integers(0, 200)))
    pixels = draw(st.one_of(st.just(pixels), st.binary(max_size=30)))
    palette = (b"PLTE", draw(st.binary(max_size=9)))
    chunks = [(b"IHDR", head), *[palette] * draw(st.integers(0, 1)), (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


def _rvl() -> SearchStrategy[bytes]:
    small = st.integers(1, 4)
    sizes = st.one_of(*[st.builds(struct.pack, st.just("<II"), each, each) for each in (small, small, LENGTHS)])
    code = st.one_of(
        st.binary(max_size=64), st.builds(bytes.__mul__, st.binary(min_size=4, max_size=4), st.integers(0, 99))
    )
    return st.one_of(st.builds(bytes.__add__, sizes, code), mangled([RVL]))


def _encode(extension: str, pixels: Any) -> bytes:
    return bytes(cv2.imencode(extension, pixels)[1])
