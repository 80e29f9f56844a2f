"""Messages of other people's drivers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CameraInfo, JointState, PointCloud2, PointField, RegionOfInterest
from std_msgs.msg import Header
from tristage_msgs.msg import ArmStatus

from tristage_ros.bench.fuzz.images import LENGTHS
from tristage_ros.bench.fuzz.judge import Kind
from tristage_ros.bench.fuzz.mutations import TEXTS, mostly
from tristage_ros.perception.camera import patch_of_points
from tristage_ros.perception.camera_info import camera_model
from tristage_ros.perception.lens_models import NAMES
from tristage_ros.ros.convert import cloud_points
from tristage_ros.ros.joints import ARM_JOINTS, GRIPPER_JOINT, JointHistory, zero_of

FLOATS = st.one_of(st.floats(), st.floats(-2, 2), st.integers(-1000, 1000).map(float))
STAMPS = st.builds(Time, sec=st.integers(-(2**31), 2**31 - 1), nanosec=st.integers(0, 2**32 - 1))
HEADERS = st.builds(Header, stamp=STAMPS, frame_id=TEXTS)
JOINTS = (*ARM_JOINTS, GRIPPER_JOINT)
POINTS = np.array([[0.1, 0.2, 0.9], [5.0, -3.0, 0.01], [0.0, 0.0, -1.0], [np.nan, 0.0, 1.0]])


def kinds(_: Path) -> dict[str, Kind]:
    """Return the kinds by name."""
    return {
        "camera_info": Kind(_camera_info(), _camera, (ValueError,)),
        "joint_states": Kind(_joint_state(), _joints, (ValueError,)),
        "arm_status": Kind(_status(), _zero),
        "point_cloud": Kind(_cloud(), lambda data: cloud_points(deserialize_message(data, PointCloud2)), (ValueError,)),
    }


def _camera(data: bytes) -> None:
    info = deserialize_message(data, CameraInfo)
    camera = camera_model(info, ("", *NAMES)[info.binning_x % 2 * (info.height % 6)], "/front/image_rect"[: info.width])
    patch_of_points(POINTS, camera)
    _ = camera.rays(), camera.reach


@st.composite
def _camera_info(draw: DrawFn) -> bytes:
    lengths = st.one_of(st.integers(1, 40), LENGTHS)
    width, height = draw(mostly(st.just((32, 24)), st.tuples(lengths, lengths)))
    fx, fy, cx, cy = draw(mostly(st.just((30.0, 31.0, 15.5, 12.0)), st.tuples(FLOATS, FLOATS, FLOATS, FLOATS)))
    names, numbers = ("x_offset", "y_offset", "height", "width"), st.integers(0, 12)
    roi = dict(zip(names, draw(st.tuples(numbers, numbers, numbers, numbers)), strict=True))
    binning = mostly(st.integers(0, 2), LENGTHS)
    counts = st.sampled_from((0, 4, 5, 8, 12, 14, 3, 15))
    info = CameraInfo(
        header=draw(HEADERS), width=width, height=height,
        distortion_model=draw(mostly(st.sampled_from(NAMES), TEXTS)),
        d=draw(counts.flatmap(lambda n: st.lists(mostly(st.floats(-0.3, 0.3), FLOATS), min_size=n, max_size=n))),
        k=[fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0], p=[fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
        roi=RegionOfInterest(**roi) if draw(st.booleans()) else RegionOfInterest(),
        binning_x=draw(binning), binning_y=draw(binning),
    )  # fmt: skip
    return bytes(serialize_message(info))


def _joints(data: bytes) -> None:
    history, message = JointHistory(), deserialize_message(data, JointState)
    history.add(JointState(name=JOINTS, position=[0.0] * 7))
    history.add(message)
    history.at(history.newest)


@st.composite
def _joint_state(draw: DrawFn) -> bytes:
    names = draw(st.one_of(st.permutations(JOINTS), st.lists(st.one_of(st.sampled_from(JOINTS), TEXTS), max_size=9)))
    counts = st.one_of(st.just(len(names)), st.integers(0, 9))
    columns = [draw(counts.flatmap(lambda n: st.lists(FLOATS, min_size=n, max_size=n))) for _ in range(3)]
    message = JointState(header=draw(HEADERS), name=names, position=columns[0], velocity=columns[1], effort=columns[2])
    return bytes(serialize_message(message))


def _zero(data: bytes) -> None:
    warnings: list[str] = []
    logger = SimpleNamespace(warning=lambda text, **_: warnings.append(text))
    node: Any = SimpleNamespace(get_logger=lambda: logger)
    zero_of(node, deserialize_message(data, ArmStatus), before=True)
    assert all(text.isprintable() for text in warnings)


def _status() -> st.SearchStrategy[bytes]:
    numbers = st.one_of(st.integers(0, 12), st.just(10**30))
    firmware = st.one_of(TEXTS, st.builds("S-V{}.{}-{}".format, numbers, numbers, numbers))
    return st.builds(ArmStatus, firmware=firmware).map(lambda status: bytes(serialize_message(status)))


@st.composite
def _cloud(draw: DrawFn) -> bytes:
    names = st.one_of(st.sampled_from(("x", "y", "z")), TEXTS)
    kinds = st.one_of(st.just(PointField.FLOAT32), st.integers(0, 255))
    one = st.builds(PointField, name=names, offset=LENGTHS, datatype=kinds, count=LENGTHS)
    usual = [PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1) for i, name in enumerate("xyz")]
    fields = draw(mostly(st.just(usual), st.lists(one, max_size=4)))
    width, height, step = draw(st.tuples(LENGTHS, LENGTHS, mostly(st.sampled_from((12, 16)), LENGTHS)))
    fitting = width * height * step
    size = draw(mostly(st.just(fitting if fitting < 1 << 14 else 48), st.integers(0, 200)))
    cloud = PointCloud2(
        header=draw(HEADERS), width=width, height=height, fields=fields, point_step=step, row_step=draw(LENGTHS),
        is_bigendian=draw(st.booleans()), data=b"\x3f" * size,
    )  # fmt: skip
    return bytes(serialize_message(cloud))
