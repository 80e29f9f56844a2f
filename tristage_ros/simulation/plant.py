"""The arm's mechanics: the firmware's references drive MuJoCo position actuators."""

from __future__ import annotations

import mujoco
import numpy as np

from tristage_ros.simulation.arm_model import FINGER_FORCE
from tristage_ros.simulation.controller import Drive
from tristage_ros.simulation.scene import TIME_STEP

BRAKING = 6.0  # damping of a braked joint relative to a free one
FORCE_PER_TORQUE = 25.0  # N at the fingertips per N m of gripper effort


class Plant:
    """Simulate the arm under gravity; powered joints are servoed and gravity compensated, unpowered ones fall.

    Until a motor is powered for the first time the arm stands on a parking stand and does not move.
    """

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        """Take over `model` and `data`: both change with every step."""
        self.model, self.data = model, data
        joints = [model.joint(f"joint{k + 1}") for k in range(6)]
        self._position = np.array([joint.qposadr[0] for joint in joints])
        self._velocity = np.array([joint.dofadr[0] for joint in joints])
        self._finger = model.joint("finger_left").qposadr[0]
        self._damping = model.dof_damping[self._velocity].copy()
        self._parked = True
        self._measure()

    def step(self, drive: Drive, time_step: float) -> None:
        """Advance by `time_step` seconds."""
        self._parked = self._parked and not drive.powered.any()
        powered = drive.powered | self._parked
        self._power_joints(powered, drive.braked)
        self._power_gripper(drive)
        if not self._parked:
            self.data.ctrl[:6] = drive.position
        mujoco.mj_step(self.model, self.data, round(time_step / TIME_STEP))
        self._measure()

    def _power_joints(self, powered: np.ndarray, braked: bool) -> None:
        self.model.opt.disableactuator = sum(1 << k for k in range(6) if not powered[k])
        self.model.dof_damping[self._velocity] = self._damping * (BRAKING if braked else 1.0)
        self.data.qfrc_applied[self._velocity] = self.data.qfrc_bias[self._velocity] * powered

    def _power_gripper(self, drive: Drive) -> None:
        force = min(FINGER_FORCE, FORCE_PER_TORQUE * drive.gripper_effort) if drive.gripper_powered else 0.0
        self.model.actuator_forcerange[6] = (-force, force)
        self.data.ctrl[6] = drive.opening / 2

    def _measure(self) -> None:
        data = self.data
        self.position = data.qpos[self._position]
        self.velocity = data.qvel[self._velocity]
        self.torque = data.actuator_force[:6] + data.qfrc_applied[self._velocity]
        self.opening = 2 * float(data.qpos[self._finger])
        self.gripper_effort = abs(float(data.actuator_force[6])) / FORCE_PER_TORQUE
