"""The true state of a scene, as tasks judge it and experts act on it."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from tristage_ros.devices.arm.kinematics import GRIPPER_RANGE, forward, tool_pose
from tristage_ros.simulation.grasp import tool_yaw
from tristage_ros.simulation.scene import body_pose

Floats = NDArray[np.float64]


class World:
    """Look at the state that `data` holds when a method is called; nothing is changed."""

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        """Watch `data`."""
        self._model, self._data = model, data
        self._arm = np.array([model.joint(f"joint{k + 1}").qposadr[0] for k in range(6)])
        self._finger = model.joint("finger_left").qposadr[0]

    @property
    def joints(self) -> Floats:
        """Return the arm's joint positions, [6] rad."""
        joints: Floats = self._data.qpos[self._arm]
        return joints

    @property
    def opening(self) -> float:
        """Return the gap between the fingers, m."""
        return 2 * float(self._data.qpos[self._finger])

    @property
    def gripper(self) -> float:
        """Return the opening, 0 closed .. 1 open."""
        return min(1.0, max(0.0, self.opening / GRIPPER_RANGE[1]))

    @property
    def tool(self) -> Floats:
        """Return the pose [4, 4] of the grasp centre, m."""
        return tool_pose(forward(self.joints))

    @property
    def yaw(self) -> float:
        """Return the direction, rad, across which the fingers close."""
        return tool_yaw(self.tool)

    def pose(self, body: str) -> Floats:
        """Return the pose [4, 4] of a body, m."""
        return body_pose(self._data, body)

    def heading(self, body: str) -> float:
        """Return the direction, rad, of a body's x axis as seen from above."""
        x_axis = self.pose(body)[:3, 0]
        return float(np.arctan2(x_axis[1], x_axis[0]))

    def pivot(self, joint: str) -> Floats:
        """Return where a hinge sits in its body, [3] m."""
        pivot: Floats = self._model.joint(joint).pos
        return pivot

    def speed(self, body: str) -> float:
        """Return how fast a body moves, m/s, its rotation counted as if it were one metre away."""
        return float(np.linalg.norm(self._data.body(body).cvel))

    def angle(self, joint: str) -> float:
        """Return the position of a hinge, rad."""
        return float(self._data.joint(joint).qpos[0])
