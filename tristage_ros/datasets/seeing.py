"""What the policy node would have seen of a recording: its own buffer and the point cloud's assembly, without ROS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tristage_ros.bags.episodes.episode import CAMERAS_FILE
from tristage_ros.bags.facts import Facts
from tristage_ros.bags.messages import as_current, new_message
from tristage_ros.bags.reader import Message
from tristage_ros.bags.recording import JOINTS, STATUS, VIEW, Order, Played, color_topic, depth_topic, info_topic
from tristage_ros.datasets.distances import require_metres
from tristage_ros.datasets.values import Calibration
from tristage_ros.devices.arm.kinematics import dh_is_offset
from tristage_ros.devices.arm.values import BASE_FRAME
from tristage_ros.mla.values import Observation
from tristage_ros.observing.assembly import Built, CloudAssembly, CloudSettings
from tristage_ros.observing.buffer import Limits, NotReadyError, ObservationBuffer
from tristage_ros.observing.messages import parts
from tristage_ros.perception.camera_info import camera_model
from tristage_ros.perception.cloud import PointCloud, RgbdFrame, Workspace
from tristage_ros.perception.color import color_image
from tristage_ros.perception.extrinsics import CameraMount, load_extrinsics, parse_extrinsics
from tristage_ros.resources import read_text, resource
from tristage_ros.yaml_text import parse

NODES = ("point_cloud", "policy")
POINT_CLOUD, POINT_FIELD = "sensor_msgs/msg/PointCloud2", "sensor_msgs/msg/PointField"
FLOAT32 = 7  # of a PointField


@dataclass(frozen=True)
class Eyes:
    """Hold with which settings and which calibration point cloud and policy look at a recording."""

    mounts: Mapping[str, CameraMount]  # of the cameras that the cloud is merged from, the one that sets the pace first
    view: CameraMount  # of the camera whose image the policy sees
    cloud: CloudSettings
    limits: Limits

    @staticmethod
    def of(facts: Facts, folder: Path, cameras_file: Path | None = None) -> Eyes:
        """Return those that a run knew of itself, and for what it did not know those of a fresh one.

        Calibration is that of `cameras_file`, or else what the run had, or else that in the folder of the episode.

        Raises:
            OSError, ValueError: a file cannot be read, or a setting is wrong.
        """
        cloud, policy = (_shipped(node) | facts.parameters.get(node, {}) for node in NODES)
        mounts = _mounts(facts, folder, cameras_file)
        lacking = [name for name in dict.fromkeys((*cloud["cameras"], VIEW)) if name not in mounts]
        if lacking:
            raise ValueError(f"no calibration of {', '.join(lacking)}; it has {', '.join(mounts)}")
        box = Workspace(tuple(cloud["workspace_min"]), tuple(cloud["workspace_max"]))
        return Eyes(
            {name: mounts[name] for name in cloud["cameras"]},
            mounts[VIEW],
            CloudSettings(box, cloud["points"], cloud["stride"], cloud["max_age"], cloud["sync_tolerance"]),
            Limits(policy["max_age"], policy["sync_tolerance"]),
        )

    def without_cloud(self) -> Eyes:
        """Return what sees the same but for the cloud, of which no more is left than that it is not empty."""
        return replace(self, cloud=replace(self.cloud, points=1, voxel=0.0))

    def calibration(self, infos: Mapping[str, Message]) -> dict[str, Calibration]:
        """Return the calibration of all cameras, that of the view first; `infos` by camera.

        Raises:
            ValueError: a camera_info is of no calibrated camera, or of a lens that cannot be honoured.
        """
        mounts = {VIEW: self.view} | dict(self.mounts)
        return {
            name: Calibration(camera_model(infos[name].value, mount.lens, color_topic(name)), mount)
            for name, mount in mounts.items()
        }


@cache
def _shipped(node: str) -> dict[str, Any]:
    parameters: dict[str, Any] = parse(read_text(resource("config", "piper_pick.yaml")))[node]["ros__parameters"]
    return parameters


def _mounts(facts: Facts, folder: Path, cameras_file: Path | None) -> dict[str, CameraMount]:
    if cameras_file is not None:
        return load_extrinsics(cameras_file)
    for node in reversed(NODES):
        if text := facts.files.get(f"{node}.cameras_file"):
            return parse_extrinsics(text, f"{node}.cameras_file")
    kept = folder / CAMERAS_FILE
    return load_extrinsics(kept if kept.is_file() else resource("config", "cameras.yaml"))


@dataclass(frozen=True)
class Seen:
    """Hold what was seen in one moment."""

    observation: Observation  # as the policy node would have answered it
    joints: NDArray[np.float64]  # [7] measured, rad and m, of which the observation's state is made
    images: Mapping[str, NDArray[np.uint8]]  # [H, W, 3] RGB by camera
    depths: Mapping[str, NDArray[np.float32]]  # [H, W] m by camera, 0 where nothing was measured


class Seeing:
    """Be shown frames as the nodes are in a replay in lockstep."""

    def __init__(self, eyes: Eyes) -> None:
        """Begin as nodes that have heard nothing."""
        self._buffer = ObservationBuffer(eyes.view, eyes.limits)
        self._assembly = CloudAssembly(list(eyes.mounts.values()), eyes.cloud, self._on_built, self._on_refused)
        self._infos = {info_topic(name): name for name in (VIEW, *eyes.mounts)}
        self._depths = {depth_topic(name): name for name in eyes.mounts}
        self._order = Order()
        self._now = self._last = 0.0  # s
        self._frames: Mapping[str, RgbdFrame] = {}
        self._refused = ""  # why the newest depth image was

    def see(self, played: Played) -> Seen:
        """Return what is seen of a frame.

        Raises:
            ValueError: a message is malformed, or they give no observation; the message says why.
            BagError: a message is damaged.
        """
        self._frames = {}
        self._now, self._refused = max(self._now, played.frame.instant * 1e-9), ""
        for message in self._order(played):
            self._hear(message)
        for camera, frame in self._frames.items():
            require_metres(frame.depth, depth_topic(camera), "16UC1 holds mm, 32FC1 m")
        try:
            observation = self._buffer.observation(self._now, self._last)
        except NotReadyError as reason:
            raise ValueError(self._refused or str(reason)) from reason
        self._last = observation.stamp
        joints = self._buffer.joints.at(observation.stamp)
        assert joints is not None  # else there were no observation
        images = {VIEW: observation.image} | {m.topic.split("/")[1]: _pixels(m.value) for m in played.pictures}
        depths = {name: _without_nan(frame.depth) for name, frame in self._frames.items()}
        return Seen(observation, joints, images, depths)

    def _hear(self, message: Message) -> None:
        topic, value = message.topic, message.value
        if topic == JOINTS:
            self._buffer.add_joints(value)
            self._assembly.add_joints(value)
        elif topic == STATUS:
            if firmware := as_current(value).firmware:
                self._buffer.dh_is_offset = self._assembly.dh_is_offset = dh_is_offset(firmware)
        elif topic == color_topic(VIEW):
            self._buffer.add_image(value)
        elif camera := self._infos.get(topic):
            if camera == VIEW:
                self._buffer.add_info(value, color_topic(VIEW))
            if depth_topic(camera) in self._depths:
                self._assembly.add_info(camera, value, depth_topic(camera))
        if topic in self._depths:
            self._assembly.add_depth(self._depths[topic], value, self._now)
        if topic == depth_topic(VIEW):
            self._buffer.add_depth(value)

    def _on_built(self, built: Built) -> None:
        self._frames = built.frames
        if built.cloud is not None:
            self._buffer.add_cloud(_cloud_message(built.cloud))

    def _on_refused(self, camera: str, reason: str) -> None:
        self._refused = f"{camera}: {reason}"


def _without_nan(depth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return depth ([H, W] m, NaN: none) with 0 where nothing was measured."""
    filled: NDArray[np.float32] = depth.copy()
    filled[np.isnan(depth)] = 0.0
    return filled


def _pixels(image: Any) -> NDArray[np.uint8]:
    return color_image(image.data, image.encoding, image.height, image.width, step=image.step)


def _cloud_message(cloud: PointCloud) -> Any:
    """Return the cloud as its node would have published it, at whose stamps the policy looks."""
    sec, nanosec = parts(cloud.stamp)
    stamp = new_message("builtin_interfaces/msg/Time", sec=sec, nanosec=nanosec)
    fields = [
        new_message(POINT_FIELD, name=name, offset=4 * i, datatype=FLOAT32, count=1) for i, name in enumerate("xyz")
    ]
    return new_message(
        POINT_CLOUD,
        header=new_message("std_msgs/msg/Header", stamp=stamp, frame_id=BASE_FRAME),
        height=1,
        width=len(cloud.points),
        fields=fields,
        point_step=12,
        row_step=12 * len(cloud.points),
        data=cloud.points.astype("<f4", copy=False).reshape(-1).view(np.uint8),
        is_dense=True,
    )
