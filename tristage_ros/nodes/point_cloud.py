"""The cameras' aligned depth -> one cloud for the model, in the base frame."""

from __future__ import annotations

from functools import partial

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image, JointState, PointCloud2
from tristage_msgs.msg import ArmStatus

from tristage_ros.devices.arm.values import BASE_FRAME
from tristage_ros.nodes import agreement
from tristage_ros.nodes.agreement import AROUND, FASTEST, AgreementCheck, Moment
from tristage_ros.observing.assembly import Built, CloudAssembly, CloudSettings, DepthInput
from tristage_ros.perception.cloud import RgbdFrame, Workspace
from tristage_ros.perception.extrinsics import CameraMount, load_extrinsics, require_names
from tristage_ros.resources import resource
from tristage_ros.ros import qos
from tristage_ros.ros.convert import cloud_message, seconds
from tristage_ros.ros.diagnostics import ERROR, OK, WARN, Diagnostics, Part, Stream, limits_of
from tristage_ros.ros.diagnostics import PARAMETERS as STREAM_PARAMETERS
from tristage_ros.ros.dilation import follow_dilation
from tristage_ros.ros.image_transport import IMAGE_TRANSPORT, subscribe_image
from tristage_ros.ros.joints import zero_of
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


class PointCloudNode(Node):
    """Build one cloud per frame of the first camera."""

    def __init__(self) -> None:
        """Read the extrinsics and subscribe."""
        super().__init__("point_cloud")
        self.settings = s = declare(self, PARAMETERS)
        self.workspace = self._workspace()
        mounts = self._mounts(s.cameras_file or str(resource("config", "cameras.yaml")))
        settings = CloudSettings(self.workspace, s.points, s.stride, s.max_age, s.sync_tolerance)
        self.assembly = CloudAssembly(mounts, settings, self._on_built, self._on_refused)
        self.streams = {name: Stream(limits_of(s, s.max_age)) for name in self.inputs}
        self.published = self.incomplete = self.empty = 0
        self.milliseconds = 0.0
        self._dilation = 1.0
        self.last_points = 0
        self._newest: PointCloud2 | None = None  # of the assembly's last stamp
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
        follow_dilation(self, self._dilate)
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

    def _mounts(self, path: str) -> list[CameraMount]:
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
        return [mounts[name] for name in self.settings.cameras]

    @property
    def inputs(self) -> dict[str, DepthInput]:
        """Return what is known of every camera's depth."""
        return self.assembly.inputs

    def _on_info(self, name: str, message: CameraInfo) -> None:
        image = self.resolve_topic_name(f"{name}/aligned_depth_to_color/image_raw")
        self.assembly.add_info(name, message, image)

    def _on_joints(self, message: JointState) -> None:
        try:
            self.assembly.add_joints(message)
        except ValueError as error:
            self.get_logger().warning(str(error), throttle_duration_sec=5.0)
        self._compare()

    def _on_arm_status(self, message: ArmStatus) -> None:
        self.assembly.dh_is_offset = zero_of(self, message, self.assembly.dh_is_offset)

    def _dilate(self, dilation: float) -> None:
        """Judge ages and rates by an arm whose time is slower."""
        self.assembly.dilate(dilation)
        self._dilation = dilation
        for stream in self.streams.values():
            stream.dilation = dilation

    def _now(self) -> float:
        return self.get_clock().now().nanoseconds * 1e-9

    def _on_depth(self, name: str, message: Image) -> None:
        self.streams[name].add(seconds(message.header.stamp))
        shown_before = self.assembly.add_depth(name, message, self._now())
        if shown_before and self._replayed and self._newest is not None:
            self._send(self._newest)  # who shows a frame again has missed something

    def _on_refused(self, name: str, reason: str) -> None:
        self.get_logger().warning(f"{name}: frame refused: {reason}", throttle_duration_sec=5.0)

    def _on_built(self, built: Built) -> None:
        self.incomplete += len(built.frames) < len(self.inputs)
        self._newest = None
        if built.cloud is None:
            return
        self._newest = cloud_message(built.cloud.points, built.cloud.stamp, BASE_FRAME)
        self._send(self._newest)
        self.published += 1
        self.empty += len(built.cloud.points) == 0
        self.last_points, self.milliseconds = len(built.cloud.points), built.milliseconds
        if self.published == 1:
            self._diagnostics.publish()  # somebody waits for it, perhaps, to enable the arm
        if self.agreement.due(built.stamp):
            self._to_compare = built.stamp, dict(built.frames)
            self._compare()

    def _compare(self) -> None:
        """Have the frames that wait compared with the joints, once those of that moment are known and turn slowly."""
        if self._to_compare is None:
            return
        stamp, frames = self._to_compare
        if self.assembly.joints.newest < stamp:
            return
        self._to_compare = None
        before, joints, after = (self.assembly.joints.at(stamp + step) for step in (-AROUND, 0.0, AROUND))
        if before is None or joints is None or after is None:
            return
        if np.abs(after[:6] - before[:6]).max() > FASTEST * 2 * AROUND:
            return
        seen: dict[str, RgbdFrame] = {}  # by what the camera is fixed to; the first one counts
        for name, frame in frames.items():
            seen.setdefault(self.inputs[name].mount.parent, frame)
        self.agreement.offer(
            Moment(seen.get("base_link"), seen.get("flange"), joints, self.assembly.dh_is_offset, stamp)
        )

    def close(self) -> None:
        """End the thread that compares."""
        self.agreement.close()

    def _send(self, cloud: PointCloud2) -> None:
        with sending(self, "cloud"):
            self.publisher.publish(cloud)

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
        age = self._now() - self.assembly.last_stamp
        if age > self.settings.max_age * self._dilation:
            return Part(WARN, f"the newest cloud is {age:.1f} s old", values)
        if self.last_points == 0:
            return Part(WARN, "the cloud is empty: nothing measured inside the workspace", values)
        if self.milliseconds > self.settings.slow_cloud * self._dilation:
            return Part(WARN, f"the cloud takes {self.milliseconds:.0f} ms, more than slow_cloud", values)
        return Part(OK, f"{self.last_points} points in {self.milliseconds:.0f} ms", values)

    def _depth_part(self, name: str) -> Part:
        source = self.inputs[name]
        reason, source.reason = source.reason, ""
        refused = {f"refused, {kind}": count for kind, count in source.refused.items()}
        return self.streams[name].part(self._now(), reason, **refused)


def main() -> int:
    """Run the node until a signal ends it; return the exit code."""
    return run(PointCloudNode, niceness=5)
