"""What a RealSense is asked for, what it gives, and whether that can be believed: its stamps and its images.

Free of pyrealsense2, which `device` alone imports; `link` puts all of it together.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


class CameraError(Exception):
    """Say why a camera cannot be read and what to do; the message is one line for a person."""


@dataclass(frozen=True)
class Profile:
    """Name a stream's size and rate."""

    width: int  # pixels
    height: int  # pixels
    rate: int  # frames per second

    @classmethod
    def parse(cls, text: str) -> Profile:
        """Return the profile that `text`, such as "640x480x30", names; commas may stand for the x.

        Raises:
            ValueError: `text` is of another form.
        """
        match = re.fullmatch(r"(\d+)[x,](\d+)[x,](\d+)", text.replace(" ", ""))
        numbers = [int(number) for number in match.groups()] if match else []
        if not numbers or 0 in numbers:
            raise ValueError(f"profile {text!r} is not WIDTHxHEIGHTxRATE; write for instance 640x480x30")
        return cls(*numbers)

    def __str__(self) -> str:
        """Return the form that `parse` reads."""
        return f"{self.width}x{self.height}x{self.rate}"


@dataclass(frozen=True)
class Intrinsics:
    """Hold how a stream's pixels see; (0, 0) is the centre of the top left pixel."""

    width: int  # pixels
    height: int  # pixels
    fx: float  # pixels
    fy: float  # pixels
    cx: float  # pixels
    cy: float  # pixels
    distortion_model: str  # as sensor_msgs/CameraInfo names it where it has a name
    distortion: tuple[float, ...]  # k1, k2, p1, p2, k3 of plumb_bob; k1..k4 of equidistant
    lens: str  # as the SDK names the model


@dataclass(frozen=True)
class DeviceInfo:
    """Identify a camera."""

    serial: str
    name: str
    firmware: str = ""
    usb: str = ""  # "3.2", "2.1"; empty where there is no USB

    def __str__(self) -> str:
        """Return what a person reads."""
        parts = (self.name, self.firmware and f"firmware {self.firmware}", self.usb and f"USB {self.usb}")
        return f"{self.serial} ({', '.join(part for part in parts if part)})"


@dataclass(frozen=True)
class Capture:
    """Hold colour and depth of one moment as the camera gave them.

    The arrays live in the SDK's memory, which has room for about a dozen frames: copy what is to be kept.
    """

    color: NDArray[np.uint8]  # [H, W, 3] RGB
    depth: NDArray[np.uint16]  # [H, W] mm along the optical axis, aligned to `color`; 0: not measured
    raw_depth: NDArray[np.uint16]  # [H, W] mm as the depth sensor sees it; 0: not measured
    time: float  # s, the camera's clock, of the colour image
    on_host_clock: bool  # whether the camera claims that `time` is Unix time
    arrival: float  # s, Unix time of this machine
    metadata: Mapping[str, str | int | float]  # of the colour image, by the names of realsense2_camera


# When a frame was made: from a camera's clock to this machine's.

WINDOW = 10.0  # s over which the fastest transport is looked for; crystals drift apart by less than 1 ms in it
TRUSTED = 0.25  # s; a camera on the host's clock that is further off is wrong, not slow
RELEASED = 0.5 * TRUSTED  # s; once wrong, it must come this close to be trusted again


class CameraClock:
    """Turn the times of a camera's clock into times of this machine's, frame by frame.

    A camera whose times are claimed to be of the host's clock, and are plausible, is believed. Otherwise the offset
    between the clocks is taken from the frame of the last seconds that travelled fastest: such stamps are late by
    that frame's travel, some milliseconds, and free of the jitter of the arrivals. A frame that was held up keeps its
    age: it is never taken for a new one.
    """

    def __init__(self) -> None:
        """Start without a frame."""
        self._offsets: deque[tuple[float, float]] = deque()  # (arrival, arrival - device time), s
        self._newest = float("-inf")  # s, the camera's clock
        self.mapped = False
        self.skew = 0.0  # s that the host's clock is ahead of the camera's, travel included

    def stamp(self, device: float, arrival: float, on_host_clock: bool) -> float:
        """Return when a frame was made, on the host's clock.

        `device` is the camera's time of the frame and `arrival` the host's time when it came, both in s;
        `on_host_clock` says that the camera's clock is meant to be the host's.
        """
        if device < self._newest:  # it was set back or began anew
            self._offsets.clear()
        self._newest = device
        self._offsets.append((arrival, arrival - device))
        # A clock of this machine that was set leaves arrivals behind that lie in the future.
        while not arrival - WINDOW <= self._offsets[0][0] <= arrival:
            self._offsets.popleft()
        self.skew = min(value for _, value in self._offsets)
        limit = RELEASED if self.mapped else TRUSTED
        self.mapped = not on_host_clock or not -limit < self.skew < limit
        return device + self.skew if self.mapped else device


# Images that say that a camera is not seeing: the same one again and again, black ones, depth without a value.

DARK = 16  # 0..255; an image whose brightest percent is darker shows nothing
_EVERY = 8  # of the pixels that are looked at, in both directions


class ImageWatch:
    """Look at every capture of a camera and remember what is wrong with the newest one."""

    def __init__(self) -> None:
        """Start with nothing seen."""
        self.black = False
        self.without_depth = False
        self.repeated_for = 0.0  # s that the same image has come again and again
        self._previous: Capture | None = None
        self._since = 0.0

    def look(self, capture: Capture) -> None:
        """Judge `capture`, which came after the last one."""
        sample = capture.color[::_EVERY, ::_EVERY]
        self.black = bool(np.percentile(sample, 99) < DARK)
        self.without_depth = not capture.depth.any()
        if self._previous is None or not _same(self._previous, capture) or sample.min() == sample.max():
            self._previous, self._since = capture, capture.arrival
        self.repeated_for = max(0.0, capture.arrival - self._since)


def _same(first: Capture, second: Capture) -> bool:
    """Tell whether two captures are equal to the last bit; the noise of a sensor keeps that from ever happening."""
    return _equal(first.color, second.color) and _equal(first.raw_depth, second.raw_depth)


def _equal(first: NDArray[np.generic], second: NDArray[np.generic]) -> bool:
    coarse = np.array_equal(first[::_EVERY, ::_EVERY], second[::_EVERY, ::_EVERY])
    return coarse and np.array_equal(first, second)
