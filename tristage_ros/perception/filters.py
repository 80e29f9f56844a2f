"""Filters for clouds that a person looks at or calibrates with; Open3D does the work.

Open3D is imported on first use, because it costs 0.6 s and 230 MB that the control loop has no need of.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from open3d.geometry import PointCloud


def downsample(points: NDArray[np.float32], voxel: float) -> NDArray[np.float32]:
    """Return one point per occupied cube of edge `voxel` (m): the mean of the points ([N, 3] m) in it."""
    return _array(_cloud(points).voxel_down_sample(voxel))


def remove_outliers(points: NDArray[np.float32], neighbours: int = 20, deviations: float = 2.0) -> NDArray[np.float32]:
    """Drop the points ([N, 3] m) that are unusually far from their nearest `neighbours`.

    Unusual is a mean distance of more than `deviations` standard deviations above the cloud's mean.
    """
    kept, _ = _cloud(points).remove_statistical_outlier(neighbours, deviations)
    return _array(kept)


def find_plane(points: NDArray[np.float32], tolerance: float = 0.005) -> tuple[NDArray[np.float64], float]:
    """Return normal [3] and offset (m) of the plane `normal . p = offset` with the most points within `tolerance` (m).

    Found by RANSAC, so the last digits differ from call to call. The normal has unit length and points up (z >= 0), so
    a table's offset is its height.

    Raises:
        ValueError: there are fewer than three points.
    """
    if len(points) < 3:
        raise ValueError(f"a plane needs 3 points, got {len(points)}")
    plane, _ = _cloud(points).segment_plane(tolerance, 3, 1000)
    scale = np.copysign(np.linalg.norm(plane[:3]), plane[2])
    return np.asarray(plane[:3], np.float64) / scale, float(-plane[3] / scale)


def write_ply(path: str | Path, points: NDArray[np.float32], colors: NDArray[np.uint8] | None = None) -> None:
    """Write points ([N, 3] m) and their RGB colours ([N, 3], 0..255) as a binary PLY file.

    Raises:
        OSError: the file cannot be written.
    """
    import open3d

    cloud = _cloud(points)
    if colors is not None:
        cloud.colors = open3d.utility.Vector3dVector(colors / 255.0)
    name: Any = str(path)  # open3d 0.18 takes nothing else, of which the stubs of 0.20 know nothing
    if not open3d.io.write_point_cloud(name, cloud):
        raise OSError(f"cannot write {path}; does its folder exist, and does its name end in .ply?")


def _cloud(points: NDArray[np.float32]) -> PointCloud:
    import open3d

    return open3d.geometry.PointCloud(open3d.utility.Vector3dVector(np.asarray(points, np.float64)))


def _array(cloud: PointCloud) -> NDArray[np.float32]:
    return np.asarray(cloud.points, np.float32)
