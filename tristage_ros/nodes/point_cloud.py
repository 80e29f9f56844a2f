"""The cameras' aligned depth -> one cloud for the model, in the base frame."""

from __future__ import annotations

import time
from collections import Counter
from functools import partial

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image, JointState, PointCloud2
from tristage_msgs.msg import ArmStatus

from tristage_ros.devices.arm.kinematics import forward
from tristage_ros.devices.arm.values import BASE_FRAME
from tristage_ros.nodes import agreement
from tristage_ros.nodes.agreement import AROUND, FASTEST, AgreementCheck, Moment
from tristage_ros.perception.camera import CameraModel
from tristage_ros.perception.camera_info import camera_model
from tristage_ros.perception.cloud import RgbdFrame, Workspace, build_cloud
from tristage_ros.perception.extrinsics import CameraMount, load_extrinsics, require_names
from tristage_ros.resources import resource
from tristage_ros.ros import qos
from tristage_ros.ros.convert import cloud_message, depth_image, seconds
from tristage_ros.ros.diagnostics import ERROR, OK, WARN, Diagnostics, Part, Stream, StreamLimits, limits_of
from tristage_ros.ros.diagnostics import PARAMETERS as STREAM_PARAMETERS
from tristage_ros.ros.image_transport import IMAGE_TRANSPORT, subscribe_image
from tristage_ros.ros.joints import JointHistory, zero_of
from tristage_ros.ros.parameters import Parameter, declare
from tristage_ros.ros.qos import sending
from tristage_ros.ros.runner import ConfigurationError, run
from tristage_ros.ros.subscriptions import Subscriptions

PARAMETERS = (
    Parameter("cameras", ["front", "wrist"], "cameras to merge; the first one sets the pace"),
    Parameter("cameras_file", "", "camera extrinsics; empty: config/cameras.yaml"),
    Parameter("points", 1024, "points of the cloud, farthest-point sampled", low=64, high=4096),
    Parameter("stride", 2, "every n-th pixel of every n-th row is used", "pixels", 1, 8),
    Parameter("workspace_min", [0.05, -0.40, -0.02], "lower corner of the crop in the base frame", "m"),
    Parameter("workspace_max", [0.65, 0.40, 0.60], "upper corner of the crop in the base frame", "m"),
    Parameter("max_age", 0.5, "depth frames older than this are refused", "s", 0.05, 10.0),
    Parameter("sync_tolerance", 0.05, "frames of two cameras this close belong together", "s", 0.0, 1.0),
    Parameter("slow_cloud", 100.0, "a cloud that takes longer to build is a warning", "ms", 1.0, 10000.0),
    IMAGE_TRANSPORT,
    *agreement.PARAMETERS,
    *STREAM_PARAMETERS,
)
NO_COLOR = np.empty((0, 0, 3), np.uint8)


class DepthInput:
    """Keep the newest depth frame of one camera, and count what was refused and why."""

    def __init__(self, mount: CameraMount, limits: StreamLimits) -> None:
        """Start without intrinsics: frames are refused until the first camera_info."""
        self.mount = mount
        self.stream = Stream(limits)
        self.model: CameraModel | None = None
        self.lacking = "no camera_info yet"  # why there is no model
        self.newest: Image | None = None
        self.refused: Counter[str] = Counter()
        self.reason = ""

    def refuse(self, kind: str, reason: str) -> None:
        """Count a refused frame; `reason` is what a person reads."""
        self.refused[kind] += 1
        self.reason = reason

    def frame(self, message: Image, flange: np.ndarray | None) -> RgbdFrame:
        """Return the frame in metres, its camera placed in the base frame.

        Raises:
            ValueError: wrong encoding or size, or the camera's place is not known.
        """
        if self.model is None:
            raise ValueError(self.lacking)
        if (message.width, message.height) != (self.model.width, self.model.height):
            raise ValueError(
                f"depth is {message.width}x{message.height}, camera_info says {self.model.width}x{self.model.height}; "
                "publish depth aligned to colour"
            )
        depth = depth_image(message)
        if self.mount.parent != "base_link" and flange is None:
            raise ValueError("no joint state at the stamp of the frame")
        pose = self.mount.pose if self.mount.parent == "base_link" else flange @ self.mount.pose
        return RgbdFrame(NO_COLOR, depth, self.model.at(pose), seconds(message.header.stamp))


