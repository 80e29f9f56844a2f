"""RGB-D frames from a RealSense: the only file that imports pyrealsense2.

A process that speaks ROS imports rclpy before this file: both bring a FastDDS of their own, and loaded the other way
round they crash when the process ends.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pyrealsense2 as rs
from numpy.typing import NDArray

from tristage_ros.devices.realsense.capture import CameraError, Capture, DeviceInfo, Intrinsics, Profile
from tristage_ros.perception.lens_models import EQUIDISTANT, PLUMB_BOB

DISCOVERY = 4.0  # s in which a camera on the network is found after a context was made; one on USB is there at once
MILLIMETRE = 0.001  # m
_METADATA = tuple(rs.frame_metadata_value.__members__.items())
_RENAMED = {"frame_timestamp": "hw_timestamp"}  # frame_timestamp is the one that the SDK maps


class Source(Protocol):
    """Where frames come from."""

    live: bool  # whether the camera's clock runs now

    def attach(self, context: rs.context, pipeline: rs.pipeline, config: rs.config) -> None:
        """Tie a pipeline that is not started yet to the device; raise CameraError when it is not there."""


@dataclass(frozen=True)
class Connected:
    """A camera on USB or on the network."""

    serial: str = ""  # empty: the only one that is connected
    live: bool = True

    def attach(self, context: rs.context, pipeline: rs.pipeline, config: rs.config) -> None:
        """Choose the device by its serial number; wait `DISCOVERY` seconds for it."""
        end = time.monotonic() + DISCOVERY
        while not (found := self._choose(context)) and time.monotonic() < end:
            time.sleep(0.1)
        if not found:
            others = ", ".join(str(device) for device in _devices(context))
            wanted = f"camera {self.serial} is not connected" if self.serial else "no camera is connected"
            raise CameraError(f"{wanted}; connected: {others or 'none'}; check the cable and the serial number")
        config.enable_device(found)

    def _choose(self, context: rs.context) -> str:
        serials = [device.serial for device in _devices(context)]
        if not self.serial and len(serials) > 1:
            raise CameraError(f"several cameras are connected; choose one by serial_no: {', '.join(serials)}")
        return next((serial for serial in serials if serial == self.serial or not self.serial), "")


@dataclass(frozen=True)
class Recording:
    """A .db3 file written by the SDK or its viewer."""

    path: Path
    loop: bool = False
    real_time: bool = True  # False: as fast as it is read, losing nothing
    live: bool = False

    def attach(self, context: rs.context, pipeline: rs.pipeline, config: rs.config) -> None:
        """Play the file instead of a device."""
        if not self.path.is_file():
            raise CameraError(f"there is no recording at {self.path}")
        try:
            rs.config.enable_device_from_file(config, str(self.path), repeat_playback=self.loop)
        except RuntimeError as error:
            raise CameraError(f"{self.path} cannot be played: {error}; it must be a .db3 file") from error


@dataclass(frozen=True)
class Settings:
    """Choose the streams."""

    color: Profile
    depth: Profile


class RealSense:
    """Stream colour with depth aligned to it from one camera, until close().

    Every instance makes an SDK context of its own: one that lost its device does not find it again.
    """

    def __init__(self, source: Source, settings: Settings) -> None:
        """Start streaming.

        Raises:
            CameraError: the camera is not there, is taken, or cannot deliver the streams.
        """
        context = rs.context()
        self._pipeline = rs.pipeline(context)
        try:
            self._profile = self._start(context, source, settings)
            self.device = _info(self._profile.get_device())
            self.color, self.depth = (_intrinsics(self._profile, kind) for kind in (rs.stream.color, rs.stream.depth))
        except RuntimeError as error:
            raise CameraError(f"the camera cannot deliver {_describe(settings)}: {error}") from error
        self._playback = None if source.live else self._profile.get_device().as_playback()
        if isinstance(source, Recording) and self._playback:
            self._playback.set_real_time(source.real_time)
        self._align = rs.align(rs.stream.color)
        self._numbers: tuple[int, int] | None = None  # of the frames that were taken last
        self.incomplete = 0  # framesets without new colour and new depth

    def _start(self, context: rs.context, source: Source, settings: Settings) -> rs.pipeline_profile:
        config = rs.config()
        source.attach(context, self._pipeline, config)
        if source.live:  # a recording has the streams that it has
            for kind, form, p in (
                (rs.stream.color, rs.format.rgb8, settings.color),
                (rs.stream.depth, rs.format.z16, settings.depth),
            ):
                config.enable_stream(kind, p.width, p.height, form, p.rate)
        return self._pipeline.start(config)

    @property
    def ended(self) -> bool:
        """Tell whether a recording has been played to its end."""
        return self._playback is not None and self._playback.current_status() == rs.playback_status.stopped

    def read(self, timeout: float) -> Capture | None:
        """Return the next frame, None when none that is complete came within `timeout` seconds.

        Raises:
            CameraError: the SDK gave up on the camera.
        """
        end = time.monotonic() + timeout
        try:
            while (left := end - time.monotonic()) > 0:
                arrived, frames = self._pipeline.try_wait_for_frames(max(1, round(left * 1e3)))
                if not arrived:
                    return None
                color, depth = frames.get_color_frame(), frames.get_depth_frame()
                if color and depth and self._are_new(color, depth):
                    return self._capture(frames, color, depth)
                self.incomplete += 1
        except RuntimeError as error:
            raise CameraError(f"camera {self.device.serial}: {error}") from error
        return None

    def _are_new(self, color: rs.video_frame, depth: rs.depth_frame) -> bool:
        """Tell whether both are; where one stream has stopped, the SDK repeats its last frame beside the other's."""
        numbers = color.get_frame_number(), depth.get_frame_number()
        if self._numbers and any(new == old for new, old in zip(numbers, self._numbers, strict=True)):
            return False
        self._numbers = numbers
        return True

    def _capture(self, frames: rs.composite_frame, color: rs.video_frame, depth: rs.depth_frame) -> Capture:
        arrival = time.time()
        aligned = self._align.process(frames).get_depth_frame()
        return Capture(
            color=_rgb(color),
            depth=_millimetres(aligned, depth.get_units()),
            raw_depth=_millimetres(depth, depth.get_units()),
            time=color.get_timestamp() * 1e-3,
            on_host_clock=color.get_frame_timestamp_domain() != rs.timestamp_domain.hardware_clock,
            arrival=arrival,
            metadata=_metadata(color),
        )

    def close(self) -> None:
        """End the streams; a camera that is gone makes this take some seconds."""
        with suppress(RuntimeError):  # it was not streaming any more
            self._pipeline.stop()


