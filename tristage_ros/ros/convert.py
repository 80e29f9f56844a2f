"""Between messages and the values of the pure rooms, without copying pixels where it can be helped."""

from __future__ import annotations

from array import array

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField
from std_msgs.msg import Header

from tristage_ros.perception.camera import CameraModel
from tristage_ros.perception.images import depth_in_metres
from tristage_ros.perception.lens_models import PLUMB_BOB
from tristage_ros.words import shown


def seconds(stamp: Time) -> float:
    """Return a stamp in seconds."""
    return stamp.sec + stamp.nanosec * 1e-9


def to_stamp(value: float) -> Time:
    """Return seconds as a stamp."""
    nanoseconds = round(value * 1e9)
    return Time(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)


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


def depth_image(message: Image) -> NDArray[np.float32]:
    """Return a depth image as [H, W] metres, NaN where nothing was measured; raise ValueError when it is malformed."""
    return depth_in_metres(
        message.data,
        message.encoding,
        message.height,
        message.width,
        step=message.step,
        is_bigendian=bool(message.is_bigendian),
    )


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


def cloud_points(message: PointCloud2) -> NDArray[np.float32]:
    """Return the x, y, z of a PointCloud2 as [N, 3] float32, m.

    Raises:
        ValueError: there is no float32 field x, y or z, or the data is shorter than it says.
    """
    offsets = {field.name: field.offset for field in message.fields if field.datatype == PointField.FLOAT32}
    if not {"x", "y", "z"} <= offsets.keys():
        raise ValueError(
            f"the cloud has the fields {shown([field.name for field in message.fields])}, not float32 x, y and z"
        )
    if max(offsets[name] for name in "xyz") + 4 > message.point_step:
        raise ValueError(f"the cloud has points of {message.point_step} bytes, and x, y, z beyond these")
    if message.point_step >= 2**31:
        raise ValueError(f"the cloud has points of {message.point_step} bytes")
    count = message.width * message.height
    if len(message.data) < count * message.point_step:
        raise ValueError(f"the cloud holds {len(message.data)} bytes, not {count} points of {message.point_step} bytes")
    order = ">" if message.is_bigendian else "<"
    kind = np.dtype(
        {
            "names": ["x", "y", "z"],
            "formats": [f"{order}f4"] * 3,
            "offsets": [offsets[name] for name in "xyz"],
            "itemsize": message.point_step,
        }
    )
    points = np.frombuffer(message.data, kind, count)
    return np.stack([points["x"], points["y"], points["z"]], axis=1).astype(np.float32, copy=False)