class PointCloudNode(Node):
    """Build one cloud per frame of the first camera."""

    def __init__(self) -> None:
        """Read the extrinsics and subscribe."""
        super().__init__("point_cloud")
        self.settings = s = declare(self, PARAMETERS)
        self.workspace = self._workspace()
        self.inputs = self._inputs(s.cameras_file or str(resource("config", "cameras.yaml")))
        self.first = next(iter(self.inputs.values()))
        self.joints = JointHistory()
        self.dh_is_offset = True  # zero convention of the arm's firmware
        self.published = self.incomplete = self.empty = 0
        self.milliseconds = 0.0
        self.last_points, self.last_stamp = 0, 0.0
        self._newest: PointCloud2 | None = None  # of that stamp
        self._to_compare: tuple[float, dict[str, RgbdFrame]] | None = None  # frames that wait for their joint states
        self._replayed = bool(self.get_parameter("use_sim_time").value)
        self.publisher = self.create_publisher(PointCloud2, "tristage/cloud", qos.IMAGES)
        subscriptions = Subscriptions(self)
        for name in self.inputs:
            aligned = f"{name}/aligned_depth_to_color/image_raw"
            subscriptions.add(CameraInfo, f"{name}/color/camera_info", partial(self._on_info, name), qos.NEWEST)
            refuse = partial(self.inputs[name].refuse, "undecodable")
            subscribe_image(subscriptions, aligned, partial(self._on_depth, name), s.image_transport, refuse)
        subscriptions.add(JointState, "joint_states", self._on_joints, 10)
        subscriptions.add(ArmStatus, "arm/status", self._on_arm_status, 1)
        self.agreement = AgreementCheck(self, s, self.workspace, not self._replayed)
        self._diagnostics = Diagnostics(self)
        self._diagnostics.add("cloud", self._cloud_part)
        for name in self.inputs:
            self._diagnostics.add(f"{name} depth", partial(self._depth_part, name), f"camera {name}")
        self._diagnostics.add("inputs", subscriptions.part)
        self._diagnostics.add("agreement", lambda: self.agreement.part(self._now()))
        self.get_logger().info(
            f"merging {', '.join(self.inputs)} into {s.points} points, crop {s.workspace_min} .. {s.workspace_max} m"
        )

    def _workspace(self) -> Workspace:
        try:
            return Workspace(tuple(self.settings.workspace_min), tuple(self.settings.workspace_max))
        except ValueError as error:
            raise ConfigurationError(f"point_cloud: {error}") from error

    def _inputs(self, path: str) -> dict[str, DepthInput]:
        try:
            mounts = load_extrinsics(path)
            require_names("cameras", self.settings.cameras)
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"point_cloud: {error}") from error
        missing = [name for name in self.settings.cameras if name not in mounts]
        if missing or not self.settings.cameras:
            raise ConfigurationError(
                f"point_cloud: no extrinsics for {missing or 'any camera'} in {path}; it has: {', '.join(mounts)}"
            )
        limits = limits_of(self.settings, self.settings.max_age)
        return {name: DepthInput(mounts[name], limits) for name in self.settings.cameras}

    def _on_info(self, name: str, message: CameraInfo) -> None:
        source = self.inputs[name]
        image = self.resolve_topic_name(f"{name}/aligned_depth_to_color/image_raw")
        try:
            source.model = camera_model(message, source.mount.lens, image)
        except ValueError as error:
            source.model, source.lacking = None, str(error)
            source.refuse("camera_info", str(error))

    def _on_joints(self, message: JointState) -> None:
        try:
            self.joints.add(message)
        except ValueError as error:
            self.get_logger().warning(str(error), throttle_duration_sec=5.0)
        self._build_when_complete()
        self._compare()

    def _on_arm_status(self, message: ArmStatus) -> None:
        self.dh_is_offset = zero_of(self, message, self.dh_is_offset)

    def _now(self) -> float:
        return self.get_clock().now().nanoseconds * 1e-9

    def _on_depth(self, name: str, message: Image) -> None:
        source = self.inputs[name]
        age = self._now() - seconds(message.header.stamp)
        source.stream.add(seconds(message.header.stamp))
        if abs(age) > self.settings.max_age:
            hint = (
                "is the clock of the camera's machine right?"
                if age < 0
                else "is the camera frozen or the machine overloaded?"
            )
            source.refuse("stale", f"frame is {age:.2f} s old, limit {self.settings.max_age:g} s; {hint}")
            return
        if source is self.first and self._pending():
            self._build()  # what it waited for never came
        if source is self.first and self._replayed and seconds(message.header.stamp) == self.last_stamp:
            if self._newest is not None:
                self._send(self._newest)  # who shows a frame again has missed something
            return
        source.newest = message
        self._build_when_complete()

    def _pending(self) -> bool:
        return self.first.newest is not None and seconds(self.first.newest.header.stamp) != self.last_stamp

    def _build_when_complete(self) -> None:
        """Build as soon as every camera has a frame of this moment and the joint states have reached it."""
        if not self._pending():
            return
        partners = [self._partner(source) for source in self.inputs.values()]
        moving = [source for source in self.inputs.values() if source.mount.parent != "base_link"]
        reached = all(
            partner and self.joints.newest >= seconds(partner.header.stamp) for partner in map(self._partner, moving)
        )
        if all(partners) and reached:
            self._build()

    def _partner(self, source: DepthInput) -> Image | None:
        first = self.first.newest
        if source.newest is None or first is None:
            return None
        apart = abs(seconds(source.newest.header.stamp) - seconds(first.header.stamp))
        return source.newest if apart <= self.settings.sync_tolerance else None

    def _build(self) -> None:
        start = time.perf_counter()
        self.last_stamp = seconds(self.first.newest.header.stamp)
        named = {name: frame for name, source in self.inputs.items() if (frame := self._frame(source)) is not None}
        frames = list(named.values())
        self.incomplete += len(frames) < len(self.inputs)
        self._newest = None
        if not frames:
            return
        cloud = build_cloud(frames, self.workspace, count=self.settings.points, stride=self.settings.stride)
        self._newest = cloud_message(cloud.points, cloud.stamp, BASE_FRAME)
        self._send(self._newest)
        self.published += 1
        self.empty += len(cloud.points) == 0
        self.last_points, self.milliseconds = len(cloud.points), (time.perf_counter() - start) * 1e3
        if self.agreement.due(self.last_stamp):
            self._to_compare = self.last_stamp, named
            self._compare()

    def _compare(self) -> None:
        """Have the frames that wait compared with the joints, once those of that moment are known and turn slowly."""
        if self._to_compare is None:
            return
        stamp, frames = self._to_compare
        if self.joints.newest < stamp:
            return
        self._to_compare = None
        before, joints, after = (self.joints.at(stamp + step) for step in (-AROUND, 0.0, AROUND))
        if before is None or joints is None or after is None:
            return
        if np.abs(after[:6] - before[:6]).max() > FASTEST * 2 * AROUND:
            return
        seen: dict[str, RgbdFrame] = {}  # by what the camera is fixed to; the first one counts
        for name, frame in frames.items():
            seen.setdefault(self.inputs[name].mount.parent, frame)
        self.agreement.offer(Moment(seen.get("base_link"), seen.get("flange"), joints, self.dh_is_offset, stamp))

    def close(self) -> None:
        """End the thread that compares."""
        self.agreement.close()

    def _send(self, cloud: PointCloud2) -> None:
        with sending(self, "cloud"):
            self.publisher.publish(cloud)

    def _frame(self, source: DepthInput) -> RgbdFrame | None:
        partner = self._partner(source)
        if partner is None:
            return None
        joints = self.joints.at(seconds(partner.header.stamp))
        try:
            return source.frame(partner, None if joints is None else forward(joints[:6], self.dh_is_offset))
        except ValueError as error:
            source.refuse("unusable", str(error))
            self.get_logger().warning(f"{source.mount.name}: frame refused: {error}", throttle_duration_sec=5.0)
            return None

    def _cloud_part(self) -> Part:
        values = {
            "published": self.published,
            "points": self.last_points,
            "time [ms]": self.milliseconds,
            "without all cameras": self.incomplete,
            "empty": self.empty,
        }
        if not self.published:
            return Part(ERROR, "no cloud yet: no usable depth frame has come", values)
        age = self._now() - self.last_stamp
        if age > self.settings.max_age:
            return Part(WARN, f"the newest cloud is {age:.1f} s old", values)
        if self.last_points == 0:
            return Part(WARN, "the cloud is empty: nothing measured inside the workspace", values)
        if self.milliseconds > self.settings.slow_cloud:
            return Part(WARN, f"the cloud takes {self.milliseconds:.0f} ms, more than slow_cloud", values)
        return Part(OK, f"{self.last_points} points in {self.milliseconds:.0f} ms", values)

    def _depth_part(self, name: str) -> Part:
        source = self.inputs[name]
        reason, source.reason = source.reason, ""
        refused = {f"refused, {kind}": count for kind, count in source.refused.items()}
        return source.stream.part(self._now(), reason, **refused)


def main() -> int:
    """Run the node until a signal ends it; return the exit code."""
    return run(PointCloudNode, niceness=5)
