"""The arm's part of an observation, as the model takes it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tristage_ros.devices.arm.kinematics import GRIPPER_RANGE, forward, matrix_to_rpy, tool_pose


def robot_state(joints: NDArray[np.float64], dh_is_offset: bool = True) -> NDArray[np.float32]:
    """Return the [7] state of the model from [7] joint positions (rad) with the gripper opening (m).

    The state is tool x, y, z (m), roll, pitch, yaw (rad) in the base frame and the gripper 0 closed .. 1 open.
    """
    tool = tool_pose(forward(joints[:6], dh_is_offset))
    opening = np.clip(joints[6] / GRIPPER_RANGE[1], 0.0, 1.0)
    return np.array([*tool[:3, 3], *matrix_to_rpy(tool[:3, :3]), opening], np.float32)
