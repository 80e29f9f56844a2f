"""The expert's key frames as actions: whole, or in small steps on the way there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tristage_ros.devices.arm.kinematics import matrix_to_rpy
from tristage_ros.mla.approach import Pace, paced
from tristage_ros.mla.values import Action
from tristage_ros.simulation.grasp import tool_rotation
from tristage_ros.simulation.tasks import KeyFrame

Floats = NDArray[np.float64]


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


def in_steps(frame: KeyFrame, tool: Floats, gripper: float, pace: Pace) -> Action:
    """Return the first steps from a tool at pose [4, 4] towards a key frame; see `paced`."""
    return paced(whole(frame, tool), matrix_to_rpy(tool[:3, :3]), gripper, pace)
