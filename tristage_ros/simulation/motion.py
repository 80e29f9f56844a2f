"""How the arm's main controller moves its references: velocity ramps and straight lines."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Ramp:
    """Move references to their targets under velocity and acceleration limits, overshooting by less than a dt^2 / 8."""

    def __init__(self, position: Array) -> None:
        """Rest at `position`."""
        self.position = np.array(position, float)
        self.velocity = np.zeros_like(self.position)

    def hold(self, position: Array, where: NDArray[np.bool_]) -> None:
        """Rest at `position` for the entries chosen by `where`."""
        self.position = np.where(where, position, self.position)
        self.velocity = np.where(where, 0.0, self.velocity)

    def step(self, target: Array, max_velocity: Array, acceleration: Array, time_step: float) -> None:
        """Advance all entries by `time_step` seconds."""
        error = target - self.position
        change = acceleration * time_step
        # Largest velocity from which whole steps of `change` still stop within the error.
        braking = np.sqrt(change**2 / 4 + 2 * acceleration * np.abs(error)) - change / 2
        wanted = np.sign(error) * np.minimum(np.minimum(braking, max_velocity), np.abs(error) / time_step)
        self.velocity = np.clip(wanted, self.velocity - change, self.velocity + change)
        self.position = self.position + self.velocity * time_step


class Line:
    """Interpolate from one pose to another along a straight line, turning at a constant rate."""

    def __init__(self, start: Array, goal: Array) -> None:
        """Start at pose `start` [4, 4]; end at pose `goal` [4, 4]."""
        self._start, self._translation = start, goal[:3, 3] - start[:3, 3]
        self._from, target = np.empty(4), np.empty(4)
        mujoco.mju_mat2Quat(self._from, start[:3, :3].flatten())
        mujoco.mju_mat2Quat(target, goal[:3, :3].flatten())
        self._turn = np.empty(3)  # rad, rotation vector in the frame of `start`
        mujoco.mju_subQuat(self._turn, target, self._from)
        self._length = max(float(np.linalg.norm(self._translation)), 1e-6)
        self._travelled = 0.0

    @property
    def done(self) -> bool:
        """Tell whether the goal pose has been returned."""
        return self._travelled >= self._length

    def advance(self, distance: float) -> Array:
        """Return the pose [4, 4] that lies `distance` metres further."""
        self._travelled = min(self._length, self._travelled + distance)
        fraction = self._travelled / self._length
        quaternion, rotation = self._from.copy(), np.empty(9)
        mujoco.mju_quatIntegrate(quaternion, self._turn, fraction)
        mujoco.mju_quat2Mat(rotation, quaternion)
        pose = np.eye(4)
        pose[:3, :3] = rotation.reshape(3, 3)
        pose[:3, 3] = self._start[:3, 3] + fraction * self._translation
        return pose