def connected() -> list[DeviceInfo]:
    """Return the cameras that are connected to this machine now."""
    return _devices(rs.context())


def _devices(context: rs.context) -> list[DeviceInfo]:
    found = []
    for device in context.query_devices():
        try:
            found.append(_info(device))
        except RuntimeError:  # unplugged between being listed and being asked
            continue
    return found


def _info(device: rs.device) -> DeviceInfo:
    def ask(key: rs.camera_info) -> str:
        return str(device.get_info(key)) if device.supports(key) else ""

    keys = rs.camera_info
    return DeviceInfo(
        ask(keys.serial_number), ask(keys.name), ask(keys.firmware_version), ask(keys.usb_type_descriptor)
    )


def _intrinsics(profile: rs.pipeline_profile, kind: rs.stream) -> Intrinsics:
    i = profile.get_stream(kind).as_video_stream_profile().get_intrinsics()
    # Brown-Conrady, inverse and modified are plumb_bob, as realsense2_camera has it. CameraInfo has no name for the
    # latter two; they differ from it by hundredths of a pixel. What is something else keeps its name, and is refused.
    others = {rs.distortion.kannala_brandt4: (EQUIDISTANT, 4), rs.distortion.ftheta: (i.model.name, 5)}
    model, count = others.get(i.model, (PLUMB_BOB, 5))
    coefficients = tuple(float(value) for value in i.coeffs[:count])
    return Intrinsics(i.width, i.height, i.fx, i.fy, i.ppx, i.ppy, model, coefficients, i.model.name)


def _rgb(frame: rs.video_frame) -> NDArray[np.uint8]:
    data: NDArray[np.uint8] = np.asanyarray(frame.get_data())
    form = frame.get_profile().format()
    if form == rs.format.rgb8:
        return data
    if form == rs.format.bgr8:
        return np.ascontiguousarray(data[..., ::-1])
    raise CameraError(f"the colour stream is {form}; record it as RGB8")


def _millimetres(frame: rs.depth_frame, unit: float) -> NDArray[np.uint16]:
    raw: NDArray[np.uint16] = np.asanyarray(frame.get_data())
    scale = unit / MILLIMETRE
    if abs(scale - 1.0) < 1e-6:
        return raw
    scaled: NDArray[np.float32] = raw * np.float32(scale) + np.float32(0.5)
    return scaled.clip(0, 65535).astype(np.uint16)


def _metadata(frame: rs.video_frame) -> Mapping[str, str | int | float]:
    values: dict[str, str | int | float] = {
        "frame_number": frame.get_frame_number(),
        "clock_domain": frame.get_frame_timestamp_domain().name,
        "frame_timestamp": frame.get_timestamp(),
    }
    for name, key in _METADATA:
        if frame.supports_frame_metadata(key):
            values[_RENAMED.get(name, name)] = frame.get_frame_metadata(key)
    return values


def _describe(settings: Settings) -> str:
    return f"colour {settings.color} and depth {settings.depth}"
