from __future__ import annotations

import numpy as np
import pytest

from tristage_ros.perception.color import KEPT_COLORS, OPACITY, draw_overlay


def shown(keep_2d: dict[int, bool], points: dict[int, bool]) -> np.ndarray:
    """Return the overlay over black: patches kept in 2D, and the patch of each 3D token and whether it was kept."""
    mask = np.zeros(256, bool)
    mask[list(keep_2d)] = list(keep_2d.values())
    return draw_overlay(
        np.zeros((480, 640, 3), np.uint8), mask, np.array(list(points.values()), bool), np.array(list(points), np.int64)
    )


def color_of(overlay: np.ndarray, patch: int) -> list[int]:
    return overlay[patch // 16 * 30 + 15, patch % 16 * 40 + 20].tolist()


@pytest.mark.parametrize(
    ("patch", "kind"),
    [(0, "2D only"), (17, "both"), (33, "3D only"), (34, "neither"), (250, "neither"), (255, "neither")],
)
def test_colours_tell_what_was_kept(patch: int, kind: str) -> None:
    overlay = shown({0: True, 17: True}, {17: True, 33: True, 34: False, -1: True})
    np.testing.assert_allclose(color_of(overlay, patch), np.array(KEPT_COLORS[kind]) * OPACITY, atol=1)


def test_one_kept_token_is_enough() -> None:
    mask = np.zeros(256, bool)
    overlay = draw_overlay(np.zeros((480, 640, 3), np.uint8), mask, np.array([True, False]), np.array([5, 5]))
    np.testing.assert_allclose(color_of(overlay, 5), np.array(KEPT_COLORS["3D only"]) * OPACITY, atol=1)


def test_the_image_shines_through_and_stays_as_it_was() -> None:
    image = np.full((100, 130, 3), 200, np.uint8)
    overlay = draw_overlay(image, np.zeros(256, bool), np.zeros(0, bool), np.zeros(0, np.int64))
    assert overlay.shape == image.shape
    assert overlay.dtype == np.uint8
    assert (image == 200).all()
    assert np.median(overlay) == pytest.approx(200 * (1 - OPACITY) + KEPT_COLORS["neither"][0] * OPACITY, abs=1)


def test_masks_that_do_not_fit_are_refused() -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    with pytest.raises(ValueError, match="255 entries"):
        draw_overlay(image, np.zeros(255, bool), np.zeros(3, bool), np.zeros(3, np.int64))
    with pytest.raises(ValueError, match="patch_of_point 2"):
        draw_overlay(image, np.zeros(256, bool), np.zeros(3, bool), np.zeros(2, np.int64))
