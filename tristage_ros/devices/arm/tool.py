"""What the arm carries at its flange: gripper and wrist cameras, and how big they are.

Lengths in m, in the frame of the flange (z along the tool, y the way the fingers go) unless said otherwise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tristage_ros.devices.arm.kinematics import FINGERTIP_OFFSET, GRIPPER_RANGE, TOOL_OFFSET

Floats = NDArray[np.float64]
D435 = (0.090, 0.025, 0.025)  # m, width, height and depth of the RealSense D435's housing, by its data sheet
D435_LENS = (-0.0325, 0.0, 0.0)  # m, its colour lens as seen from the middle of its front
_FARTHEST = 0.3  # m

_FINGER = (0.010, 0.010, 0.050)  # m: half its width, its thickness, and its length up to the tip
_PALM = (0.012, 0.021, 0.056)  # m: the same of what carries it, and where that begins


@dataclass(frozen=True)
class Tool:
    """Describe the gripper: where its grasp centre and its fingertips are, and how far it opens."""

    tcp: float = TOOL_OFFSET  # m from the flange to the grasp centre (tool centre point), along z
    fingertips: float = FINGERTIP_OFFSET  # m from the flange to the fingertips, along z
    fingers_open: float = GRIPPER_RANGE[1]  # m between the fingers at their widest

    def __post_init__(self) -> None:
        """Refuse a gripper that is none.

        Raises:
            ValueError: a number is not finite or out of range; the message begins with its name.
        """
        if not 0.0 < self.tcp <= _FARTHEST:
            raise ValueError(
                f"tcp is {self.tcp} m; write its distance from the flange, above 0 and at most {_FARTHEST}"
            )
        if not max(self.tcp, 0.07) <= self.fingertips <= _FARTHEST:
            raise ValueError(
                f"fingertips is {self.fingertips} m; write the distance from the flange, at least that of the grasp "
                f"centre ({self.tcp}) and at most {_FARTHEST}"
            )
        if not 0.0 < self.fingers_open <= GRIPPER_RANGE[1]:
            raise ValueError(
                f"fingers_open is {self.fingers_open} m; write what the gripper may open to, at most {GRIPPER_RANGE[1]}"
            )

    def fingers(self) -> tuple[Floats, Floats]:
        """Return the boxes around the fingers at their widest: centres [2, 3] and half sizes [2, 3]."""
        width, thickness, length = _FINGER
        palm_width, palm_thickness, begin = _PALM
        reach = self.fingers_open / 2
        middle = self.fingertips - length / 2
        end = self.fingertips - length + 0.003
        centres = np.array([(0.0, 0.0, middle), (0.0, 0.0, (begin + end) / 2)])
        halves = [(width, reach + thickness, length / 2), (palm_width, reach + palm_thickness, abs(end - begin) / 2)]
        return centres, np.array(halves)

    def lowest(self, rotation: Floats) -> Floats:
        """Return how far, m (negative: below), the open fingertips [...] reach from the grasp centre along base z.

        Args:
            rotation: [..., 3, 3] of the tool in the base frame.
        """
        width, thickness, _ = _FINGER
        z_row = rotation[..., 2, :]
        along = np.minimum((self.fingertips - self.tcp) * z_row[..., 2], 0.0)
        across = width * np.abs(z_row[..., 0]) + (self.fingers_open / 2 + thickness) * np.abs(z_row[..., 1])
        lowest: Floats = along - across
        return lowest


@dataclass(frozen=True)
class WristCamera:
    """Describe a camera on the flange; the default is that of the shipped cameras file."""

    position: tuple[float, float, float] = (-0.072, 0.0, 0.030)  # m, of its lens, in the frame of the flange
    rotation: tuple[float, float, float, float] = (-0.13492233, 0.13492233, -0.69411524, 0.69411524)  # x, y, z, w
    size: tuple[float, float, float] = D435  # m, of its housing along the image's x and y, and along its view
    lens: tuple[float, float, float] = D435_LENS  # m, the lens as seen from the middle of the housing's front

    def __post_init__(self) -> None:
        """Refuse a camera that is not on the arm.

        Raises:
            ValueError: a number is not finite, or the camera is more than 0.3 m away from the flange.
        """
        if not np.linalg.norm(self.position) <= _FARTHEST:
            raise ValueError(f"a wrist camera is within {_FARTHEST} m of the flange, not at {self.position}")
        if not all(0.0 < size <= _FARTHEST for size in self.size):
            raise ValueError(f"camera_size is {list(self.size)} m; write width, height, depth, at most {_FARTHEST}")
        if not all(math.isfinite(value) and abs(value) <= _FARTHEST for value in self.lens):
            raise ValueError(f"camera_lens is {list(self.lens)} m; write x, y, z from the middle of its front")

    def box(self) -> tuple[Floats, Floats]:
        """Return the housing's centre and half size, [3] m each, in the optical frame (x right, y down, z forward)."""
        half = np.array(self.size) / 2
        return -np.array(self.lens) - (0.0, 0.0, half[2]), half
