from __future__ import annotations

import numpy as np
import pytest

from tristage_ros.bags import rvl


def rvl_encoded(depth: np.ndarray) -> np.ndarray:
    """Return an image [H, W] uint16 as compressed_depth_image_transport sends it behind its header."""
    nibbles: list[int] = []

    def write(number: int) -> None:
        while number > 7:
            nibbles.append(number & 7 | 8)
            number >>= 3
        nibbles.append(number)

    values, at, before = depth.reshape(-1).tolist(), 0, 0
    while at < len(values):
        start = next((i for i in range(at, len(values)) if values[i]), len(values))
        end = next((i for i in range(start, len(values)) if not values[i]), len(values))
        write(start - at)
        write(end - start)
        for value in values[start:end]:
            write(2 * (value - before) if value >= before else 2 * (before - value) - 1)
            before = value
        at = end
    words = np.array(nibbles + [0] * (-len(nibbles) % 8), np.uint8).reshape(-1, 8)
    code = (words[:, ::2] << 4 | words[:, 1::2])[:, ::-1].reshape(-1)
    return np.concatenate([np.array(depth.shape[::-1], "<u4").view(np.uint8), code])


def noise(height: int, width: int) -> np.ndarray:
    random = np.random.default_rng(0)
    return (random.integers(0, 65536, (height, width)) * (random.random((height, width)) < 0.7)).astype(np.uint16)


IMAGES = {
    "noise": noise(48, 64),
    "nothing measured": np.zeros((5, 7), np.uint16),
    "all measured": np.full((5, 7), 65535, np.uint16),
    "one pixel": np.ones((1, 1), np.uint16),
}


@pytest.mark.parametrize("name", IMAGES)
def test_every_pixel_comes_back(name: str) -> None:
    np.testing.assert_array_equal(rvl.decode(rvl_encoded(IMAGES[name])), IMAGES[name])


def test_a_code_that_is_known_is_read() -> None:
    # 0 zeros, 2 others: +9 (18: 2 and more, 2), -1 (1); 1 zero, 0 others; in one word, the first nibble highest.
    data = np.array([3, 1, 0x02A21100], "<u4").view(np.uint8)
    assert rvl.decode(data).tolist() == [[9, 8, 0]]


@pytest.mark.parametrize("kept", [0, 4, 8, 12, 0.5, 0.9, -4])
def test_what_was_cut_off_is_refused(kept: float) -> None:
    data = rvl_encoded(noise(48, 64))
    with pytest.raises(ValueError):
        rvl.decode(data[: int(kept * len(data)) // 4 * 4 if 0 < kept < 1 else int(kept)])


@pytest.mark.parametrize("size", [(0, 5), (70000, 70000), (2, 2)])
def test_a_size_that_the_code_does_not_fit_is_refused(size: tuple[int, int]) -> None:
    data = rvl_encoded(noise(5, 7))
    data[:8] = np.array(size, "<u4").view(np.uint8)
    with pytest.raises(ValueError, match=f"{size[0]}x{size[1]}"):
        rvl.decode(data)


def test_random_bytes_are_refused_or_read_but_nothing_breaks() -> None:
    random = np.random.default_rng(1)
    for _ in range(200):
        data = random.integers(0, 256, 80).astype(np.uint8)
        data[:8] = np.array((8, 6), "<u4").view(np.uint8)
        try:
            assert rvl.decode(data).shape == (6, 8)
        except ValueError:
            continue
