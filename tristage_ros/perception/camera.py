"""The pinhole camera and the patches of its image: in which one a point falls.

Points and poses are in the base frame, m. Patches are numbered row by row; the model sees the image stretched to a
square, so one is 1/grid of the image wide and 1/grid of it high.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class CameraModel:
    """Describe a rectified pinhole camera.

    The optical frame follows REP-103: x right, y down, z forward. Pixel (0, 0) is the centre of the top left pixel.
    """

    width: int  # pixels
    height: int  # pixels
    fx: float  # pixels
    fy: float  # pixels
    cx: float  # pixels
    cy: float  # pixels
    pose: NDArray[np.float64] = field(default_factory=lambda: np.eye(4))  # [4, 4] optical frame in the base frame, m
    frame_id: str = ""

    def scaled(self, width: int, height: int) -> CameraModel:
        """Return the same camera after its image was stretched to `width` x `height` pixels (aspect not preserved)."""
        sx, sy = width / self.width, height / self.height
        return replace(
            self,
            width=width,
            height=height,
            fx=self.fx * sx,
            fy=self.fy * sy,
            cx=(self.cx + 0.5) * sx - 0.5,
            cy=(self.cy + 0.5) * sy - 0.5,
        )

    def at(self, pose: NDArray[np.float64]) -> CameraModel:
        """Return the same camera with its optical frame at `pose` ([4, 4], base frame, m)."""
        return replace(self, pose=pose)


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
