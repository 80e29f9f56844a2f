"""The values that go in and out of the arm."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from tristage_ros.devices.arm.feedback import ArmFeedback

BASE_FRAME = "base_link"  # at the foot of the arm: z up, x forward


@dataclass(frozen=True)
class ActionChunk:
    """Hold the actions that one control step asks for."""

    stamp: float  # s, monotonic clock: when the observation was made
    time_step: float  # s between actions; 0: key frames, each as soon as the one before is reached
    translation: NDArray[np.float64]  # [n, 3] m, base frame, relative to the measured tool position at `stamp`
    orientation: NDArray[np.float64]  # [n, 4] unit quaternion x, y, z, w of the tool in the base frame, absolute
    gripper: NDArray[np.float64]  # [n] 0 closed .. 1 open
    frame_id: str = BASE_FRAME  # frame of translation and orientation


class CommandSource(IntEnum):
    """Name who may move the arm; the numbers are those of tristage_msgs/ArmStatus."""

    POLICY = 0
    TRAJECTORY = 1
    OPERATOR = 2


class ArmMode(IntEnum):
    """Name what the arm is doing; the numbers are those of tristage_msgs/ArmStatus."""

    DISCONNECTED = 0
    DISABLED = 1
    HOLDING = 2
    MOVING = 3
    FAULT = 4


class ChunkState(IntEnum):
    """Name what became of the newest chunk; the numbers are those of tristage_msgs/ArmStatus."""

    NONE = 0
    EXECUTING = 1
    REACHED = 2
    REFUSED = 3
    ABORTED = 4


@dataclass(frozen=True)
class ArmState:
    """Hold a consistent picture of the arm at one moment."""

    stamp: float  # s, monotonic clock
    mode: ArmMode
    reason: str  # why it is in this mode, for a person
    dry_run: bool  # nothing is sent
    source: CommandSource
    position: NDArray[np.float64]  # [6] rad, measured
    velocity: NDArray[np.float64]  # [6] rad/s, measured
    target: NDArray[np.float64]  # [6] rad, the joint target last sent
    gripper: float  # m, measured total opening
    gripper_target: float  # m, last sent
    chunk_stamp: float  # s, monotonic clock: observation stamp of the newest chunk, NaN before the first
    chunk_state: ChunkState
    chunk_reason: str
    feedback_age: float  # s since the last joint feedback
    feedback: ArmFeedback  # all that the arm reported
    firmware: str
    speed_scale: float  # 0..1 of the velocity limits
    setpoints_sent: int
    setpoints_limited: int  # set-points that the guard had to slow down or clamp
    chunks_accepted: int
    chunks_refused: int
