"""The simulated Piper in MuJoCo: its model as MJCF, and the mechanics that a controller drives.

Link frames come from the kinematics' Denavit-Hartenberg table, shapes are primitives. How much a real servo hangs below
its target, and how stiff what it runs into is, are assumptions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import mujoco
import numpy as np
from numpy.typing import NDArray

from tristage_ros.devices.arm import kinematics
from tristage_ros.simulation.controller import Drive

TIME_STEP = 0.0025  # s, of the physics
FINGER_STROKE = kinematics.GRIPPER_RANGE[1] / 2  # m, of each finger
FINGER_FORCE = 25.0  # N, at most
_SHELL, _JOINT, _ACCENT = 'material="shell"', 'material="joint"', 'material="accent"'

# One entry per link, in the link's own frame (modified Denavit-Hartenberg: the joint turns about z).
_SHAPES = (
    f"""<geom class="arm" type="cylinder" fromto="0 0 -0.058 0 0 -0.012" size="0.046" mass="0.5" {_SHELL}/>
        <geom class="arm" type="capsule" fromto="0 -0.028 0 0 0.028 0" size="0.044" mass="0.5" {_SHELL}/>""",
    f"""<geom class="arm" type="cylinder" fromto="0 0 -0.062 0 0 0.062" size="0.034" mass="0.3" {_JOINT}/>
        <geom class="arm" type="capsule" fromto="0.045 0 0 0.250 0 0" size="0.031" mass="0.9" {_SHELL}/>
        <geom class="arm" type="cylinder" fromto="0.285 0 -0.050 0.285 0 0.050" size="0.037" mass="0.3" {_JOINT}/>""",
    f"""<geom class="arm" type="cylinder" fromto="0 0 -0.030 0 0 0.030" size="0.040" mass="0.3" {_SHELL}/>
        <geom class="arm" type="capsule" fromto="-0.010 -0.045 0 -0.021 -0.175 0" size="0.029" mass="0.6" {_SHELL}/>
        <geom class="visual" type="cylinder" fromto="-0.0135 -0.086 0 -0.0144 -0.096 0" size="0.0298" {_ACCENT}/>""",
    f"""<geom class="arm" type="cylinder" fromto="0 0 -0.070 0 0 -0.030" size="0.030" mass="0.3" {_JOINT}/>
        <geom class="arm" type="capsule" fromto="0 -0.020 0 0 0.020 0" size="0.028" mass="0.1" {_SHELL}/>""",
    f'<geom class="arm" type="cylinder" fromto="0 -0.050 0 0 -0.024 0" size="0.026" mass="0.3" {_JOINT}/>',
    f"""<geom class="arm" type="cylinder" fromto="0 0 -0.036 0 0 0.008" size="0.028" mass="0.15" {_SHELL}/>
        <geom class="arm" type="box" pos="0 0 0.030" size="0.024 0.048 0.022" mass="0.35" {_SHELL}/>
        <geom class="visual" type="box" pos="0 0 0.053" size="0.014 0.046 0.003" {_JOINT}/>""",
)
_GAINS = (
    (900, 60, 60),
    (900, 60, 60),
    (900, 60, 60),
    (300, 14, 20),
    (300, 14, 20),
    (200, 8, 20),
)  # N m/rad, N m s/rad, N m


def arm_xml(on_flange: str) -> str:
    """Return the arm's bodies, link1 to link6 and two fingers, with the MJCF `on_flange` fixed to the flange."""
    inner = f'<site name="flange" size="0.001" group="3"/>{on_flange}{_finger("left", 1)}{_finger("right", -1)}'
    for joint in reversed(range(6)):
        inner = _link(joint, inner)
    return f'<geom class="arm" type="cylinder" fromto="0 0 0 0 0 0.062" size="0.056" {_JOINT}/>{inner}'


def actuators_xml() -> str:
    """Return position actuators 0 to 5 for the joints and 6 for the fingers.

    Actuator k is in group k, so that each can be unpowered.
    """
    joints = "".join(
        f'<position name="joint{k + 1}" joint="joint{k + 1}" group="{k}" kp="{kp}" kv="{kv}"'
        f' forcerange="{-force} {force}"/>'
        for k, (kp, kv, force) in enumerate(_GAINS)
    )
    force = f"{-FINGER_FORCE} {FINGER_FORCE}"
    return f'{joints}<position name="fingers" joint="finger_left" group="6" kp="1500" kv="30" forcerange="{force}"/>'


