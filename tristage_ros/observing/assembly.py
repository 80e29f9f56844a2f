"""The depth frames of one moment, put together: one cloud per frame of the first camera, in the base frame."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tristage_ros.devices.arm.kinematics import forward
from tristage_ros.observing.joints import JointHistory
from tristage_ros.observing.messages import Message, depth_image, seconds
from tristage_ros.perception.camera import CameraModel
from tristage_ros.perception.camera_info import camera_model
from tristage_ros.perception.cloud import VOXEL, PointCloud, RgbdFrame, Workspace, build_cloud
from tristage_ros.perception.extrinsics import CameraMount

NO_COLOR = np.empty((0, 0, 3), np.uint8)


@dataclass(frozen=True)
class CloudSettings:
    """Hold what a cloud is to be, and how old and how far apart its parts may be."""

    workspace: Workspace
    points: int
    stride: int  # pixels
    max_age: float  # s
    sync_tolerance: float  # s
    voxel: float = VOXEL  # m


@dataclass(frozen=True)
class Built:
    """Hold what came of one frame of the first camera."""

    stamp: float  # s
    frames: Mapping[str, RgbdFrame]  # by camera; those that were refused or did not come are not there
    cloud: PointCloud | None  # None: there was no frame
    milliseconds: float  # that it took


class DepthInput:
    """Keep the newest depth frame of one camera, and count what was refused and why."""

    def __init__(self, mount: CameraMount) -> None:
        """Start without intrinsics: frames are refused until the first camera_info."""
        self.mount = mount
        self.model: CameraModel | None = None
        self.lacking = "no camera_info yet"  # why there is no model
        self.newest: Message | None = None
        self.refused: Counter[str] = Counter()
        self.reason = ""

    def refuse(self, kind: str, reason: str) -> None:
        """Count a refused frame; `reason` is what a person reads."""
        self.refused[kind] += 1
        self.reason = reason

    def frame(self, message: Message, flange: NDArray[np.float64] | None) -> RgbdFrame:
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
        pose = self.mount.pose if flange is None or self.mount.parent == "base_link" else flange @ self.mount.pose
        return RgbdFrame(NO_COLOR, depth, self.model.at(pose), seconds(message.header.stamp))


class CloudAssembly:
    """Take messages one by one, and tell `built` as soon as those of a moment are there."""

    def __init__(
        self,
        mounts: Sequence[CameraMount],
        settings: CloudSettings,
        built: Callable[[Built], None],
        refused: Callable[[str, str], None],
    ) -> None:
        """Merge the cameras of `mounts`, the first of which sets the pace; `refused` hears of camera and reason."""
        self.inputs = {mount.name: DepthInput(mount) for mount in mounts}
        self.joints = JointHistory()
        self.dh_is_offset = True  # zero convention of the arm's firmware
        self.last_stamp = 0.0  # s, of the newest that was built
        self._first = self.inputs[mounts[0].name]
        self._settings, self._built, self._refused = settings, built, refused
        self._dilation = 1.0

    def dilate(self, dilation: float) -> None:
        """Take a second of the limits for so many of the stamps: an emulated arm's time passes more slowly."""
        self.joints.span *= dilation / self._dilation
        self._dilation = dilation

    def add_info(self, name: str, message: Message, image: str = "") -> None:
        """Take a camera's intrinsics; `image` is the topic of what it sees."""
        source = self.inputs[name]
        try:
            source.model = camera_model(message, source.mount.lens, image)
        except ValueError as error:
            source.model, source.lacking = None, str(error)
            source.refuse("camera_info", str(error))

    def add_joints(self, message: Message) -> None:
        """Take joint states; raise ValueError when they are not usable."""
        try:
            self.joints.add(message)
        finally:
            self._build_when_complete()

    def add_depth(self, name: str, message: Message, now: float) -> bool:
        """Take a depth image at `now` (s, ROS time); return whether its cloud was built before."""
        source, stamp = self.inputs[name], seconds(message.header.stamp)
        age, limit = now - stamp, self._settings.max_age * self._dilation
        if abs(age) > limit:
            hint = (
                "is the clock of the camera's machine right?"
                if age < 0
                else "is the camera frozen or the machine overloaded?"
            )
            source.refuse("stale", f"frame is {age:.2f} s old, limit {limit:g} s; {hint}")
            return False
        if source is self._first and self._pending():
            self._build()  # what it waited for never came
        if source is self._first and stamp == self.last_stamp:
            return True
        source.newest = message
        self._build_when_complete()
        return False

    def _pending(self) -> bool:
        return self._first.newest is not None and seconds(self._first.newest.header.stamp) != self.last_stamp

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

    def _partner(self, source: DepthInput) -> Message | None:
        first = self._first.newest
        if source.newest is None or first is None:
            return None
        apart = abs(seconds(source.newest.header.stamp) - seconds(first.header.stamp))
        return source.newest if apart <= self._settings.sync_tolerance else None

    def _build(self) -> None:
        start, settings = time.perf_counter(), self._settings
        assert self._first.newest is not None
        self.last_stamp = seconds(self._first.newest.header.stamp)
        named = {name: frame for name, source in self.inputs.items() if (frame := self._frame(source)) is not None}
        cloud = None
        if named:
            frames = list(named.values())
            cloud = build_cloud(
                frames, settings.workspace, count=settings.points, stride=settings.stride, voxel=settings.voxel
            )
        self._built(Built(self.last_stamp, named, cloud, (time.perf_counter() - start) * 1e3))

    def _frame(self, source: DepthInput) -> RgbdFrame | None:
        partner = self._partner(source)
        if partner is None:
            return None
        joints = self.joints.at(seconds(partner.header.stamp))
        try:
            return source.frame(partner, None if joints is None else forward(joints[:6], self.dh_is_offset))
        except ValueError as error:
            source.refuse("unusable", str(error))
            self._refused(source.mount.name, str(error))
            return None
