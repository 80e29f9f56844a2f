"""Points of the base frame -> pixels and image patches."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tristage_ros.perception.camera import CameraModel


def project(points: NDArray[np.floating], camera: CameraModel) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return pixel coordinates [N, 2] (u, v) and depth [N] (m along the optical axis) of points [N, 3] (m, base frame).

    Pixel centres are at whole numbers. Points that are not in front of the camera have NaN pixel coordinates.
    """
    local = (np.asarray(points, np.float64) - camera.pose[:3, 3]) @ camera.pose[:3, :3]
    depth = local[:, 2]
    front = np.where(depth > 0, depth, np.nan)
    uv = local[:, :2] / front[:, None] * (camera.fx, camera.fy) + (camera.cx, camera.cy)
    return uv, depth


def patch_of_points(points: NDArray[np.floating], camera: CameraModel, grid: int = 16) -> NDArray[np.int64]:
    """Return the patch [N] of each point ([N, 3] m, base frame), -1 outside the image or behind the camera.

    Patches are numbered row by row; one is 1/`grid` of the image wide and 1/`grid` of it high, because the model sees
    the image stretched to a square.
    """
    uv, _ = project(points, camera)
    place = (uv + 0.5) / (camera.width, camera.height) * grid  # column and row, as fractions
    inside = np.logical_and(place >= 0, place < grid).all(axis=1)
    patch = np.full(len(points), -1, np.int64)
    column, row = np.floor(place[inside]).astype(np.int64).T
    patch[inside] = row * grid + column
    return patch
