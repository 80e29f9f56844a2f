from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from tristage_ros.bags.images import compress, raw_topic, restore
from tristage_ros.bags.messages import COMPRESSED_IMAGE, new_message


def smooth(height: int, width: int) -> np.ndarray:
    v, u = np.mgrid[:height, :width]
    return np.stack([u * 255 / width, v * 255 / height, 255 - u * 255 / width], axis=2).astype(np.uint8)


def depth_image() -> np.ndarray:
    depth = np.random.default_rng(0).integers(0, 65536, (48, 64)).astype(np.uint16)
    depth[:10] = 0
    return depth


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8"])
def test_color_comes_back_close(make_image, encoding: str) -> None:
    pixels = smooth(48, 64)
    image = make_image(pixels, encoding)
    suffix, compressed = compress(image)
    assert suffix == "/compressed"
    assert compressed.format == f"{encoding}; jpeg compressed bgr8"
    again = restore("/front/color/image_raw/compressed", compressed)
    assert (again.height, again.width, again.step, again.encoding) == (48, 64, 192, encoding)
    assert again.header == image.header
    assert np.abs(again.data.astype(int) - image.data).mean() < 3
    assert len(compressed.data) < image.data.size / 3


def test_jpeg_shows_right_colours_to_others(make_image) -> None:
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 255
    _, compressed = compress(make_image(red, "rgb8"))
    blue, _, seen_red = cv2.imdecode(compressed.data, cv2.IMREAD_COLOR).mean(axis=(0, 1))
    assert seen_red > 250 > 5 > blue


def test_depth_comes_back_exactly(make_image) -> None:
    image = make_image(depth_image(), "16UC1")
    suffix, compressed = compress(image)
    assert suffix == "/compressedDepth"
    again = restore("/front/depth/compressedDepth", compressed)
    np.testing.assert_array_equal(again.data, image.data)
    assert (again.height, again.width, again.step, again.encoding) == (48, 64, 128, "16UC1")


def test_depth_layout_is_that_of_image_transport(make_image) -> None:
    _, compressed = compress(make_image(depth_image(), "16UC1"))
    assert compressed.format == "16UC1; compressedDepth png"
    assert struct.unpack_from("<iff", compressed.data.tobytes()) == (0, 0.0, 0.0)
    assert compressed.data[12:20].tobytes() == b"\x89PNG\r\n\x1a\n"
    png = cv2.imdecode(compressed.data[12:], cv2.IMREAD_UNCHANGED)
    assert png.dtype == np.uint16
    np.testing.assert_array_equal(png, depth_image())


def test_padded_rows_are_understood(make_image) -> None:
    depth = depth_image()
    image = make_image(depth, "16UC1")
    image.step, image.data = 132, np.pad(depth.view(np.uint8), ((0, 0), (0, 4))).reshape(-1)
    again = restore("/x/compressedDepth", compress(image)[1])
    np.testing.assert_array_equal(again.data.view(np.uint16).reshape(48, 64), depth)


@pytest.mark.parametrize("encoding", ["32FC1", "mono16", "yuv422"])
def test_other_encodings_stay(make_image, encoding: str) -> None:
    assert compress(make_image(np.zeros((4, 4), np.float32), encoding)) is None


def test_real_depth_is_lossless_and_small(make_image) -> None:
    path = Path(__file__).resolve().parents[3] / "shared" / "data" / "redwood_rgbd" / "depth" / "00000.png"
    if not path.is_file():
        pytest.skip(f"no real depth image at {path}")
    depth = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    image = make_image(depth, "16UC1")
    _, compressed = compress(image)
    np.testing.assert_array_equal(restore("/x/compressedDepth", compressed).data, image.data)
    assert len(compressed.data) < image.data.size / 2


@pytest.mark.parametrize("data", [b"", b"no image", bytes(40)])
@pytest.mark.parametrize("suffix", ["/compressed", "/compressedDepth"])
def test_what_is_no_image_is_refused(data: bytes, suffix: str) -> None:
    message = new_message(COMPRESSED_IMAGE, format="16UC1; compressedDepth png", data=np.frombuffer(data, np.uint8))
    with pytest.raises(ValueError, match="/depth"):
        restore("/depth" + suffix, message)


@pytest.mark.parametrize("share", [0.2, 0.9, 0.999])
@pytest.mark.parametrize("color", ["jpeg", "png"])
def test_a_cut_off_color_image_is_refused(make_image, color: str, share: float) -> None:
    _, compressed = compress(make_image(smooth(48, 64), "rgb8"), color)
    compressed.data = compressed.data[: int(share * len(compressed.data))]
    with pytest.raises(ValueError, match=f"/x/compressed: .* {color} .*that was cut off"):
        restore("/x/compressed", compressed)


def test_a_cut_off_depth_image_is_refused(make_image) -> None:
    _, compressed = compress(make_image(depth_image(), "16UC1"))
    compressed.data = compressed.data[:-20]
    with pytest.raises(ValueError, match=r"/x/compressedDepth: .* cut off"):
        restore("/x/compressedDepth", compressed)


def test_a_changed_byte_of_depth_is_refused(make_image) -> None:
    _, compressed = compress(make_image(depth_image(), "16UC1"))
    compressed.data[len(compressed.data) // 2] ^= 0xFF
    with pytest.raises(ValueError, match="/x/compressedDepth"):
        restore("/x/compressedDepth", compressed)


@pytest.mark.parametrize(
    ("topic", "description"),
    [
        ("/x/compressed", ""),
        ("/x/compressed", "rgb8; theora"),
        ("/x/compressed", "mono8; jpeg compressed "),
        ("/x/compressedDepth", "16UC1; compressedDepth rvl"),
        ("/x/compressedDepth", "32FC1; compressedDepth png"),
        ("/x/compressedDepth", "rgb8; jpeg compressed bgr8"),
    ],
)
def test_another_format_is_named(make_image, topic: str, description: str) -> None:
    _, compressed = compress(make_image(smooth(48, 64), "rgb8"))
    compressed.format = description
    with pytest.raises(ValueError, match=f"{topic}: format '{description}' is not '"):
        restore(topic, compressed)


def test_eight_bit_depth_is_refused() -> None:
    png = np.concatenate([np.zeros(12, np.uint8), cv2.imencode(".png", np.zeros((4, 4), np.uint8))[1].ravel()])
    message = new_message(COMPRESSED_IMAGE, format="16UC1; compressedDepth png", data=png)
    with pytest.raises(ValueError, match="uint8 pixels"):
        restore("/x/compressedDepth", message)


@pytest.mark.parametrize("padding", [0, 4])
def test_older_publishers_say_jpeg_alone_and_may_pad(make_image, padding: int) -> None:
    _, compressed = compress(make_image(smooth(48, 64), "bgr8"))
    compressed.format, compressed.data = "jpeg", np.pad(compressed.data, (0, padding))
    assert restore("/x/compressed", compressed).encoding == "bgr8"


def test_quality_is_that_of_jpeg(make_image) -> None:
    image = make_image(smooth(48, 64), "rgb8")
    sizes = [len(compress(image, quality=quality)[1].data) for quality in (10, 90)]
    assert sizes[0] < sizes[1]


@pytest.mark.parametrize(
    ("topic", "raw"),
    [("/a/color/compressed", "/a/color"), ("/a/depth/compressedDepth", "/a/depth"), ("/a/cloud", "/a/cloud")],
)
def test_raw_topic(topic: str, raw: str) -> None:
    assert raw_topic(topic) == raw
