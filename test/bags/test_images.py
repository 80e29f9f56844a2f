from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from test_rvl import rvl_encoded

from tristage_ros.bags.images import compress, raw_topic, restore
from tristage_ros.bags.messages import COMPRESSED_IMAGE, new_message
from tristage_ros.bags.reader import BagError, BagReader
from tristage_ros.bags.writer import BagWriter
from tristage_ros.perception.color import color_image
from tristage_ros.perception.images import UnsupportedImageError, depth_in_metres


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


RGB = (200, 90, 10)


def sent(description: str, data: np.ndarray) -> Any:
    return new_message(COMPRESSED_IMAGE, format=description, data=np.asarray(data, np.uint8).reshape(-1))


def coded(extension: str, pixels: np.ndarray) -> np.ndarray:
    return cv2.imencode(extension, pixels)[1].reshape(-1)


@pytest.mark.parametrize("codec", [".jpg", ".png"])
@pytest.mark.parametrize(
    "description",
    [
        *("", "jpg", "jpeg", "JPEG", ".jpg", "image/jpeg", "png", "rgb8", "rgb8;jpeg compressed bgr8"),
        *("rgba8; jpeg compressed bgr8", "bgra8; jpeg compressed bgr8", "bgra8; png compressed bgra8"),
        *("8UC3; jpeg compressed bgr8", "yuv422_yuy2; jpeg compressed bgr8", "bayer_rggb8; jpeg compressed bgr8"),
    ],
)
def test_what_is_a_jpeg_or_a_png_is_read_whatever_it_is_called(description: str, codec: str) -> None:
    data = coded(codec, np.full((8, 12, 3), RGB[::-1], np.uint8))
    image = restore("/x/compressed", sent(description, data))
    color = color_image(image.data, image.encoding, 8, 12, step=image.step)
    assert np.abs(color.astype(int) - RGB).max() <= 3


@pytest.mark.parametrize("before", ["rgb8", "rgba8", "bgr8", "bgra8"])
def test_what_image_transport_did_not_turn_to_bgr_is_not_turned_back(before: str) -> None:
    order = RGB if before.startswith("rgb") else RGB[::-1]
    turned = sent(f"{before}; png compressed bgr8", coded(".png", np.full((4, 4, 3), RGB[::-1], np.uint8)))
    # What OpenCV writes as a file's blue is the first of three numbers; so was red, where nothing was turned.
    as_it_was = sent(f"{before}; png compressed rgb8", coded(".png", np.full((4, 4, 3), RGB, np.uint8)))
    for message in (turned, as_it_was):
        image = restore("/x/compressed", message)
        assert image.encoding == before.replace("a", "")
        assert tuple(image.data[:3]) == order


def test_grey_and_alpha_and_sixteen_bits_are_read() -> None:
    grey = np.arange(16, dtype=np.uint8).reshape(4, 4) * 9
    image = restore("/x/compressed", sent("mono8; png compressed ", coded(".png", grey)))
    assert image.encoding == "mono8" and image.step == 4
    np.testing.assert_array_equal(image.data.reshape(4, 4), grey)
    bgra = np.full((4, 4, 4), (*RGB[::-1], 7), np.uint8)
    assert tuple(restore("/x/compressed", sent("rgba8; png compressed bgra8", coded(".png", bgra))).data[:4]) == (
        *RGB,
        RGB[0],
    )
    deep = np.full((4, 4, 3), RGB[::-1], np.uint16) * 256
    assert tuple(restore("/x/compressed", sent("rgb16; png compressed bgr16", coded(".png", deep))).data[:3]) == RGB


@pytest.mark.parametrize("topic", ["/depth/compressed", "/depth/compressedDepth"])
@pytest.mark.parametrize("before", ["16UC1", "mono16"])
def test_depth_of_sixteen_bits_is_read_on_either_topic(topic: str, before: str) -> None:
    png, header = coded(".png", depth_image()), np.zeros(12, np.uint8)
    separate = topic.endswith("Depth")
    data = np.concatenate([header, png]) if separate else png
    image = restore(topic, sent(f"{before}; {'compressedDepth' if separate else 'png compressed '}", data))
    assert image.encoding == "16UC1"
    np.testing.assert_array_equal(image.data.view(np.uint16).reshape(48, 64), depth_image())


