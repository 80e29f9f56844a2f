"""Messages of a run become entities of Rerun, the same ones live and from a bag.

Every topic is named as in a cell without a namespace. All that is logged is on one time line: that of headers' stamps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from tristage_ros.bags.messages import IMAGE
from tristage_ros.bags.reader import BagError, Message
from tristage_ros.devices.arm.kinematics import dh_is_offset, forward
from tristage_ros.devices.arm.site import Site
from tristage_ros.observing.joints import JointHistory, positions_of
from tristage_ros.perception.extrinsics import CameraMount
from tristage_ros.viewing import arm, curves
from tristage_ros.viewing.cameras import CameraView, KeptView
from tristage_ros.viewing.logger.wire import Record
from tristage_ros.viewing.said import Said

JOINTS, STATUS, ACTION = "/joint_states", "/arm/status", "/tristage/action"
CLOUD, PRUNING, TIMINGS = "/tristage/cloud", "/tristage/pruning", "/tristage/timings"
OVERLAY, DIAGNOSTICS = "/tristage/overlay", "/diagnostics"
KINDS = {
    JOINTS: "sensor_msgs/msg/JointState",
    STATUS: "tristage_msgs/msg/ArmStatus",
    ACTION: "tristage_msgs/msg/ActionChunk",
    CLOUD: "sensor_msgs/msg/PointCloud2",
    PRUNING: "tristage_msgs/msg/PruningStats",
    TIMINGS: "tristage_msgs/msg/StageTimings",
    DIAGNOSTICS: "diagnostic_msgs/msg/DiagnosticArray",
    OVERLAY: IMAGE,
}
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
FRONT = "front"  # the camera that the policy looks through
MOTION = 0.05  # s between two poses of the arm, which the eye takes for motion
LATE = 0.2  # s between a chunk's observation and the nearest joint states


class Scene:
    """Turn messages into records, one after the other; what one of them means may rest on those before."""

    def __init__(self, mounts: Mapping[str, CameraMount], site: Site, start: int, image_rate: float = math.inf) -> None:
        """Begin with nothing heard.

        Args:
            mounts: the cameras, by name.
            site: where the arm stands.
            start: stamp that is 0 on the time line, ns.
            image_rate: images of one camera a second, at most.
        """
        self._site, self._start = site, start
        self._views = {name: CameraView(mount) for name, mount in mounts.items()}
        self._kept = KeptView(self._views[FRONT]) if FRONT in self._views else None
        self._said = Said()
        self._joints = JointHistory()
        self._offset = True  # until the arm tells its firmware
        self._has_arm = False
        self._image_period = 1 / image_rate
        self._due: dict[str, float] = {}  # s, by what is thinned
        self._takes: dict[str, Callable[[Message], Iterator[Record]]] = {
            JOINTS: self._on_joints,
            STATUS: self._on_status,
            ACTION: self._on_action,
            CLOUD: self._on_cloud,
            PRUNING: self._on_pruning,
            TIMINGS: lambda message: curves.timings(message.value, message.header_stamp),
            DIAGNOSTICS: lambda message: self._said.diagnostics(message.value, message.header_stamp or message.stamp),
            OVERLAY: lambda message: self._kept.overlay(message) if self._kept else iter(()),
        }
        self.kinds = dict(KINDS)  # message types by topic
        for name, view in self._views.items():
            for topic, kind, take in (
                (f"/{name}/color/camera_info", CAMERA_INFO, self._on_info(view)),
                (f"/{name}/color/image_raw", IMAGE, self._on_image(view)),
            ):
                self.kinds[topic], self._takes[topic] = kind, take

    def begin(self) -> Iterator[Record]:
        """Yield what is there before the first message, and at all times."""
        yield from arm.site_boxes(self._site)
        yield from curves.styles()
        for view in self._views.values():
            if view.mount.parent == "base_link":
                yield from view.placed(None, None)

    def records(self, message: Message) -> Iterator[Record]:
        """Yield what a message says.

        Raises:
            ValueError: it is damaged, or of something that is not shown; the message names its topic.
        """
        try:
            for record in self._takes[message.topic](message):
                yield record if record.time is None else replace(record, time=record.time - self._start)
        except BagError:  # says where
            raise
        except ValueError as error:
            raise ValueError(f"{message.topic}: {error}") from error

    def _on_joints(self, message: Message) -> Iterator[Record]:
        self._joints.add(message.value)
        time = message.header_stamp
        if not self._is_due(JOINTS, time, MOTION):
            return
        if not self._has_arm:  # shapes without a place would lie in the base
            self._has_arm = True
            yield from arm.shapes()
        positions = positions_of(message.value)
        yield from arm.at_joints(positions, self._offset, time)
        flange = forward(positions[:6], self._offset)
        for view in self._views.values():
            if view.mount.parent == "flange":
                yield from view.placed(flange, time)

    def _on_status(self, message: Message) -> Iterator[Record]:
        status, time = message.value, message.header_stamp
        if status.firmware:
            self._offset = dh_is_offset(status.firmware)
        joints = np.asarray(status.joint_target, float)
        if np.isfinite(joints).all() and joints.any() and self._is_due(STATUS, time, MOTION):
            yield arm.target(arm.tool_at(joints, self._offset, self._site), time)
        yield from self._said.arm(status, time)

    def _on_action(self, message: Message) -> Iterator[Record]:
        joints = self._joints.at(message.header_stamp * 1e-9, LATE)
        if joints is not None:
            tool = arm.tool_at(joints[:6], self._offset, self._site)
            yield from arm.key_frame(tool, message.value, message.header_stamp)

    def _on_cloud(self, message: Message) -> Iterator[Record]:
        if self._kept:
            self._kept.remember(message, cloud=True)
        yield from ()

    def _on_pruning(self, message: Message) -> Iterator[Record]:
        yield from curves.pruning(message.value, message.header_stamp)
        if self._kept:
            yield from self._kept.step(message.value, message.header_stamp)

    def _on_info(self, view: CameraView) -> Callable[[Message], Iterator[Record]]:
        def take(message: Message) -> Iterator[Record]:
            return view.info(message.value)

        return take

    def _on_image(self, view: CameraView) -> Callable[[Message], Iterator[Record]]:
        def take(message: Message) -> Iterator[Record]:
            if self._kept and view.mount.name == FRONT:
                self._kept.remember(message, cloud=False)
            if self._is_due(message.topic, message.header_stamp, self._image_period):
                yield view.image(message)

        return take

    def _is_due(self, what: str, stamp: int, period: float) -> bool:
        """Tell whether it is time for another of `what`, of which there is one in `period` s at most."""
        time = stamp * 1e-9
        due = self._due.get(what, -math.inf)
        if due - period <= time < due:  # before: time went back
            return False
        self._due[what] = time + period
        return True
