"""What a control step waits for: that the arm, the beat or a frame lets it begin, and that an observation is complete.

The pacing says when the policy may infer: when the arm has reached the last key frame, at a rate, or on every frame. It
also says what is sent, key frames or steps towards them. The buffer puts together the messages of one moment.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, Image, JointState, PointCloud2
from tristage_msgs.msg import ActionChunk, ArmStatus

from tristage_ros.devices.arm.kinematics import GRIPPER_RANGE, robot_state
from tristage_ros.devices.arm.values import BASE_FRAME
from tristage_ros.mla.approach import Pace, paced
from tristage_ros.mla.values import Action, Observation
from tristage_ros.perception.camera import CameraModel
from tristage_ros.perception.camera_info import camera_model
from tristage_ros.perception.color import color_image
from tristage_ros.perception.extrinsics import CameraMount
from tristage_ros.ros.convert import cloud_points, depth_image, seconds
from tristage_ros.ros.joints import JointHistory

FINISHED = (ArmStatus.CHUNK_REACHED, ArmStatus.CHUNK_REFUSED, ArmStatus.CHUNK_ABORTED)
ABLE = (ArmStatus.HOLDING, ArmStatus.MOVING)


class Pacing(Protocol):
    """Decide when the next control step may begin."""

    newer_than: float  # s, ROS time: observations made before this are of no use

    def waits_for(self, monotonic: float, now: float) -> str:
        """Return what the next step waits for, empty when it may begin (`monotonic`: s; `now`: s, ROS time)."""

    def wanted_since(self, monotonic: float, now: float) -> float:
        """Return since when a step is wanted (s, ROS time), once nothing is waited for."""

    def steps(self, action: Action, observation: Observation) -> tuple[Action, float]:
        """Return what the arm is to do about the model's `action`, and the s between its parts, 0 for key frames."""

    def set_rate(self, rate: float) -> None:
        """Keep another rate, Hz, from now on."""

    def on_sent(self, chunk: ActionChunk, monotonic: float) -> None:
        """Take note of a chunk that was published."""

    def on_arm_status(self, status: ArmStatus, monotonic: float) -> None:
        """Take note of what the arm says."""


class KeyFramePacing:
    """Infer when the arm has reached, refused or aborted the last chunk, on a frame made after that."""

    MOVING = "the arm is moving to the last action"
    SILENT_AFTER = 1.0  # s without an arm status
    LOST_AFTER = 1.0  # s after which a chunk that the arm never mentions is taken for lost

    def __init__(self) -> None:
        """Wait for the first arm status."""
        self.newer_than = 0.0
        self._sent: ActionChunk | None = None
        self._sent_at = 0.0
        self._status: ArmStatus | None = None
        self._status_at = 0.0

    def set_rate(self, rate: float) -> None:
        """Ignore the rate: the arm sets the pace."""

    def on_sent(self, chunk: ActionChunk, monotonic: float) -> None:
        """Wait from now on until the arm is done with `chunk`."""
        self._sent, self._sent_at = chunk, monotonic

    def on_arm_status(self, status: ArmStatus, monotonic: float) -> None:
        """Take note of what the arm says; a finished chunk asks for an observation made after now."""
        self._status, self._status_at = status, monotonic
        sent = self._sent
        if sent is not None and status.chunk_stamp == sent.header.stamp and status.chunk_state in FINISHED:
            self._sent = None
            self.newer_than = seconds(status.header.stamp)

    def waits_for(self, monotonic: float, now: float) -> str:
        """Return what the next step waits for, empty when it may begin."""
        status, sent = self._status, self._sent
        if status is None or monotonic - self._status_at > self.SILENT_AFTER:
            return "no status from the arm"
        if status.mode not in ABLE:
            return f"the arm is not able to move: {status.reason}"
        if sent is None:
            return ""
        if status.chunk_stamp != sent.header.stamp and monotonic - self._sent_at > self.LOST_AFTER:
            self._sent = None
            return ""
        return self.MOVING

    def wanted_since(self, monotonic: float, now: float) -> float:
        """Return since when a step is wanted: nobody waited while the arm was moving."""
        return now

    def steps(self, action: Action, observation: Observation) -> tuple[Action, float]:
        """Return the action: its key frames are for the arm to reach."""
        return action, 0.0


