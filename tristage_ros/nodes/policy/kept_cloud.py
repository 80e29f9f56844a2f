"""The model's cloud, every point in the colour of what was kept of the 3D token next to it: for RViz and Foxglove."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree
from sensor_msgs.msg import PointCloud2, PointField

from tristage_ros.mla.values import Observation, StepReport
from tristage_ros.perception.overlay import KEPT_COLORS
from tristage_ros.ros.convert import header, to_array

FIELDS = [
    PointField(name=name, offset=4 * index, datatype=kind, count=1)
    for index, (name, kind) in enumerate(
        [("x", PointField.FLOAT32), ("y", PointField.FLOAT32), ("z", PointField.FLOAT32), ("rgb", PointField.FLOAT32)]
    )
]
LAYOUT = np.dtype([("xyz", "<f4", 3), ("rgb", "<u4")])  # the bits 0xRRGGBB of rgb are called a float by custom


def kept_cloud_message(observation: Observation, report: StepReport, frame_id: str) -> PointCloud2:
    """Return the cloud of a step; colours as in the overlay, by the nearest 3D token and the 2D token of its patch."""
    points = observation.points[np.isfinite(observation.points).all(axis=1)]
    cloud = np.empty(len(points), LAYOUT)
    if len(points):
        nearest = cKDTree(report.token_centres).query(points)[1]
        cloud["xyz"], cloud["rgb"] = points, _colors(report)[nearest]
    return PointCloud2(
        header=header(observation.stamp, frame_id),
        height=1,
        width=len(cloud),
        fields=FIELDS,
        is_bigendian=False,
        point_step=LAYOUT.itemsize,
        row_step=LAYOUT.itemsize * len(cloud),
        data=to_array(cloud.view(np.uint8)),
        is_dense=True,
    )


def _colors(report: StepReport) -> np.ndarray:
    """Return [N3] 0xRRGGBB, one for every 3D token; one outside the image has no 2D token."""
    patch = report.patch_of_point
    keep_2d, keep_3d = report.masks.keep_2d.cpu().numpy(), report.masks.keep_3d.cpu().numpy()
    kind = np.where(patch >= 0, keep_2d[patch], False) + 2 * keep_3d.astype(np.int64)  # in the order of KEPT_COLORS
    red, green, blue = np.array(list(KEPT_COLORS.values()), np.uint32)[kind].T
    return (red << 16) | (green << 8) | blue
