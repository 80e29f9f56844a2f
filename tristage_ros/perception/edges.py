"""Edges of colour and depth, by image patch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CANNY_LOW, CANNY_HIGH = 100, 200  # of the intensity gradient, 0..255 per pixel
DEPTH_STEP = 0.03  # m between neighbouring pixels


def edge_patches(image: NDArray[np.uint8], depth: NDArray[np.floating] | None, grid: int) -> NDArray[np.bool_]:
    """Tell which of grid x grid patches hold an edge, bool [grid * grid] row by row.

    An edge is a pixel that Canny finds in the [H, W, 3] RGB image, or one whose [H, W] depth (m) differs from its
    right or lower neighbour's by more than `DEPTH_STEP`; where either was not measured there is none.
    """
    import cv2  # only for the method that looks at edges

    edge = cv2.Canny(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), CANNY_LOW, CANNY_HIGH) > 0
    if depth is not None:
        measured = np.where(np.isfinite(depth) & (depth > 0), depth, np.nan)
        edge[:, :-1] |= np.abs(np.diff(measured, axis=1)) > DEPTH_STEP
        edge[:-1] |= np.abs(np.diff(measured, axis=0)) > DEPTH_STEP
    row, column = np.nonzero(edge)
    height, width = edge.shape
    held = np.zeros(grid * grid, np.bool_)
    held[row * grid // height * grid + column * grid // width] = True
    return held