class RatePacing:
    """Infer at a fixed rate, whatever the arm does, and go towards each key frame until the next one is known."""

    PERIOD = "waiting for the next control period"

    def __init__(self, rate: float, pace: Pace | None) -> None:
        """Take the rate in Hz, and the pace; None: the model says steps of 1 / rate itself."""
        self._period, self._pace, self._gripper = 1.0 / rate, pace, math.nan
        self.newer_than = 0.0
        self._due = self._wanted = -math.inf  # s, monotonic clock: when the next step may begin, and should have begun

    def set_rate(self, rate: float) -> None:
        """Keep another rate, Hz; the step that is waited for comes that much sooner or later."""
        before, self._period = self._period, 1.0 / rate
        self._due += self._period - before
        self._wanted += self._period - before

    def on_sent(self, chunk: ActionChunk, monotonic: float) -> None:
        """Keep the beat; what was missed is skipped."""
        self._wanted = self._due + self._period
        self._due = max(self._wanted, monotonic)

    def on_arm_status(self, status: ArmStatus, monotonic: float) -> None:
        """Remember what the gripper was last asked for: what it holds, it is to hold on to."""
        if math.isfinite(status.gripper_target):
            self._gripper = min(1.0, max(0.0, status.gripper_target / GRIPPER_RANGE[1]))

    def steps(self, action: Action, observation: Observation) -> tuple[Action, float]:
        """Return the first steps on the way to the model's key frame; several actions at once are steps already."""
        if self._pace is None or len(action.gripper) > 1:
            return action, self._period
        gripper = float(observation.state[6]) if math.isnan(self._gripper) else self._gripper
        return paced(action, observation.state[3:6], gripper, self._pace), self._pace.time_step

    def waits_for(self, monotonic: float, now: float) -> str:
        """Return what the next step waits for, empty when it may begin."""
        return self.PERIOD if monotonic < self._due else ""

    def wanted_since(self, monotonic: float, now: float) -> float:
        """Return since when a step is wanted: it may have been due while the one before was still computed."""
        return now - (monotonic - self._wanted) if math.isfinite(self._wanted) else now


class FramePacing:
    """Infer on every frame, as soon as the one before is done: whoever sends them sets the pace."""

    def __init__(self, like: Pacing) -> None:
        """Wait for nothing, and send what `like` would."""
        self.newer_than, self._like = 0.0, like

    def steps(self, action: Action, observation: Observation) -> tuple[Action, float]:
        """Return key frames or the first steps towards them."""
        return self._like.steps(action, observation)

    def set_rate(self, rate: float) -> None:
        """Send at this rate, where what is sent depends on it."""
        self._like.set_rate(rate)

    def on_sent(self, chunk: ActionChunk, monotonic: float) -> None:
        """Ignore what was sent."""

    def on_arm_status(self, status: ArmStatus, monotonic: float) -> None:
        """Take note of what the arm says."""
        self._like.on_arm_status(status, monotonic)

    def waits_for(self, monotonic: float, now: float) -> str:
        """Return an empty text: a step may always begin."""
        return ""

    def wanted_since(self, monotonic: float, now: float) -> float:
        """Return since when a step is wanted: now, so that no frame counts as missed."""
        return now


def pacing_of(control: str, frame_sends: str, rate: float, pace: Pace | None) -> Pacing:
    """Return the pacing that the policy's parameters ask for."""
    sends = frame_sends if control == "frame" else control
    pacing: Pacing = RatePacing(rate, pace) if sends == "rate" else KeyFramePacing()
    return FramePacing(pacing) if control == "frame" else pacing


# What belongs to one moment: image, depth, cloud and joint positions become an Observation.


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
        self._images: deque[Image] = deque(maxlen=8)
        self._depths: deque[Image] = deque(maxlen=8)
        self._cloud: PointCloud2 | None = None
        self._model: CameraModel | None = None
        self._lacking = "no usable camera_info of the front camera yet"  # why there is no model
        self.joints = JointHistory()
        self._held: float | None = None  # stamp of the first cloud in a row that joint states had not reached
        self._cloud_stamps: deque[float] = deque(maxlen=1024)  # s

    def add_image(self, message: Image) -> None:
        """Take a colour image of the front camera."""
        with self._lock:
            self._images.append(message)
            self._lock.notify_all()

    def add_depth(self, message: Image) -> None:
        """Take a depth image of the front camera."""
        with self._lock:
            self._depths.append(message)

    def add_info(self, message: CameraInfo, image: str = "") -> None:
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

    def add_cloud(self, message: PointCloud2) -> None:
        """Take the model's cloud."""
        with self._lock:
            self._cloud = message
            self._cloud_stamps.append(seconds(message.header.stamp))
            self._lock.notify_all()

    def add_joints(self, message: JointState) -> None:
        """Take joint states; raise ValueError when they are not usable."""
        with self._lock:
            self.joints.add(message)
            self._lock.notify_all()

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
        with self._lock:
            joints = self.joints.at(stamp)
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
            if abs(stamp - self._held) < self.JOINTS_LATE:
                raise NotReadyError("the joint states have not reached the stamp of the cloud yet")
        self._held = None

    def _check_age(self, name: str, stamp: float, now: float) -> None:
        age = now - stamp
        if abs(age) > self._limits.max_age:
            raise NotReadyError(f"the newest {name} is {age:.2f} s old, limit {self._limits.max_age:g} s")

    def _nearest(self, messages: list[Image], stamp: float) -> Image | None:
        apart = [abs(seconds(message.header.stamp) - stamp) for message in messages]
        if not apart or min(apart) > self._limits.sync_tolerance:
            return None
        return messages[int(np.argmin(apart))]

    def _assemble(
        self, cloud: PointCloud2, image: Image, depth: Image | None, joints: NDArray[np.float64], model: CameraModel
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