@pytest.mark.parametrize("codec", ["png", "rvl"])
def test_depth_in_metres_is_read_from_its_quantised_inverse(codec: str) -> None:
    depth = np.linspace(0.2, 9.0, 48 * 64, dtype=np.float32).reshape(48, 64)
    depth[0] = np.nan
    a = 100.0 * 101.0  # with a quantisation of 100: A = q (q + 1), B = 1 - A / depth_max
    b = 1.0 - a / 10.0
    with np.errstate(invalid="ignore"):
        inverse = np.where(np.isnan(depth), 0, np.rint(a / depth + b)).astype(np.uint16)
    code = rvl_encoded(inverse) if codec == "rvl" else coded(".png", inverse)
    header = np.frombuffer(struct.pack("<iff", 0, a, b), np.uint8)
    image = restore("/x/compressedDepth", sent(f"32FC1; compressedDepth {codec}", np.concatenate([header, code])))
    metres = depth_in_metres(image.data, image.encoding, 48, 64)
    assert np.isnan(metres[0]).all()
    np.testing.assert_allclose(metres[1:], depth[1:], rtol=1e-3)


def test_depth_as_rvl_is_read() -> None:
    data = np.concatenate([np.zeros(12, np.uint8), rvl_encoded(depth_image())])
    image = restore("/x/compressedDepth", sent("16UC1; compressedDepth rvl", data))
    np.testing.assert_array_equal(image.data.view(np.uint16).reshape(48, 64), depth_image())
    with pytest.raises(ValueError, match=r"/x/compressedDepth: .* not a whole image"):
        restore("/x/compressedDepth", sent("16UC1; compressedDepth rvl", data[:-40]))


@pytest.mark.parametrize(
    ("topic", "description", "data"),
    [
        ("/x/compressed", "webp", coded(".webp", np.zeros((4, 4, 3), np.uint8))),
        ("/x/compressed", "rgb8; theora", np.arange(40)),
        ("/x/compressed", "", np.arange(40)),
        ("/x/compressed", "16UC1; jpeg compressed ", coded(".jpg", np.zeros((4, 4), np.uint8))),
        ("/x/compressedDepth", "rgb8; jpeg compressed bgr8", coded(".jpg", np.zeros((4, 4), np.uint8))),
        ("/x/compressedDepth", "16UC1; compressedDepth zstd", np.arange(40)),
        ("/x/compressedDepth", "16UC1; compressedDepth", np.append(np.zeros(12), coded(".png", np.zeros((4, 4))))),
    ],
)
def test_what_is_not_read_is_called_so_and_not_damaged(topic: str, description: str, data: np.ndarray) -> None:
    with pytest.raises(UnsupportedImageError, match=f"{topic}: .* format '{description}'"):
        restore(topic, sent(description, data))


def test_a_bag_with_what_is_not_read_is_not_called_damaged(tmp_path: Path, cdr) -> None:
    webp = coded(".webp", np.zeros((4, 4, 3), np.uint8))
    writer = BagWriter(tmp_path / "bag")
    writer.write("/x/compressed", COMPRESSED_IMAGE, cdr(sent("webp", webp)), 0)
    writer.close()
    with BagReader(tmp_path) as bag, pytest.raises(BagError, match=r"cannot be read: .*neither JPEG nor PNG") as error:
        assert next(bag.messages("/x")).value
    assert "damaged" not in str(error.value)


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


@pytest.mark.parametrize(("extension", "at"), [(".png", 16), (".jpg", None)])
def test_an_image_that_claims_the_memory_of_the_machine_is_refused_before_it_is_decoded(extension, at, monkeypatch):
    data = bytearray(cv2.imencode(extension, smooth(16, 16))[1].tobytes())
    place = data.index(b"\xff\xc0") + 5 if at is None else at
    data[place : place + 4] = b"\x70\x00\x70\x00" if at is None else b"\x00\x70\x00\x00"
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was decoded"))
    message = new_message(COMPRESSED_IMAGE, format="rgb8; jpeg compressed bgr8", data=np.frombuffer(data, np.uint8))
    with pytest.raises(ValueError, match=r"are not an image: \d+x\d+ pixels"):
        restore("/front/image/compressed", message)


def test_what_opencv_throws_is_an_image_that_is_none(monkeypatch):
    def fail(*_: Any) -> None:
        raise cv2.error("memory")

    data = cv2.imencode(".png", smooth(16, 16))[1].reshape(-1)
    monkeypatch.setattr(cv2, "imdecode", fail)
    with pytest.raises(ValueError, match="are not an image"):
        restore("/front/image/compressed", new_message(COMPRESSED_IMAGE, format="rgb8; png compressed ", data=data))
