"""What a dataset is made of: episodes, whose frames come one at a time, so that no more than one is ever in memory.

A frame is one observation, as the policy node would have answered it, and what was commanded then. Whoever reads a
format yields these values, and whoever writes one takes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tristage_ros.devices.arm.values import ActionChunk
from tristage_ros.perception.camera import CameraModel
from tristage_ros.perception.extrinsics import CameraMount


class DatasetError(ValueError):
    """Say what is wrong with a dataset, in one line that begins with the file and the episode."""


@dataclass(frozen=True)
class Calibration:
    """Say what a camera's images are: its intrinsics, and where it is mounted."""

    camera: CameraModel  # of its images; its pose is without meaning, a camera on the flange moves
    mount: CameraMount


@dataclass(frozen=True)
class Frame:
    """Hold one observation, and what was commanded on it. Lengths in m, angles in rad, in the frame of the base."""

    stamp: float  # s, ROS time, of the observation
    images: Mapping[str, NDArray[np.uint8]]  # [H, W, 3] RGB by camera, the nearest to the stamp
    depths: Mapping[str, NDArray[np.float32]]  # [H, W] m by camera, aligned to its image, 0 where nothing was measured
    state: NDArray[np.float32]  # [7] measured tool x, y, z, roll, pitch, yaw, and gripper 0 closed .. 1 open
    joints: NDArray[np.float64]  # [7] measured joints (rad), and the gripper's opening (m)
    action: ActionChunk  # one action, for the moment of the next frame; its stamp is this frame's
    source: str = ""  # who moved the arm: policy, leader, joints, twist, hand, ...; empty: not known
    points: NDArray[np.float32] | None = None  # [N, 3] the model's cloud; None: it is made of the depths when needed


@dataclass(frozen=True)
class Trim:
    """Say which part of a recording is used, s from its beginning; the rest is idle, or a person cut it off."""

    begin: float
    end: float
    recorded: float  # s, all of it


@dataclass(frozen=True)
class Episode:
    """Hold what is known of a demonstration beside its frames, which `frames` reads anew every time."""

    number: int  # in its dataset, from 0
    where: str  # file or folder and the episode in it, for a person
    task: str  # the sentence that the policy is told
    calibration: Mapping[str, Calibration]  # by camera, the first one the view of the policy
    trim: Trim
    frames: Callable[[], Iterator[Frame]] = field(compare=False, repr=False)
    outcome: str = ""  # success, failure; empty: nobody said
    complaints: Sequence[str] = ()  # the verdict of its recorder, a line each; none: all was well
    dh_is_offset: bool = True  # zero of the joints, see `kinematics.dh_is_offset`
    facts: Mapping[str, str] = field(default_factory=dict)  # operator, firmware, versions and what else is to be kept


class Dataset(Protocol):
    """Read episodes one after the other; what is held in memory does not grow with their number."""

    @property
    def rate(self) -> float:
        """Return frames per second, Hz; 0: key frames, which come when something happens."""

    def __len__(self) -> int:
        """Return the number of episodes."""

    def __iter__(self) -> Iterator[Episode]:
        """Yield the episodes in their order.

        Raises:
            DatasetError: one cannot be read; its frames may raise it, too.
        """
