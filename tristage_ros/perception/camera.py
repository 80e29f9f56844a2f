"""The camera, its lens, and the patches of its image: in which one a point falls.

Points and poses are in the base frame, m. Patches are numbered row by row; the model sees the image stretched to a
square, so one is 1/grid of the image wide and 1/grid of it high. The image is the one that came, bent as the lens does.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # whoever has a lens has OpenCV
    from tristage_ros.perception.lens import Lens

Floats = NDArray[np.float64]

EXACT = 0.05  # px; a ray whose image is farther from the pixel that it was looked for is none
MOST_BLIND = 0.5  # of the pixels may have no ray
RIM = 1.02  # of the longest ray of the image: up to there, what the lens says holds


@dataclass(frozen=True)
class CameraModel:
    """Describe a pinhole camera, behind a lens where it has one that distorts.

    The optical frame follows REP-103: x right, y down, z forward. Pixel (0, 0) is the centre of the top left pixel.
    """

    width: int  # pixels
    height: int  # pixels
    fx: float  # pixels
    fy: float  # pixels
    cx: float  # pixels
    cy: float  # pixels
    pose: Floats = field(default_factory=lambda: np.eye(4))  # [4, 4] optical frame in the base frame, m
    frame_id: str = ""
    lens: Lens | None = None  # None: it distorts nothing

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

    def at(self, pose: Floats) -> CameraModel:
        """Return the same camera with its optical frame at `pose` ([4, 4], base frame, m)."""
        return replace(self, pose=pose)

    def rays(self, stride: int = 1) -> Floats:
        """Return x and y at z = 1 of what every `stride`-th pixel of every `stride`-th row sees, [2, H, W].

        NaN where a lens leaves a pixel without a ray. The array is shared, and must not be written.
        """
        return _rays(self._key, stride)

    def check(self) -> None:
        """Raise ValueError when the lens cannot be that of this image."""
        if self.lens is None:
            return
        blind = float(np.isnan(self.rays()[0]).mean())
        if blind > MOST_BLIND:
            raise ValueError(
                f"the lens, {self.lens.model} with {list(self.lens.coefficients)}, leaves {100 * blind:.0f} % of "
                f"{self.width}x{self.height} pixels without a ray: calibrate the camera's intrinsics anew"
            )

    @property
    def reach(self) -> float:
        """Return how long the longest ray of the image is, at z = 1."""
        return _longest(self._key)

    @property
    def matrix(self) -> Floats:
        """Return K, [3, 3]."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    @property
    def _key(self) -> _Key:
        return self.width, self.height, self.fx, self.fy, self.cx, self.cy, self.lens


_Key = tuple[int, int, float, float, float, float, "Lens | None"]


@lru_cache(maxsize=16)
def _rays(key: _Key, stride: int) -> Floats:
    width, height, fx, fy, cx, cy, lens = key
    if lens is not None and stride > 1:
        rays = np.ascontiguousarray(_rays(key, 1)[:, ::stride, ::stride])
    else:
        pinhole = np.meshgrid((np.arange(0, width, stride) - cx) / fx, (np.arange(0, height, stride) - cy) / fy)
        rays = np.stack(pinhole) if lens is None else _unbent(np.stack(pinhole), lens, (fx, fy))
    rays.flags.writeable = False
    return rays


def _unbent(places: Floats, lens: Lens, focal: tuple[float, float]) -> Floats:
    """Return the rays [2, H, W] that a lens bends to `places` [2, H, W], NaN where there is none."""
    wanted = places.reshape(2, -1).T
    with np.errstate(over="ignore", invalid="ignore"):
        rays = lens.undistort(wanted)
        missed = np.abs(lens.distort(rays) - wanted) * focal
        found = rays.T.reshape(places.shape)
        # Where a polynomial turns back, neighbours change places.
        onward = (np.gradient(found[0], axis=1) > 0) & (np.gradient(found[1], axis=0) > 0)
    seen = onward & (missed < EXACT).all(axis=1).reshape(onward.shape)
    return np.where(seen, found, np.nan)


@lru_cache(maxsize=8)
def _longest(key: _Key) -> float:
    squares = (_rays(key, 1) ** 2).sum(axis=0)
    return float(np.sqrt(squares[np.isfinite(squares)].max(initial=0.0)))


def project(points: NDArray[np.floating], camera: CameraModel) -> tuple[Floats, Floats]:
    """Return pixel coordinates [N, 2] (u, v) and depth [N] (m along the optical axis) of points [N, 3] (m, base frame).

    Pixel centres are at whole numbers. Points that are not in front of the camera have NaN pixel coordinates, and so
    have those that are so far outside the image that the model of the lens says nothing of them.
    """
    local = (np.asarray(points, np.float64) - camera.pose[:3, 3]) @ camera.pose[:3, :3]
    depth = local[:, 2]
    front = np.where(depth > 0, depth, np.nan)
    rays = local[:, :2] / front[:, None]
    if camera.lens is not None:
        known = (rays**2).sum(axis=1) < (RIM * camera.reach) ** 2
        rays = np.where(known[:, None], camera.lens.distort(np.where(known[:, None], rays, 0.0)), np.nan)
    uv = rays * (camera.fx, camera.fy) + (camera.cx, camera.cy)
    return uv, depth


def projection_matrix(camera: CameraModel) -> Floats:
    """Return [3, 4]: a point (m, base frame) with a 1 below it, to its place in the image times its depth, and that.

    Places are in widths and heights of the image, 0..1 from the top left corner. Raises ValueError for a camera behind
    a lens that distorts: no matrix does.
    """
    if camera.lens is not None:
        raise ValueError(f"the lens of {camera.frame_id or 'the camera'} distorts: rectify its images first")
    to_image = np.array(
        [
            [camera.fx / camera.width, 0.0, (camera.cx + 0.5) / camera.width],
            [0.0, camera.fy / camera.height, (camera.cy + 0.5) / camera.height],
            [0.0, 0.0, 1.0],
        ]
    )
    turn = camera.pose[:3, :3].T
    return np.asarray(to_image @ np.column_stack([turn, -turn @ camera.pose[:3, 3]]))


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