def frame_attributes(pose: NDArray[np.float64]) -> str:
    """Return the MJCF attributes `pos` and `quat` of a pose [4, 4]."""
    quaternion = np.empty(4)
    mujoco.mju_mat2Quat(quaternion, pose[:3, :3].flatten())
    return f'pos="{_numbers(pose[:3, 3])}" quat="{_numbers(quaternion)}"'


def _numbers(values: NDArray[np.float64]) -> str:
    return " ".join(f"{value:.12g}" for value in values)


def _link(joint: int, inner: str) -> str:
    lower, upper = kinematics.JOINT_LIMITS[joint]
    size = "shoulder" if joint < 3 else "wrist"
    return (
        f'<body name="link{joint + 1}" {frame_attributes(_zero_pose(joint))}>'
        f'<joint name="joint{joint + 1}" class="{size}" range="{lower} {upper}"/>{_SHAPES[joint]}{inner}</body>'
    )


def _zero_pose(joint: int) -> NDArray[np.float64]:
    """Return the pose [4, 4] of a link in the one before at joint position 0: Rx(alpha) Tx(a) Rz(theta) Tz(d)."""
    sin_twist, cos_twist = np.sin(kinematics.LINK_TWIST[joint]), np.cos(kinematics.LINK_TWIST[joint])
    sin_zero, cos_zero = np.sin(kinematics.JOINT_ZERO[joint]), np.cos(kinematics.JOINT_ZERO[joint])
    twist = np.array([[1, 0, 0], [0, cos_twist, -sin_twist], [0, sin_twist, cos_twist]])
    pose = np.eye(4)
    pose[:3, :3] = twist @ np.array([[cos_zero, -sin_zero, 0], [sin_zero, cos_zero, 0], [0, 0, 1]])
    pose[:3, 3] = twist @ (kinematics.LINK_LENGTH[joint], 0, kinematics.LINK_OFFSET[joint])
    return pose


def _finger(side: str, sign: int) -> str:
    return f"""<body name="finger_{side}" gravcomp="1">
     <joint name="finger_{side}" class="finger" axis="0 {sign} 0" range="0 {FINGER_STROKE}"/>
     <geom class="pad" type="box" pos="0 {sign * 0.005} 0.110" size="0.010 0.005 0.025" mass="0.03" {_JOINT}/>
     <geom class="pad" type="box" pos="0 {sign * 0.013} 0.072" size="0.009 0.008 0.016" mass="0.02" {_SHELL}/>
    </body>"""


# The mechanics: the firmware's references drive the position actuators of the model above.

BRAKING = 6.0  # damping of a braked joint relative to a free one
FORCE_PER_TORQUE = 25.0  # N at the fingertips per N m of gripper effort
GRAVITY = 9.81  # m/s^2


class Obstacle(Protocol):
    """Push back when the arm runs into it."""

    def torque(self, plant: Plant) -> NDArray[np.float64]:
        """Return what it does to the joints now, [6] N m."""


@dataclass(frozen=True)
class JointStop:
    """Stand in the way of one joint."""

    joint: int  # 0..5
    at: float  # rad, the plant's count
    side: int  # +1: it is met when the joint turns up, -1: when it turns down
    stiffness: float = 2000.0  # N m/rad
    damping: float = 20.0  # N m s/rad

    def torque(self, plant: Plant) -> NDArray[np.float64]:
        """Return what it does to the joints now, [6] N m."""
        pushed = np.zeros(6)
        depth = self.side * (plant.position[self.joint] - self.at)
        if depth > 0.0:
            into = self.side * plant.velocity[self.joint]
            pushed[self.joint] = -self.side * max(0.0, self.stiffness * depth + self.damping * into)
        return pushed


