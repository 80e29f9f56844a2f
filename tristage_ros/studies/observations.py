"""Observations of the policy without ROS: from a bag, or from the simulated cell in this process."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import can
import numpy as np
from numpy.typing import NDArray

from tristage_ros.bags.messages import IMAGE
from tristage_ros.bags.reader import BagError, BagReader, Message
from tristage_ros.devices.arm.kinematics import robot_state
from tristage_ros.mla.values import Observation
from tristage_ros.perception.camera_info import camera_model
from tristage_ros.perception.cloud import RgbdFrame, Workspace, build_cloud
from tristage_ros.perception.color import color_image
from tristage_ros.perception.extrinsics import mount_of
from tristage_ros.perception.images import depth_in_metres
from tristage_ros.reports.run import JOINT_NAMES
from tristage_ros.simulation.cell import Capture, Cell, CellConfig
from tristage_ros.simulation.firmware import RATE
from tristage_ros.simulation.frames import MILLIDEGREE, MoveMode
from tristage_ros.simulation.scene import HOME

COLOR, DEPTH = "/front/color/image_raw", "/front/aligned_depth_to_color/image_raw"
INFO, CLOUD, JOINTS = "/front/color/camera_info", "/tristage/cloud", "/joint_states"
NEEDED = (COLOR, INFO, CLOUD, JOINTS)  # without which there is no observation
KINDS = {
    COLOR: IMAGE,
    DEPTH: IMAGE,
    INFO: "sensor_msgs/msg/CameraInfo",
    CLOUD: "sensor_msgs/msg/PointCloud2",
    JOINTS: "sensor_msgs/msg/JointState",
}
TOLERANCE = 0.1  # s; recorders drop frames, so that image and cloud may be a frame apart
WORKSPACE = Workspace((0.05, -0.40, -0.02), (0.65, 0.40, 0.60))
# The sweep over the table: HOME + AMPLITUDE * sin(2 pi t / PERIOD)
AMPLITUDE = np.array([0.5, 0.35, 0.25, 0.0, 0.3, 0.6])  # rad
PERIOD = np.array([7.0, 5.0, 6.0, 1.0, 4.0, 9.0])  # s


def from_bag(path: str | Path, cameras_file: str | Path) -> Iterator[Observation]:
    """Yield an observation for every recorded front image that has a cloud and joint states, in order of time.

    Raises:
        BagError: the bag cannot be read, or lacks what an observation is made of; the message names the topics.
        ValueError: the lens that its camera_info tells of cannot be honoured.
    """
    by_topic: dict[str, list[Message]] = {topic: [] for topic in KINDS}
    with BagReader(path) as bag:
        for message in bag.messages_of(KINDS):
            by_topic[message.topic].append(message)
    _require(path, [topic for topic in NEEDED if by_topic[topic]])
    mount = mount_of("front", cameras_file)
    camera = camera_model(by_topic[INFO][0].value, mount.lens).at(mount.pose)
    clouds, depths, joints = (_by_stamp(by_topic[topic]) for topic in (CLOUD, DEPTH, JOINTS))
    for stamp, image in _by_stamp(by_topic[COLOR]):
        cloud, depth, state = (_nearest(messages, stamp) for messages in (clouds, depths, joints))
        if cloud is not None and state is not None:
            yield Observation(
                color_image(image.data, image.encoding, image.height, image.width, step=image.step), camera,
                _points(cloud), robot_state(_joint_positions(state)), _metres(depth), stamp,
            )  # fmt: skip


def check_bag(path: str | Path) -> None:
    """Raise BagError where `from_bag` would, by the first messages alone."""
    with BagReader(path) as bag:
        _require(path, [topic for topic in NEEDED if next(bag.messages(topic), None) is not None])


def _require(path: str | Path, found: list[str]) -> None:
    if missing := [topic for topic in NEEDED if topic not in found]:
        raise BagError(f"bag {path} has no messages on {', '.join(missing)}")


def from_cell(steps: int, interval: float, cameras_file: str | Path, seed: int = 0) -> Iterator[Observation]:
    """Yield `steps` observations of the simulated cell, `interval` seconds of physics apart.

    The arm sweeps over the table along a fixed path, whatever a policy says; `seed` places the objects. Time is that
    of the simulation, so that the same call gives the same observations.
    """
    channel = f"observations-{uuid.uuid4()}"
    cell = Cell(CellConfig(str(cameras_file), seed, can_interface="virtual", can_channel=channel))
    operator = can.Bus(interface="virtual", channel=channel)
    try:
        _send(operator, 0x471, ">2B6x", 7, 2)  # power every joint
        for step in range(steps):
            for tick in range(round(interval * RATE)):
                _aim(operator, step * interval + tick / RATE)
                cell.firmware.tick()
            yield _observed(cell.capture(), _feedback(operator), (step + 1) * interval)
    finally:
        operator.shutdown()
        cell.close()


def _observed(captures: dict[str, Capture], joints: NDArray[np.float64], stamp: float) -> Observation:
    def frame(capture: Capture) -> RgbdFrame:
        metres = np.where(capture.depth > 0, capture.depth * np.float32(1e-3), np.float32(np.nan))
        return RgbdFrame(capture.color, metres, capture.camera, stamp)

    frames = {name: frame(capture) for name, capture in captures.items()}
    front = frames["front"]
    cloud = build_cloud([*frames.values()], WORKSPACE)
    return Observation(front.color, front.camera, cloud.points, robot_state(joints), front.depth, stamp)


def _send(bus: can.BusABC, can_id: int, layout: str, *values: int) -> None:
    bus.send(can.Message(arbitration_id=can_id, is_extended_id=False, data=struct.pack(layout, *values)))


def _aim(bus: can.BusABC, time: float) -> None:
    """Ask the arm for its place on the sweep."""
    goal = HOME + AMPLITUDE * np.sin(2 * np.pi * time / PERIOD)
    _send(bus, 0x151, ">3B5x", 1, MoveMode.JOINT, 100)
    for pair in range(3):
        _send(bus, 0x155 + pair, ">ii", *(round(value / MILLIDEGREE) for value in goal[2 * pair : 2 * pair + 2]))


def _feedback(bus: can.BusABC) -> NDArray[np.float64]:
    """Return the newest joint positions (rad) and gripper opening (m), [7], that the arm reported."""
    newest: dict[int, bytes] = {}
    while (message := bus.recv(0)) is not None:
        newest[message.arbitration_id] = bytes(message.data)
    joints = [value * MILLIDEGREE for pair in range(3) for value in struct.unpack(">ii", newest[0x2A5 + pair])]
    return np.array([*joints, struct.unpack_from(">i", newest[0x2A8])[0] * 1e-6])


def _by_stamp(messages: list[Message]) -> list[tuple[float, Any]]:
    """Return every message with the time of its header, s."""
    return [(m.value.header.stamp.sec + m.value.header.stamp.nanosec * 1e-9, m.value) for m in messages]


def _nearest(messages: list[tuple[float, Any]], stamp: float) -> Any | None:
    if not messages:
        return None
    apart, value = min(((abs(time - stamp), value) for time, value in messages), key=lambda pair: pair[0])
    return value if apart <= TOLERANCE else None


def _metres(depth: Any | None) -> NDArray[np.float32] | None:
    if depth is None:
        return None
    big = bool(depth.is_bigendian)
    return depth_in_metres(depth.data, depth.encoding, depth.height, depth.width, step=depth.step, is_bigendian=big)


def _points(cloud: Any) -> NDArray[np.float32]:
    offsets = {field.name: field.offset for field in cloud.fields}
    kind = {"names": list("xyz"), "formats": ["<f4"] * 3, "offsets": [offsets[axis] for axis in "xyz"]}
    rows = np.frombuffer(cloud.data, np.dtype({**kind, "itemsize": cloud.point_step}), cloud.width * cloud.height)
    return np.stack([rows[axis] for axis in "xyz"], 1)


def _joint_positions(state: Any) -> NDArray[np.float64]:
    position = dict(zip(state.name, state.position, strict=False))
    if missing := [name for name in JOINT_NAMES if name not in position]:
        raise BagError(f"{JOINTS} lacks {', '.join(missing)}; it has {', '.join(state.name)}")
    return np.array([position[name] for name in JOINT_NAMES])
