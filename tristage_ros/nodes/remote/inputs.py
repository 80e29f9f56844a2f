"""What the node hears of cameras and arm, and the moments that it makes of it, by the policy node's own buffer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import SimpleNamespace

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image, JointState, PointCloud2
from tristage_msgs.msg import ArmStatus

from tristage_ros.bags.recording import VIEW, color_topic, depth_topic, info_topic
from tristage_ros.observing.buffer import Limits, NotReadyError, ObservationBuffer
from tristage_ros.observing.pictures import Pictures
from tristage_ros.openpi.mapping import PolicyMap
from tristage_ros.openpi.questions import Moment
from tristage_ros.perception.extrinsics import CameraMount
from tristage_ros.ros import qos
from tristage_ros.ros.convert import seconds
from tristage_ros.ros.diagnostics import Part, Stream, limits_of
from tristage_ros.ros.image_transport import subscribe_image
from tristage_ros.ros.joints import zero_of
from tristage_ros.ros.subscriptions import Subscriptions


class Inputs:
    """Subscribe to what a map needs, and put together what belongs to one moment."""

    def __init__(
        self,
        node: Node,
        settings: SimpleNamespace,
        mapped: PolicyMap,
        mounts: Mapping[str, CameraMount],
        on_cloud: Callable[[float], None],
        on_status: Callable[[ArmStatus], None],
    ) -> None:
        """Hear everything from now on; a cloud (its stamp, s) and the arm's status are told on, too.

        Raises:
            ValueError: there is no such camera.
        """
        if lacking := [camera for camera in (VIEW, *mapped.cameras) if camera not in mounts]:
            raise ValueError(f"{mapped.path}: no camera is called {lacking[0]}; there are: {', '.join(mounts)}")
        self._node, self._logger = node, node.get_logger()
        self._on_cloud, self._on_status = on_cloud, on_status
        self.buffer = ObservationBuffer(mounts[VIEW], Limits(settings.max_age, settings.sync_tolerance))
        self._pictures = Pictures([camera for camera in mapped.cameras if camera != VIEW], settings.sync_tolerance)
        self._front_color = Stream(limits_of(settings, settings.max_age))
        self._undecodable, self._complaint = 0, ""  # images, and why the newest of them since it was last told
        self._heard = Subscriptions(node)
        self.part = self._heard.part
        self._subscribe(settings.image_transport, [camera for camera in mapped.cameras if camera != VIEW])

    def moment(self, now: float, newer_than: float, tcp: float) -> Moment:
        """Return the newest complete moment after `newer_than` (s, ROS time, like `now`); `tcp` as in `Moment`.

        Raises:
            NotReadyError: a part is missing, too old or not newer than asked for.
            ValueError: a part is malformed.
        """
        observation = self.buffer.observation(now, newer_than)
        images = {VIEW: observation.image} | self._pictures.at(observation.stamp)
        joints = self.buffer.measured(observation.stamp)
        if joints is None:
            raise NotReadyError("no joint state at the stamp of the observation")
        return Moment(observation.stamp, images, joints, self.buffer.dh_is_offset, tcp)

    def color_part(self) -> Part:
        """Return how the front camera's images come."""
        complaint, self._complaint = self._complaint, ""
        refused = {"refused, undecodable": self._undecodable} if self._undecodable else {}
        return self._front_color.part(self._node.get_clock().now().nanoseconds * 1e-9, complaint, **refused)

    def close(self) -> None:
        """Hear nothing any more."""
        self._heard.destroy()

    def _subscribe(self, transport: str, further: list[str]) -> None:
        streams = {color_topic(VIEW): self._front_image, depth_topic(VIEW): self.buffer.add_depth}
        streams |= {color_topic(camera): partial(self._pictures.add, camera) for camera in further}
        for topic, took in streams.items():
            subscribe_image(self._heard, topic[1:], took, transport, self._refused_image)
        self._heard.add(CameraInfo, info_topic(VIEW)[1:], self._info, qos.NEWEST)
        self._heard.add(PointCloud2, "tristage/cloud", self._cloud, qos.NEWEST)
        self._heard.add(JointState, "joint_states", self._joints, 10)
        self._heard.add(ArmStatus, "arm/status", self._status, 10)

    def _front_image(self, message: Image) -> None:
        self._front_color.add(seconds(message.header.stamp))
        self.buffer.add_image(message)

    def _refused_image(self, reason: str) -> None:
        self._undecodable += 1
        self._complaint = reason

    def _info(self, message: CameraInfo) -> None:
        try:
            self.buffer.add_info(message, self._node.resolve_topic_name(color_topic(VIEW)[1:]))
        except ValueError as error:
            self._logger.warning(f"{VIEW}: {error}", throttle_duration_sec=5.0)

    def _cloud(self, message: PointCloud2) -> None:
        self._on_cloud(seconds(message.header.stamp))
        self.buffer.add_cloud(message)

    def _joints(self, message: JointState) -> None:
        try:
            self.buffer.add_joints(message)
        except ValueError as error:
            self._logger.warning(str(error), throttle_duration_sec=5.0)

    def _status(self, message: ArmStatus) -> None:
        self.buffer.dh_is_offset = zero_of(self._node, message, self.buffer.dh_is_offset)
        self._on_status(message)
