"""Depth and colour images from the wire."""

from __future__ import annotations

import array

import numpy as np
import pytest

from tristage_ros.perception.color import color_image
from tristage_ros.perception.images import depth_in_metres

MILLIMETRES = np.array([[0, 1, 500], [1000, 65535, 2]], np.uint16)
METRES = [[np.nan, 0.001, 0.5], [1.0, 65.535, 0.002]]
RGB = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
ALPHA = np.full((2, 3, 1), 9, np.uint8)


def padded(rows: np.ndarray, padding: int) -> bytes:
    """Return `rows` ([H, ...]) as bytes with `padding` bytes of junk behind every row."""
    return b"".join(row.tobytes() + b"\xee" * padding for row in rows)


@pytest.mark.parametrize("step", [0, 6, 9])
@pytest.mark.parametrize("big", [False, True])
def test_depth_in_millimetres(step: int, big: bool) -> None:
    data = padded(MILLIMETRES.astype(">u2" if big else "<u2"), max(step - 6, 0))
    depth = depth_in_metres(data, "16UC1", 2, 3, step=step, is_bigendian=big)
    assert depth.dtype == np.float32
    np.testing.assert_allclose(depth, METRES, rtol=1e-6)


@pytest.mark.parametrize("big", [False, True])
def test_depth_in_metres_of_either_byte_order(big: bool) -> None:
    data = padded(np.array([[1.5, np.nan], [-1.0, np.inf]], ">f4" if big else "<f4"), 3)
    depth = depth_in_metres(data, "32FC1", 2, 2, step=11, is_bigendian=big)
    np.testing.assert_array_equal(depth, np.array([[1.5, np.nan], [np.nan, np.nan]], np.float32))


def test_mono16_is_depth_in_millimetres() -> None:
    np.testing.assert_allclose(depth_in_metres(MILLIMETRES.tobytes(), "mono16", 2, 3), METRES, rtol=1e-6)


@pytest.mark.parametrize("container", [bytes, bytearray, memoryview, lambda data: array.array("B", data)])
def test_depth_takes_every_kind_of_buffer(container) -> None:
    np.testing.assert_allclose(depth_in_metres(container(MILLIMETRES.tobytes()), "16UC1", 2, 3), METRES, rtol=1e-6)


def test_what_was_not_measured_is_nan() -> None:
    raw = np.array([[np.nan, np.inf, -np.inf, 0.0, -0.0, -1.0, 1e-3, 8.0]], np.float32)
    depth = depth_in_metres(raw.tobytes(), "32FC1", 1, 8)
    np.testing.assert_array_equal(depth, np.array([[np.nan] * 6 + [1e-3, 8.0]], np.float32))
    assert raw[0, 5] == -1.0, "the message itself must not be written to"


def test_both_depth_encodings_agree_on_a_real_frame(real_frames) -> None:
    raw = real_frames[0].millimetres
    metres = np.where(raw == 0, np.nan, raw / 1000).astype(np.float32)
    again = depth_in_metres(metres.tobytes(), "32FC1", 480, 640)
    np.testing.assert_allclose(real_frames[0].frame.depth, again, rtol=1e-6)
    assert 0.05 < np.isnan(again).mean() < 0.3, "this frame has holes, but is not all holes"


@pytest.mark.parametrize(
    ("encoding", "pixels"),
    [
        ("rgb8", RGB),
        ("bgr8", RGB[..., ::-1]),
        ("rgba8", np.concatenate([RGB, ALPHA], 2)),
        ("bgra8", np.concatenate([RGB[..., ::-1], ALPHA], 2)),
    ],
)
@pytest.mark.parametrize("padding", [0, 5])
def test_color_becomes_rgb(encoding: str, pixels: np.ndarray, padding: int) -> None:
    step = pixels[0].size + padding
    image = color_image(padded(pixels, padding), encoding, 2, 3, step=step)
    np.testing.assert_array_equal(image, RGB)
    assert image.dtype == np.uint8


def test_grey_becomes_rgb() -> None:
    image = color_image(RGB[..., 0].tobytes(), "mono8", 2, 3)
    np.testing.assert_array_equal(image, np.repeat(RGB[..., :1], 3, axis=2))


@pytest.mark.parametrize(
    ("encoding", "order"), [("yuv422", "uyvy"), ("uyvy", "uyvy"), ("yuv422_yuy2", "yuyv"), ("yuyv", "yuyv")]
)
@pytest.mark.parametrize("padding", [0, 5])
def test_yuv_becomes_rgb(encoding: str, order: str, padding: int) -> None:
    y, u, v = 82, 90, 240  # red, BT.601
    row = np.array([{"y": y, "u": u, "v": v}[letter] for letter in order] * 2, np.uint8)
    image = color_image(padded(np.stack([row] * 2), padding), encoding, 2, 4, step=8 + padding)
    assert image.shape == (2, 4, 3)
    assert np.abs(image.astype(int) - (255, 0, 0)).max() < 3


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_a_mosaic_becomes_rgb(pattern: str) -> None:
    value = {"r": 200, "g": 90, "b": 10}
    tile = np.array([value[letter] for letter in pattern], np.uint8).reshape(2, 2)
    image = color_image(padded(np.tile(tile, (3, 4)), 5), f"bayer_{pattern}8", 6, 8, step=13)
    assert (image == (200, 90, 10)).all()


@pytest.mark.parametrize(
    ("read", "encoding", "size", "height", "width", "step", "words"),
    [
        (depth_in_metres, "mono8", 12, 2, 3, 0, ["'mono8'", "16UC1, mono16, 32FC1"]),
        (color_image, "nv12", 12, 2, 3, 0, ["'nv12'", "rgb8, bgr8", "bayer_rggb8"]),
        (color_image, "bayer_rggb16", 12, 2, 3, 0, ["'bayer_rggb16'"]),
        (color_image, "yuyv", 12, 2, 3, 0, ["yuyv", "3x2", "odd"]),
        (color_image, "yuyv", 15, 2, 4, 0, ["15 bytes"]),
        (depth_in_metres, "32FC1", 23, 2, 3, 0, ["23 bytes", "3x2"]),
        (depth_in_metres, "16UC1", 11, 2, 3, 0, ["11 bytes", "3x2"]),
        (depth_in_metres, "16UC1", 14, 2, 3, 0, ["14 bytes"]),
        (depth_in_metres, "16UC1", 8, 2, 3, 4, ["step 4", "at least 6"]),
        (depth_in_metres, "16UC1", 0, 0, 0, 0, ["0x0", "empty"]),
        (color_image, "rgb8", 17, 2, 3, 0, ["17 bytes", "rgb8"]),
        (color_image, "rgb8", 0, -2, 3, 0, ["3x-2", "empty"]),
    ],
)
def test_malformed_images_are_refused(read, encoding, size, height, width, step, words) -> None:
    with pytest.raises(ValueError) as error:
        read(bytes(size), encoding, height, width, step=step)
    assert all(word in str(error.value) for word in words), error.value
