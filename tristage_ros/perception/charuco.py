"""The ChArUco board: a chessboard with markers, whose corners are known apart even when only some are seen."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

DICTIONARY = "DICT_4X4_100"  # the coarsest markers: they are told apart from the farthest
FEWEST = 6  # corners; fewer do not fix a pose well
aruco: Any = getattr(cv2, "aruco", None)  # its functions were renamed with 4.7; some builds are without
REFINEMENT = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 50, 0.001)


@dataclass(frozen=True)
class Corners:
    """Hold the corners that were found in one image."""

    ids: NDArray[np.int64]  # [N]
    pixels: NDArray[np.float64]  # [N, 2] u, v; (0, 0) is the centre of the top left pixel


@dataclass(frozen=True)
class Board:
    """Describe a board of OpenCV's kind: its frame lies in the top left corner, x right, y down, z into the board."""

    columns: int = 5  # squares
    rows: int = 4  # squares; 5x4 of 48 mm is what fits a sheet of A4
    square: float = 0.048  # m
    marker: float = 0.036  # m

    def __post_init__(self) -> None:
        """Check the numbers, and that OpenCV knows markers."""
        if aruco is None:
            raise ValueError(
                f"boards need OpenCV's module aruco, which {cv2.__version__} here is built without; type: "
                "pip install 'opencv-python-headless>=4.7,<4.12'"
            )
        if min(self.columns, self.rows) < 3:
            raise ValueError(f"a board of {self.columns}x{self.rows} squares is too small; take at least 3x3")
        if not 0 < self.marker < self.square:
            raise ValueError(
                f"markers of {self.marker * 1e3:g} mm do not fit squares of {self.square * 1e3:g} mm; measure both"
            )
        if self.columns * self.rows // 2 > 100:
            raise ValueError(f"a board of {self.columns}x{self.rows} squares needs more than the 100 markers there are")

    @cached_property
    def _squares(self) -> NDArray[np.int64]:
        """Return column and row of the squares with a marker, [M, 2], in the order of the markers' numbers."""
        places = np.stack(np.meshgrid(np.arange(self.columns), np.arange(self.rows)), axis=-1).reshape(-1, 2)
        light: NDArray[np.int64] = places[places.sum(axis=1) % 2 == 1]
        return light

    @cached_property
    def _markers(self) -> NDArray[np.float64]:
        """Return the corners of the markers, [M, 4, 2] m, as OpenCV goes round them: top left, clockwise."""
        margin = (self.square - self.marker) / 2
        around = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * self.marker
        markers: NDArray[np.float64] = (self._squares * self.square + margin)[:, None] + around
        return markers

    @property
    def size(self) -> tuple[float, float]:
        """Return width and height in m."""
        return self.columns * self.square, self.rows * self.square

    def points(self, ids: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return where corners [N] are in the board's frame, [N, 3] m."""
        across = self.columns - 1
        corners = np.stack([ids % across + 1, ids // across + 1, np.zeros_like(ids)], axis=-1)
        return np.asarray(corners * self.square, np.float64)

    def image(self, pixels_per_square: int) -> NDArray[np.uint8]:
        """Return the board as an image [H, W], without a margin."""
        dark = np.add.outer(np.arange(self.rows), np.arange(self.columns)) % 2 == 0
        image: NDArray[np.uint8] = np.kron(~dark, np.full((pixels_per_square,) * 2, 255)).astype(np.uint8)
        scale = pixels_per_square / self.square
        side = round(self.marker * scale)
        for number, (left, top) in enumerate(np.rint(self._markers[:, 0] * scale).astype(int)):
            image[top : top + side, left : left + side] = _draw_marker(number, side)
        return image

    def find(self, color: NDArray[np.uint8]) -> Corners | None:
        """Return the corners in an image [H, W, 3] RGB, None when too few are seen."""
        gray = cv2.cvtColor(color, cv2.COLOR_RGB2GRAY)
        markers = {number: corners for number, corners in _detect_markers(gray) if number < len(self._squares)}
        ids = np.arange((self.columns - 1) * (self.rows - 1))
        found = {int(number): place for number in ids if (place := self._find(int(number), markers, gray)) is not None}
        if len(found) < FEWEST:
            return None
        return Corners(np.array(list(found), np.int64), np.array(list(found.values()), np.float64))

    def _find(
        self, number: int, markers: dict[int, NDArray[np.float32]], gray: NDArray[np.uint8]
    ) -> NDArray[np.float64] | None:
        """Return where a corner is, [2]; None unless both markers that touch its squares are seen."""
        corner = self.points(np.array([number]))[0, :2]
        away = np.linalg.norm(self._markers.mean(axis=1) - corner, axis=1)
        beside = [int(marker) for marker in np.flatnonzero(away < self.square)]
        if not all(marker in markers for marker in beside):
            return None
        drawn, seen = (np.concatenate([of[marker] for marker in beside]) for of in (self._markers, markers))
        homography, _ = cv2.findHomography(drawn, seen)
        if homography is None:
            return None
        start = cv2.perspectiveTransform(corner.reshape(1, 1, 2), homography)
        # The window must not reach the markers, whose corners are as good.
        window = int(np.clip(np.linalg.norm(seen - start[0], axis=1).min() - 2, 1, 10))
        place: NDArray[np.float64] = cv2.cornerSubPix(
            gray, start.astype(np.float32), (window, window), (-1, -1), REFINEMENT
        )[0, 0]
        return place


# OpenCV's own class of this board is not used: before 4.6 it knows another pattern.


def _dictionary() -> Any:
    return aruco.getPredefinedDictionary(getattr(aruco, DICTIONARY))


def _draw_marker(number: int, side: int) -> NDArray[np.uint8]:
    draw = getattr(aruco, "generateImageMarker", None) or aruco.drawMarker
    image: NDArray[np.uint8] = draw(_dictionary(), number, side)
    return image


def _detect_markers(gray: NDArray[np.uint8]) -> list[tuple[int, NDArray[np.float32]]]:
    """Return number and corners [4, 2] of every marker in an image."""
    # Without OpenCV's refinement of the markers' corners: old versions take them for those of the squares.
    if hasattr(aruco, "ArucoDetector"):
        corners, ids, _ = aruco.ArucoDetector(_dictionary()).detectMarkers(gray)
    else:
        corners, ids, _ = aruco.detectMarkers(gray, _dictionary())
    return [(int(number), corner[0]) for number, corner in zip(np.ravel(ids), corners, strict=True)] if corners else []
