"""Images that say that a camera is not seeing, and images that only look like it."""

import numpy as np
import pytest

from tristage_ros.devices.realsense.capture import Capture, ImageWatch

RNG = np.random.default_rng(0)


def capture(color=None, depth=None, arrival=0.0):
    color = RNG.integers(0, 255, (48, 64, 3), np.uint8) if color is None else color
    depth = RNG.integers(500, 900, (48, 64), np.uint16) if depth is None else depth
    return Capture(color, depth, depth, arrival, True, arrival, {})


def seen(*captures):
    watch = ImageWatch()
    for one in captures:
        watch.look(one)
    return watch


def test_a_living_image_has_no_fault():
    watch = seen(capture(arrival=1.0), capture(arrival=2.0))
    assert (watch.black, watch.without_depth, watch.repeated_for) == (False, False, 0.0)


def test_a_repeated_image_is_told_by_its_age_and_forgotten_when_it_changes():
    first = capture(arrival=1.0)
    same = [capture(first.color.copy(), first.depth.copy(), arrival) for arrival in (1.1, 2.5)]
    assert seen(first, *same).repeated_for == pytest.approx(1.5)
    assert seen(first, *same, capture(arrival=2.6)).repeated_for == 0.0


@pytest.mark.parametrize("part", ["color", "depth"])
def test_one_pixel_that_changes_is_life(part):
    first = capture(arrival=1.0)
    color, depth = first.color.copy(), first.depth.copy()
    (color if part == "color" else depth)[5, 7] += 1  # beside the pixels of the coarse look
    assert seen(first, capture(color, depth, 2.0)).repeated_for == 0.0


def test_an_image_without_contrast_says_nothing_about_freezing():
    white, nothing = np.full((48, 64, 3), 255, np.uint8), np.zeros((48, 64), np.uint16)
    assert seen(capture(white, nothing, 1.0), capture(white, nothing, 5.0)).repeated_for == 0.0


@pytest.mark.parametrize(("level", "black"), [(0, True), (10, True), (40, False)])
def test_black_is_dark_everywhere(level, black):
    color = np.full((48, 64, 3), level, np.uint8)
    assert seen(capture(color)).black is black


def test_a_dark_room_with_a_lamp_is_not_black():
    color = np.zeros((48, 64, 3), np.uint8)
    color[10:20, 10:20] = 200
    assert not seen(capture(color)).black


def test_depth_without_a_value():
    depth = np.zeros((48, 64), np.uint16)
    assert seen(capture(depth=depth)).without_depth
    depth[3, 5] = 700
    assert not seen(capture(depth=depth)).without_depth
