"""RGB-D frames of several cameras -> one cloud of evenly spread points in the base frame.

Every depth image is deprojected and cut to the workspace; `thin` leaves about one point in every small cube, and
`sample` spreads what is left by farthest-point sampling.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import fpsample
import numpy as np
from numpy.typing import NDArray

from tristage_ros.perception.camera import CameraModel


@dataclass(frozen=True)
class RgbdFrame:
    """One colour image with the depth image aligned to it."""

    color: NDArray[np.uint8]  # [H, W, 3] RGB, 0..255
    depth: NDArray[np.float32]  # [H, W] metres along the optical axis, NaN where nothing was measured
    camera: CameraModel
    stamp: float  # s, the clock of whoever made it


@dataclass(frozen=True)
class PointCloud:
    """Points in the base frame."""

    points: NDArray[np.float32]  # [N, 3] m, finite
    stamp: float  # s, of the first frame that went into it


VOXEL = 0.008  # m, edge of the cubes that a cloud is thinned by
SLOT_BITS = 20
GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio: multiplying by it sends neighbouring cubes to far slots
BUCKET_HEIGHT = 6  # of fpsample's tree; 5 to 7 are equally fast for some ten thousand points


@dataclass(frozen=True)
class Workspace:
    """Bound the part of space that the model is to see: a box in the base frame, its faces included, m."""

    lower: tuple[float, float, float]
    upper: tuple[float, float, float]

    def __post_init__(self) -> None:
        """Raise ValueError when the box is empty or not finite."""
        ordered = all(low < high for low, high in zip(self.lower, self.upper, strict=True))
        if not ordered or not np.isfinite([*self.lower, *self.upper]).all():
            box = f"{self.lower} .. {self.upper}"
            raise ValueError(f"workspace {box} m is empty; each lower bound must be below the upper one")


def build_cloud(
    frames: Sequence[RgbdFrame], workspace: Workspace, *, count: int = 1024, stride: int = 2, voxel: float = VOXEL
) -> PointCloud:
    """Merge `frames` into at most `count` points inside `workspace`, in the base frame, stamped with the first frame.

    Every `stride`-th pixel of every `stride`-th row is used, then one point per cube of edge `voxel` (m; 0: all), then
    farthest-point sampling. Fewer points than `count` are returned as they are, none as an empty cloud.

    Raises:
        ValueError: there is no frame, or a depth image does not fit its camera.
    """
    if not frames:
        raise ValueError("a cloud needs at least one frame, got none")
    parts = [deproject(frame.depth, frame.camera, workspace, stride) for frame in frames]
    points = thin(np.concatenate(parts), voxel)
    return PointCloud(sample(points, count), frames[0].stamp)


def deproject(
    depth: NDArray[np.float32], camera: CameraModel, workspace: Workspace, stride: int = 1
) -> NDArray[np.float32]:
    """Return the points [N, 3] of a depth image ([H, W] m, NaN: none) that lie in `workspace`, in the base frame.

    Points come row by row.

    Raises:
        ValueError: the image has not the camera's size.
    """
    if depth.shape != (camera.height, camera.width):
        size = f"{camera.width}x{camera.height}"
        raise ValueError(f"depth has the shape {depth.shape}, its camera {size} pixels; give depth aligned to colour")
    thinned = depth[::stride, ::stride]
    axes = []
    inside = np.ones(thinned.shape, np.bool_)
    for axis, values in enumerate(_directions(camera, stride)):
        values *= thinned
        values += np.float32(camera.pose[axis, 3])
        inside &= (values >= workspace.lower[axis]) & (values <= workspace.upper[axis])
        axes.append(values)
    return np.stack([values[inside] for values in axes], axis=1)


def _directions(camera: CameraModel, stride: int) -> Iterator[NDArray[np.float32]]:
    """Yield the x, the y and the z of every pixel's ray in the base frame, each [H, W], per metre of depth."""
    rotation = camera.pose[:3, :3]
    if camera.lens is not None:
        x, y = camera.rays(stride).astype(np.float32)
        for by_x, by_y, ahead in rotation.astype(np.float32):
            yield x * by_x + (y * by_y + ahead)
        return
    # Without a lens that is R @ ((u - cx) / fx, (v - cy) / fy, 1): a part by column plus a part by row.
    by_column = np.outer(rotation[:, 0], (np.arange(0, camera.width, stride) - camera.cx) / camera.fx) + rotation[:, 2:]
    by_row = np.outer(rotation[:, 1], (np.arange(0, camera.height, stride) - camera.cy) / camera.fy)
    for axis in range(3):
        yield by_column[axis].astype(np.float32) + by_row[axis, :, None].astype(np.float32)


def thin(points: NDArray[np.float32], voxel: float) -> NDArray[np.float32]:
    """Keep at least one of the points ([N, 3] m) in every cube of edge `voxel` (m; 0: keep all) and hardly ever more.

    Real points are kept, not means, so nothing appears between an object and its background.
    """
    if voxel <= 0:
        return points
    cell = np.floor(points.T * np.float32(1 / voxel)).astype(np.int64)
    key = ((cell[0] << 42) + (cell[1] << 21) + cell[2]).view(np.uint64)
    slot = ((key * GOLDEN) >> (64 - SLOT_BITS)).astype(np.int32)
    # Each point writes its number into a slot and the last one stays; slots nobody wrote to are never read. Where two
    # cubes share a slot, the points of the one that lost it all stay, so that no cube goes empty.
    numbers = np.arange(len(points), dtype=np.int32)
    owners = np.empty(1 << SLOT_BITS, np.int32)
    owners[slot] = numbers
    owner = owners[slot]
    kept: NDArray[np.float32] = points[(owner == numbers) | (key[owner] != key)]
    return kept


def sample(points: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Return `count` points ([N, 3]) by farthest-point sampling from the first one, or all if there are fewer."""
    if len(points) <= count or count == 1:
        return points[:count]
    chosen = fpsample.bucket_fps_kdline_sampling(points, count, h=BUCKET_HEIGHT, start_idx=0)
    spread: NDArray[np.float32] = points[np.asarray(chosen, np.int64)]
    return spread
