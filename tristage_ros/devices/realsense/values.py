"""What a RealSense is asked for and what it gives."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PLUMB_BOB, EQUIDISTANT = "plumb_bob", "equidistant"  # distortion models as sensor_msgs/CameraInfo names them


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
    distortion_model: str  # PLUMB_BOB or EQUIDISTANT
    distortion: tuple[float, ...]  # k1, k2, p1, p2, k3 of PLUMB_BOB; k1..k4 of EQUIDISTANT


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
