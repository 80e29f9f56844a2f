"""The ChArUco board: a chessboard with markers, whose corners are known apart even when only some are seen."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

DICTIONARY = "DICT_4X4_100"  # the coarsest markers: they are told apart from the farthest
FEWEST = 6  # corners; fewer do not fix a pose well


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
        """Check the numbers."""
        if not hasattr(getattr(cv2, "aruco", None), "CharucoDetector"):
            wanted = "pip install 'opencv-python-headless>=4.7,<5'"
            raise ValueError(f"boards need OpenCV 4.7 or later, here is {cv2.__version__}: {wanted}")
        if min(self.columns, self.rows) < 3:
            raise ValueError(f"a board of {self.columns}x{self.rows} squares is too small; take at least 3x3")
        if not 0 < self.marker < self.square:
            raise ValueError(
                f"markers of {self.marker * 1e3:g} mm do not fit squares of {self.square * 1e3:g} mm; measure both"
            )
        if self.columns * self.rows // 2 > 100:
            raise ValueError(f"a board of {self.columns}x{self.rows} squares needs more than the 100 markers there are")

    @cached_property
    def _board(self) -> cv2.aruco.CharucoBoard:
        dictionary = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, DICTIONARY))
        return cv2.aruco.CharucoBoard((self.columns, self.rows), self.square, self.marker, dictionary)

    @cached_property
    def _detector(self) -> cv2.aruco.CharucoDetector:
        parameters = cv2.aruco.DetectorParameters()
        parameters.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_SUBPIX
        return cv2.aruco.CharucoDetector(self._board, cv2.aruco.CharucoParameters(), parameters)

    @property
    def size(self) -> tuple[float, float]:
        """Return width and height in m."""
        return self.columns * self.square, self.rows * self.square

    def points(self, ids: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return where corners [N] are in the board's frame, [N, 3] m."""
        corners = np.asarray(self._board.getChessboardCorners(), np.float64)
        return corners[ids]

    def image(self, pixels_per_square: int) -> NDArray[np.uint8]:
        """Return the board as an image [H, W], without a margin."""
        dark = np.add.outer(np.arange(self.rows), np.arange(self.columns)) % 2 == 0
        image: NDArray[np.uint8] = np.kron(~dark, np.full((pixels_per_square,) * 2, 255)).astype(np.uint8)
        scale = pixels_per_square / self.square
        side = round(self.marker * scale)
        for number, corners in zip(np.ravel(self._board.getIds()), self._board.getObjPoints(), strict=True):
            left, top = (round(float(place) * scale) for place in corners[0][:2])
            marker = cv2.aruco.generateImageMarker(self._board.getDictionary(), int(number), side)
            image[top : top + side, left : left + side] = marker
        return image

    def find(self, color: NDArray[np.uint8]) -> Corners | None:
        """Return the corners in an image [H, W, 3] RGB, None when too few are seen."""
        found, ids, _, _ = self._detector.detectBoard(cv2.cvtColor(color, cv2.COLOR_RGB2GRAY))
        if ids is None or len(ids) < FEWEST:
            return None
        return Corners(np.asarray(ids, np.int64).ravel(), np.asarray(found, np.float64).reshape(-1, 2))