@dataclass(frozen=True)
class Wall:
    """Stand in the way of the tool: a plane that gives way a little."""

    point: tuple[float, float, float]  # m, base frame, on the plane
    normal: tuple[float, float, float]  # unit vector towards where the tool may be
    stiffness: float = 8000.0  # N/m
    damping: float = 100.0  # N s/m

    def torque(self, plant: Plant) -> NDArray[np.float64]:
        """Return what it does to the joints now, [6] N m."""
        normal = np.array(self.normal)
        jacobian = plant.tool_jacobian()
        depth = float((np.array(self.point) - plant.tool()) @ normal)
        if depth <= 0.0:
            return np.zeros(6)
        into = -float(normal @ jacobian @ plant.velocity)
        return max(0.0, self.stiffness * depth + self.damping * into) * (normal @ jacobian)


class Plant:
    """Simulate the arm under gravity; powered joints are servoed and gravity compensated, unpowered ones fall.

    Until a motor is powered for the first time the arm stands on a parking stand and does not move. What may be changed
    at any time: `obstacles`, `payload`, `compliance`, by which servos hang below their targets under load, and `react`.
    """

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        """Take over `model` and `data`: both change with every step."""
        self.model, self.data = model, data
        self.obstacles: tuple[Obstacle, ...] = ()
        self.payload = 0.0  # kg, at the grasp centre
        self.compliance = 0.0  # rad per N m of what a joint carries
        self.react: Callable[[], None] = lambda: None  # what the scene answers after every step
        self._flange = model.site("flange").id
        self._carried = np.zeros(6)  # N m, what the servos hold against gravity
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
        self._power_gripper(drive)
        steps = round(time_step / TIME_STEP)
        each = 1 if self.obstacles else steps  # what is stiff has to be looked at in every step of the physics
        for _ in range(0, steps, each):
            self._power_joints(powered, drive.braked)
            if not self._parked:
                self.data.ctrl[:6] = drive.position - self.compliance * self._carried
            mujoco.mj_step(self.model, self.data, each)
            self._measure()
        self.react()

    def hold(self, position: NDArray[np.float64], opening: float) -> None:
        """Put the arm at joint positions [6] rad, its gripper `opening` m wide, as nothing that moves does."""
        self.data.qpos[self._position] = position
        for finger in ("finger_left", "finger_right"):
            self.data.joint(finger).qpos = opening / 2
        self._measure()

    def tool(self) -> NDArray[np.float64]:
        """Return where the grasp centre is, [3] m in the base frame."""
        flange = self.data.site_xmat[self._flange].reshape(3, 3)
        place: NDArray[np.float64] = self.data.site_xpos[self._flange] + kinematics.TOOL_OFFSET * flange[:, 2]
        return place

    def tool_jacobian(self) -> NDArray[np.float64]:
        """Return how the grasp centre moves with the joints, [3, 6] m/rad."""
        translation = np.zeros((3, self.model.nv))
        body = int(self.model.site_bodyid[self._flange])
        mujoco.mj_jac(self.model, self.data, translation, None, self.tool(), body)
        return translation[:, self._velocity]

    def _power_joints(self, powered: np.ndarray, braked: bool) -> None:
        self.model.opt.disableactuator = sum(1 << k for k in range(6) if not powered[k])
        self.model.dof_damping[self._velocity] = self._damping * (BRAKING if braked else 1.0)
        weight = np.zeros(6)
        if self.payload:
            weight = -GRAVITY * self.payload * self.tool_jacobian()[2]
        self._carried = (self.data.qfrc_bias[self._velocity] - weight) * powered
        pushed = sum((obstacle.torque(self) for obstacle in self.obstacles), np.zeros(6))
        self.data.qfrc_applied[self._velocity] = self._carried + weight + pushed

    def _power_gripper(self, drive: Drive) -> None:
        force = min(FINGER_FORCE, FORCE_PER_TORQUE * drive.gripper_effort) if drive.gripper_powered else 0.0
        self.model.actuator_forcerange[6] = (-force, force)
        self.data.ctrl[6] = drive.opening / 2

    def _measure(self) -> None:
        data = self.data
        self.position = data.qpos[self._position]
        self.velocity = data.qvel[self._velocity]
        self.torque = data.actuator_force[:6] + self._carried
        self.opening = 2 * float(data.qpos[self._finger])
        self.gripper_effort = abs(float(data.actuator_force[6])) / FORCE_PER_TORQUE
