"""What belongs to one moment: image, depth, cloud and joint positions become an Observation."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tristage_ros.devices.arm.kinematics import robot_state
from tristage_ros.devices.arm.values import BASE_FRAME
from tristage_ros.mla.values import Observation
from tristage_ros.observing.joints import JointHistory
from tristage_ros.observing.messages import Message, cloud_points, depth_image, seconds
from tristage_ros.perception.camera import CameraModel
from tristage_ros.perception.camera_info import camera_model
from tristage_ros.perception.color import color_image
from tristage_ros.perception.extrinsics import CameraMount


class NotReadyError(Exception):
    """Say why no observation can be made now; the message is for a person."""


@dataclass(frozen=True)
class Limits:
    """Hold how old and how far apart the parts of an observation may be."""

    max_age: float  # s
    sync_tolerance: float  # s


class ObservationBuffer:
    """Keep the newest messages and put those of one moment together. Safe to use from several threads."""

    NEXT_FRAME = "waiting for the next frame"
    JOINTS_LATE = 0.1  # s

    def __init__(self, mount: CameraMount, limits: Limits) -> None:
        """Take the front camera's mount and the age limits."""
        self._mount, self._limits = mount, limits
        self.dh_is_offset = True  # zero convention of the arm's firmware
        self._lock = threading.Condition()
        self._images: deque[Message] = deque(maxlen=8)
        self._depths: deque[Message] = deque(maxlen=8)
        self._cloud: Message | None = None
        self._model: CameraModel | None = None
        self._lacking = "no usable camera_info of the front camera yet"  # why there is no model
        self.joints = JointHistory()
        self._held: float | None = None  # stamp of the first cloud in a row that joint states had not reached
        self._cloud_stamps: deque[float] = deque(maxlen=1024)  # s
        self._dilation = 1.0

    def dilate(self, dilation: float) -> None:
        """Take a second of the limits for so many of the stamps: an emulated arm's time passes more slowly."""
        with self._lock:
            self.joints.span *= dilation / self._dilation
            self._dilation = dilation

    def add_image(self, message: Message) -> None:
        """Take a colour image of the front camera."""
        with self._lock:
            self._images.append(message)
            self._lock.notify_all()

    def add_depth(self, message: Message) -> None:
        """Take a depth image of the front camera."""
        with self._lock:
            self._depths.append(message)

    def add_info(self, message: Message, image: str = "") -> None:
        """Take the front camera's intrinsics; `image` is the topic of what it sees.

        Raises:
            ValueError: they are of no calibrated camera, or of a lens that cannot be honoured.
        """
        try:
            model = camera_model(message, self._mount.lens, image).at(self._mount.pose)
        except ValueError as error:
            with self._lock:
                self._model, self._lacking = None, str(error)
            raise
        with self._lock:
            self._model = model

    def add_cloud(self, message: Message) -> None:
        """Take the model's cloud."""
        with self._lock:
            self._cloud = message
            self._cloud_stamps.append(seconds(message.header.stamp))
            self._lock.notify_all()

    def add_joints(self, message: Message) -> None:
        """Take joint states; raise ValueError when they are not usable."""
        with self._lock:
            self.joints.add(message)
            self._lock.notify_all()

    def measured(self, stamp: float) -> NDArray[np.float64] | None:
        """Return [7] joint positions (rad) and gripper opening (m) at `stamp`; None where nothing is near enough."""
        with self._lock:
            return self.joints.at(stamp)

    def clouds_between(self, after: float, before: float) -> int:
        """Return how many clouds were made between two moments (s, ROS time)."""
        with self._lock:
            return sum(after < stamp < before for stamp in self._cloud_stamps)

    def wait(self, timeout: float) -> None:
        """Return when something new has come, at the latest after `timeout` seconds."""
        with self._lock:
            self._lock.wait(timeout)

    def observation(self, now: float, newer_than: float) -> Observation:
        """Return the newest complete observation made after `newer_than` (s, ROS time, like `now`).

        Raises:
            NotReadyError: a part is missing, too old, empty or not newer than asked for.
            ValueError: a part is malformed.
        """
        with self._lock:
            cloud, images, depths = self._cloud, list(self._images), list(self._depths)
            model, lacking = self._model, self._lacking
        if model is None:
            raise NotReadyError(lacking)
        if cloud is None or not images:
            raise NotReadyError("no cloud yet" if cloud is None else "no front image yet")
        stamp = seconds(cloud.header.stamp)
        self._check_age("cloud", stamp, now)
        image = self._nearest(images, stamp)
        if image is None:
            newest = seconds(images[-1].header.stamp)
            self._check_age("front image", newest, now)
            raise NotReadyError(
                f"no front image within {self._limits.sync_tolerance * 1e3:.0f} ms of the cloud's stamp"
            )
        if stamp <= newer_than:
            raise NotReadyError(self.NEXT_FRAME)
        if cloud.width * cloud.height == 0:
            raise NotReadyError("the cloud is empty: nothing was measured inside the workspace")
        joints = self.measured(stamp)
        if joints is None:
            raise NotReadyError("no joint state at the stamp of the cloud")
        self._wait_for_joints(stamp)
        if depths and seconds(depths[-1].header.stamp) < stamp:
            raise NotReadyError("the depth image that the cloud was made of has not come yet")
        return self._assemble(cloud, image, self._nearest(depths, stamp), joints, model)

    def _wait_for_joints(self, stamp: float) -> None:
        """Hold a cloud back until the joint states reach it: what is measured after it must not depend on who is first.

        Where they never do, as with clocks that differ, nothing is held back for longer than `JOINTS_LATE`.
        """
        if self.joints.newest < stamp:
            self._held = stamp if self._held is None else self._held
            if abs(stamp - self._held) < self.JOINTS_LATE * self._dilation:
                raise NotReadyError("the joint states have not reached the stamp of the cloud yet")
        self._held = None

    def _check_age(self, name: str, stamp: float, now: float) -> None:
        age, limit = now - stamp, self._limits.max_age * self._dilation
        if abs(age) > limit:
            raise NotReadyError(f"the newest {name} is {age:.2f} s old, limit {limit:g} s")

    def _nearest(self, messages: list[Message], stamp: float) -> Message | None:
        apart = [abs(seconds(message.header.stamp) - stamp) for message in messages]
        if not apart or min(apart) > self._limits.sync_tolerance:
            return None
        return messages[int(np.argmin(apart))]

    def _assemble(
        self, cloud: Message, image: Message, depth: Message | None, joints: NDArray[np.float64], model: CameraModel
    ) -> Observation:
        if cloud.header.frame_id != BASE_FRAME:
            raise ValueError(f"the cloud is in frame {cloud.header.frame_id!r}, not in {BASE_FRAME}")
        color = color_image(image.data, image.encoding, image.height, image.width, step=image.step)
        if color.shape[:2] != (model.height, model.width):
            raise ValueError(
                f"the front image is {image.width}x{image.height}, its camera_info says {model.width}x{model.height}"
            )
        return Observation(
            image=color,
            camera=model,
            points=cloud_points(cloud),
            state=robot_state(joints, self.dh_is_offset),
            depth=None if depth is None else depth_image(depth),
            stamp=seconds(cloud.header.stamp),
        )
