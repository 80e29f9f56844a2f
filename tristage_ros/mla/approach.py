"""From a key frame to small steps on the way there: what a policy that says key frames does several times a second."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.transform import Rotation, Slerp

from tristage_ros.mla.values import Action

FIXED_AXES = "xyz"  # scipy's name for roll, pitch, yaw about them


@dataclass(frozen=True)
class Pace:
    """Say how a tool goes towards a key frame, and in which steps."""

    speed: float = 0.20  # m/s
    turn: float = 1.2  # rad/s
    actions: int = 6  # of a chunk: it should reach well past the time at which the next one takes over
    time_step: float = 0.1  # s between them

    def __post_init__(self) -> None:
        """Refuse a pace at which nothing moves."""
        if not min(self.speed, self.turn, self.actions, self.time_step) > 0.0:
            raise ValueError(f"speed, turn, actions and time_step must be positive, not {self}")


def paced(action: Action, rotation: ArrayLike, gripper: float, pace: Pace) -> Action:
    """Return the first steps of a tool on its way to where the first of an `action` leads.

    Args:
        action: its first is the key frame.
        rotation: [3] rad, roll, pitch, yaw of the tool in the observation that it answers.
        gripper: 0 closed .. 1 open, what the gripper was last asked for, and is until the tool is there.
        pace: of the tool.
    """
    translation = action.translation[0]
    ends = Rotation.from_euler(FIXED_AXES, np.stack([np.asarray(rotation, np.float64), action.rotation[0]]))
    turn = (ends[0].inv() * ends[1]).magnitude()
    duration = max(float(np.linalg.norm(translation)) / pace.speed, turn / pace.turn)
    times = pace.time_step * np.arange(1, pace.actions + 1)
    share = np.minimum(1.0, times / max(duration, 1e-6))
    angles = Slerp([0.0, 1.0], ends)(share).as_euler(FIXED_AXES)
    angles[:, ::2] %= 2 * np.pi  # a tool that points down has a roll and a yaw near half a turn
    return Action(share[:, None] * translation, angles, np.where(share < 1.0 - 1e-9, gripper, action.gripper[0]))
