"""Between messages and the values of the pure rooms, without copying pixels where it can be helped."""

from __future__ import annotations

from array import array

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField
from std_msgs.msg import Header

from tristage_ros.observing.messages import cloud_points, depth_image, parts, seconds
from tristage_ros.perception.camera import CameraModel
from tristage_ros.perception.lens_models import PLUMB_BOB

__all__ = ["camera_info_message", "cloud_message", "cloud_points", "depth_image", "header", "image_message", "seconds",
           "to_array", "to_stamp"]  # fmt: skip


def to_stamp(value: float) -> Time:
    """Return seconds as a stamp."""
    sec, nanosec = parts(value)
    return Time(sec=sec, nanosec=nanosec)


def header(stamp: float, frame_id: str) -> Header:
    """Return a header; `stamp` in seconds."""
    return Header(stamp=to_stamp(stamp), frame_id=frame_id)


def to_array(data: NDArray[np.generic]) -> array[int]:
    """Return the bytes of `data` in the one type that rclpy takes without converting element by element."""
    result = array("B")
    if data.size:  # an empty view cannot be cast
        result.frombytes(memoryview(np.ascontiguousarray(data)).cast("B"))
    return result


def image_message(data: NDArray[np.generic], encoding: str, stamp: float, frame_id: str) -> Image:
    """Return an Image of `data` ([H, W] or [H, W, 3])."""
    height, width = data.shape[:2]
    message = Image(header=header(stamp, frame_id), height=height, width=width, encoding=encoding, is_bigendian=0)
    message.step = data.strides[0] if data.flags.c_contiguous else data[0].nbytes
    message.data = to_array(data)
    return message


def camera_info_message(camera: CameraModel, stamp: float) -> CameraInfo:
    """Return the CameraInfo of a camera; one without a lens is told as plumb_bob, with nothing that distorts."""
    return CameraInfo(
        header=header(stamp, camera.frame_id),
        height=camera.height,
        width=camera.width,
        distortion_model=camera.lens.model if camera.lens else PLUMB_BOB,
        d=list(camera.lens.coefficients) if camera.lens else [0.0] * 5,
        k=[camera.fx, 0.0, camera.cx, 0.0, camera.fy, camera.cy, 0.0, 0.0, 1.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[camera.fx, 0.0, camera.cx, 0.0, 0.0, camera.fy, camera.cy, 0.0, 0.0, 0.0, 1.0, 0.0],
    )


def cloud_message(points: NDArray[np.float32], stamp: float, frame_id: str) -> PointCloud2:
    """Return a PointCloud2 of `points` ([N, 3], m)."""
    fields = [PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1) for i, name in enumerate("xyz")]
    return PointCloud2(
        header=header(stamp, frame_id),
        height=1,
        width=len(points),
        fields=fields,
        is_bigendian=False,
        point_step=12,
        row_step=12 * len(points),
        data=to_array(points.astype("<f4", copy=False)),
        is_dense=True,
    )
