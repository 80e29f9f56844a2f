"""Take views of a calibration board from running cameras and a standing arm."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image, JointState
from tristage_msgs.msg import ArmStatus

from tristage_ros.devices.arm.kinematics import forward
from tristage_ros.perception.charuco import Board
from tristage_ros.perception.color import color_image
from tristage_ros.perception.hand_eye import Lens, View
from tristage_ros.ros import qos
from tristage_ros.ros.convert import camera_model, seconds
from tristage_ros.ros.joint_history import JointHistory
from tristage_ros.ros.zero import zero_of

OLDEST = 1.0  # s; an image that is older does not show what is there now
STILL = 0.3  # s that the arm must have stood when an image was made
MOTION = 0.002  # rad; joints that moved less in that time stood


class BoardViews(Node):
    """Listen to cameras and joint states, and keep what they show of the board."""

    def __init__(self, cameras: Iterable[str], board: Board) -> None:
        """Subscribe to colour images and their camera_info."""
        super().__init__("calibrate_cameras")
        self._board = board
        self._images: dict[str, Image] = {}
        self._joints = JointHistory()
        self._dh_is_offset = True  # zero convention of the arm's firmware
        self.cameras = tuple(cameras)
        self.lenses: dict[str, Lens] = {}
        self.views: list[View] = []
        for name in self.cameras:
            self.create_subscription(
                Image, f"{name}/color/image_raw", partial(self._images.__setitem__, name), qos.NEWEST
            )
            self.create_subscription(CameraInfo, f"{name}/color/camera_info", partial(self._on_info, name), qos.NEWEST)
        self.create_subscription(JointState, "joint_states", self._on_joints, 10)
        self.create_subscription(ArmStatus, "arm/status", self._on_status, 1)

    def _on_info(self, name: str, message: CameraInfo) -> None:
        try:
            camera_model(message)
        except ValueError as error:
            self.get_logger().warning(str(error), throttle_duration_sec=5.0)
            return
        self.lenses[name] = Lens(np.array(message.k, float).reshape(3, 3), np.array(message.d, float))

    def _on_joints(self, message: JointState) -> None:
        try:
            self._joints.add(message)
        except ValueError as error:
            self.get_logger().warning(str(error), throttle_duration_sec=5.0)

    def _on_status(self, message: ArmStatus) -> None:
        self._dh_is_offset = zero_of(self, message, self._dh_is_offset)

    def take(self, placement: int) -> dict[str, str]:
        """Keep a view of every camera that sees the board now; return what became of each, for a person."""
        return {name: self._take(name, placement) for name in self.cameras}

    def _take(self, name: str, placement: int) -> str:
        message = self._images.get(name)
        if message is None or name not in self.lenses:
            lacking = f"{name}/color/{'image_raw' if message is None else 'camera_info'}"
            return f"nothing on {self.resolve_topic_name(lacking)}"
        stamp = seconds(message.header.stamp)
        age = self.get_clock().now().nanoseconds * 1e-9 - stamp
        if abs(age) > OLDEST:
            return f"its image is {age:.1f} s old"
        joints = self._standing(stamp)
        if isinstance(joints, str):
            return joints
        color = color_image(message.data, message.encoding, message.height, message.width, step=message.step)
        corners = self._board.find(color)
        if corners is None:
            return "does not see enough of the board"
        self.views.append(View(name, placement, forward(joints[:6], self._dh_is_offset), corners))
        return f"{len(corners.ids)} corners"

    def _standing(self, stamp: float) -> NDArray[np.float64] | str:
        before, now = self._joints.at(stamp - STILL), self._joints.at(stamp)
        if before is None or now is None:
            return f"no joint states of its moment on {self.resolve_topic_name('joint_states')}"
        if np.abs(now - before)[:6].max() > MOTION:
            return "the arm was moving; let it stand and try again"
        return now
