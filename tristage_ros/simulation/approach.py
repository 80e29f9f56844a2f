"""From a key frame to what a policy that acts several times a second does about it: small steps on the way there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation, Slerp

from tristage_ros.devices.kinematics import matrix_to_rpy, rpy_to_matrix
from tristage_ros.mla.values import Action
from tristage_ros.simulation.grasp import tool_rotation
from tristage_ros.simulation.tasks import KeyFrame

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Pace:
    """Say how fast the expert moves under continuous control."""

    speed: float = 0.20  # m/s
    turn: float = 1.2  # rad/s

    def __post_init__(self) -> None:
        """Refuse a pace at which nothing moves."""
        if not self.speed > 0.0 or not self.turn > 0.0:
            raise ValueError(f"speed and turn must be positive, not {self}")


def continuous_angles(rotation: Floats) -> Floats:
    """Return roll, pitch, yaw [3] of a rotation [3, 3], rad, free of jumps near a tool that points down.

    Such a tool has a roll and a yaw near half a turn; they are counted from 0 to 2 pi.
    """
    roll, pitch, yaw = matrix_to_rpy(rotation)
    return np.array([roll % (2 * np.pi), pitch, yaw % (2 * np.pi)])


def whole(frame: KeyFrame, tool: Floats) -> Action:
    """Return the key frame as one action of a tool at pose [4, 4]."""
    rotation = tool_rotation(frame.position, frame.yaw, frame.tilt)
    translation = frame.position - tool[:3, 3]
    return Action(translation[None], continuous_angles(rotation)[None], np.array([frame.gripper]))


def in_steps(frame: KeyFrame, tool: Floats, gripper: float, count: int, time_step: float, pace: Pace) -> Action:
    """Return `count` actions, `time_step` s apart, from a tool at pose [4, 4] towards a key frame; see `paced`."""
    return paced(whole(frame, tool), tool, gripper, count, time_step, pace)


def paced(action: Action, tool: Floats, gripper: float, count: int, time_step: float, pace: Pace) -> Action:
    """Return `count` actions, `time_step` s apart, from a tool at pose [4, 4] towards where a whole `action` leads.

    The gripper stays as it is, `gripper` 0..1, until the tool is there.
    """
    translation = action.translation[0]
    ends = Rotation.from_matrix(np.stack([tool[:3, :3], rpy_to_matrix(action.rotation[0])]))
    duration = max(np.linalg.norm(translation) / pace.speed, (ends[0].inv() * ends[1]).magnitude() / pace.turn)
    share = np.minimum(1.0, time_step * np.arange(1, count + 1) / max(duration, 1e-6))
    angles = np.array([continuous_angles(matrix) for matrix in Slerp([0.0, 1.0], ends)(share).as_matrix()])
    return Action(share[:, None] * translation, angles, np.where(share < 1.0, gripper, action.gripper[0]))
