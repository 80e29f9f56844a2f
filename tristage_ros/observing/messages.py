"""What messages hold, as values of the pure rooms. They need only have the fields: rclpy's do, and those of bags."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tristage_ros.perception.images import depth_in_metres
from tristage_ros.words import shown

Message: TypeAlias = Any  # with the fields of a ROS message
FLOAT32 = 7  # sensor_msgs/PointField


def seconds(stamp: Message) -> float:
    """Return a stamp in seconds."""
    return float(stamp.sec + stamp.nanosec * 1e-9)


def parts(value: float) -> tuple[int, int]:
    """Return seconds as whole ones and nanoseconds, of which `seconds` makes `value` again, to the last bit.

    As one number of nanoseconds, which no float holds exactly, one in fifteen came back earlier or later.
    """
    whole = math.floor(value)
    nanoseconds = round((value - whole) * 1e9)
    return whole + nanoseconds // 10**9, nanoseconds % 10**9


def depth_image(message: Message) -> NDArray[np.float32]:
    """Return a depth image as [H, W] metres, NaN where nothing was measured; raise ValueError when it is malformed."""
    return depth_in_metres(
        message.data,
        message.encoding,
        message.height,
        message.width,
        step=message.step,
        is_bigendian=bool(message.is_bigendian),
    )


def cloud_points(message: Message) -> NDArray[np.float32]:
    """Return the x, y, z of a PointCloud2 as [N, 3] float32, m.

    Raises:
        ValueError: there is no float32 field x, y or z, or the data is shorter than it says.
    """
    offsets = {field.name: field.offset for field in message.fields if field.datatype == FLOAT32}
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
