"""The ChArUco board: its geometry, and finding it in images."""

import numpy as np
import pytest

from tristage_ros.perception.charuco import Board


def test_its_image_shows_its_corners_where_it_says():
    board = Board()
    picture = np.pad(board.image(60), 40, constant_values=255)
    corners = board.find(np.repeat(picture[..., None], 3, axis=2))
    assert sorted(corners.ids) == list(range(4 * 3))
    expected = board.points(corners.ids)[:, :2] / board.square * 60 + 40 - 0.5  # a pixel's centre is a whole number
    np.testing.assert_allclose(corners.pixels, expected, atol=0.5)
    assert board.size == pytest.approx((0.240, 0.192))


def test_too_few_corners_are_none():
    board = Board()
    picture = np.full((480, 640, 3), 200, np.uint8)
    assert board.find(picture) is None
    picture[:120, :120] = board.image(60)[:120, :120, None]
    assert board.find(picture) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"columns": 2}, "2x4"),
        ({"marker": 0.06}, "60 mm"),
        ({"marker": 0.0}, "0 mm"),
        ({"columns": 20, "rows": 20}, "100 markers"),
    ],
)
def test_boards_that_cannot_be_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        Board(**changes)
