"""The Piper's main controller: what it does with commands, and what it reports. No thread, no bus, no clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tristage_ros.devices.arm import kinematics
from tristage_ros.simulation import commands, frames
from tristage_ros.simulation.frames import ArmStatus, Frame, MotorStatus, MoveMode
from tristage_ros.simulation.motion import Line, Ramp

Array = NDArray[np.float64]

HARDWARE, SOFTWARE = "H-V1.2-1", "S-V1.8-9"
OLD_SOFTWARE = "S-V1.5-2"  # J2 and J3 zeroed elsewhere, a quarter of the torque of J1 to J3 reported
_OLD_ZERO = np.subtract(kinematics.JOINT_ZERO, kinematics.JOINT_ZERO_OLD)  # rad, old joint position minus new
_QUARTER_TORQUE = (1, 8, 2)  # the last firmware that reports J1 to J3 so
GRIPPER_SPEED = np.array([0.15])  # m/s
GRIPPER_ACCELERATION = np.array([3.0])  # m/s^2
MAX_GRIPPER_EFFORT = 5.0  # N m
LINE_SPEED = 0.25  # m/s at 100 %
REACHED = 2e-3  # rad
_UNTIL_RESET = {  # states in which the arm obeys no motion command
    ArmStatus.EMERGENCY_STOP,
    ArmStatus.JOINT_COMMUNICATION_ERROR,
    ArmStatus.BRAKE_NOT_RELEASED,
    ArmStatus.COLLISION,
    ArmStatus.JOINT_STATUS_ERROR,
    ArmStatus.CONTROLLER_TOO_HOT,
    ArmStatus.BRAKE_RESISTOR_TOO_HOT,
}
LEAD, FOLLOW = 0xFA, 0xFC  # roles of frame 0x470
_MOVED = range(0x150, 0x160)  # the ids of commands that a role may move
_MOVES_ITS_IDS = "S-V1.8-2"  # firmware that tells of itself by 0x3A0 on once it was a leader
_STILL = 1e-5  # rad or m, by which what is held still moves
TEACHING, LEADING = 2, 6  # control modes of frame 0x2A1
LIMIT_TOLERANCE = 1e-3  # rad; commands are rounded to 0.001 degree


@dataclass(frozen=True)
class Drive:
    """Hold what the motors are asked for during one tick."""

    position: Array  # [6] rad
    powered: NDArray[np.bool_]  # [6]
    braked: bool  # unpowered motors are short-circuited: the arm sinks instead of falling
    opening: float  # m, between the fingers
    gripper_effort: float  # N m, at most
    gripper_powered: bool


class Plant(Protocol):
    """Move the arm's mechanics; the controller measures them."""

    position: Array  # [6] rad
    velocity: Array  # [6] rad/s
    torque: Array  # [6] N m
    opening: float  # m
    gripper_effort: float  # N m

    def step(self, drive: Drive, time_step: float) -> None:
        """Advance by `time_step` seconds."""


class Controller:
    """Interpret command frames, move the references and report, as the firmware called `software` does.

    A joint or pose target takes effect with its third frame, and only in CAN mode, in the matching move mode and with
    every motor enabled. An emergency stop lets the arm sink; a reset takes the power off at once, and the first enable
    after it is lost. While teaching, a person moves the arm by hand. A leader says where it is by the frames that lead
    another arm. That role and the shifts of its ids stay when it is switched off; who was a leader follows only after
    that, and by some firmware tells of itself by 0x3A0 on. Assumed: what teaching does to targets and modes, that a
    leader sends no feedback of its own, how an encoder lies. Not modelled: torque control, circular moves, playing back
    what was taught.
    All joint positions in here are the firmware's; the plant's count from the zero of the newer firmware.
    """

    def __init__(self, plant: Plant, software: str = SOFTWARE) -> None:
        """Power up with the motors off."""
        self.refuses_enabling = False
        self.obeys_while_teaching = False  # a 0x151 with CAN control ends teaching
        self.lying: frozenset[int] = frozenset()  # joints, 0..5, whose encoders say what was commanded
        self.feedback_offset = 0  # of the ids of 0x2A1 to 0x2A8: 0x100 where another arm shares the bus
        self.silent_at_rest = False  # as a leader: it says nothing while it is held still
        self.tells_gripper = True  # as a leader
        self.replans = False  # every target is planned anew from where the arm is, at rest: dense ones shake it
        self._plant, self._software = plant, software
        self._role = commands.Role(0, 0, 0, 0)  # in its flash
        self._was_leader = False
        self._told = (np.full(6, np.inf), np.inf)  # joints, rad, and opening, m, that it led by last
        self._new_zero = kinematics.dh_is_offset(software) if is_version(software) else True
        self._zero = np.zeros(6) if self._new_zero else _OLD_ZERO
        self._told_torque = np.ones(6)
        if is_version(software) and kinematics.firmware_number(software) <= _QUARTER_TORQUE:
            self._told_torque[:3] = 0.25
        self._gripper_zero = 0.0  # m, opening at which the gripper reports 0
        self._limits = kinematics.JOINT_LIMITS.copy()  # [6, 2] rad
        self._max_velocity = np.full(6, kinematics.JOINT_MAX_VELOCITY)  # [6] rad/s
        self._max_acceleration = np.full(6, 5.0)  # [6] rad/s^2
        self._gripper = Ramp(np.array([plant.opening]))
        self._gripper_target, self._gripper_effort, self._gripper_enabled = plant.opening, 1.0, False
        self._handlers: dict[type, Callable[[Any], list[Frame] | None]] = {
            commands.Stop: self._stop,
            commands.Mode: self._set_mode,
            commands.JointTarget: self._joint_target,
            commands.PoseTarget: self._pose_target,
            commands.Gripper: self._set_gripper,
            commands.EnableMotors: self._enable_motors,
            commands.LimitQuery: self._limit_query,
            commands.LimitSetting: self._limit_setting,
            commands.JointSetting: self._joint_setting,
            commands.Enquiry: self._enquiry,
            commands.Role: self._take_role,
            commands.OtherSetting: lambda setting: [frames.acknowledge(setting.id)],
            commands.FirmwareQuery: lambda _: frames.firmware_version(HARDWARE, software) if software else [],
        }
        self.leads = False
        self._power_up(lost_enables=0)

    def _power_up(self, lost_enables: int) -> None:
        self._teaching = self.leads
        self._mode = commands.Mode(LEADING if self.leads else 0, MoveMode.POSE, 0)
        self._status = ArmStatus.NORMAL
        self._over_limit = np.zeros(6, bool)
        self._enabled = np.zeros(6, bool)
        self._faults = np.zeros(6, int)
        self._lost_enables = lost_enables
        self._ramp = Ramp(self._position)
        self._target = self._position.copy()
        self._line: Line | None = None
        self._joint_buffer, self._pose_buffer = np.zeros(6), np.zeros(6)

    def handle(self, frame: Frame) -> list[Frame]:
        """Execute a command frame and return the answers; a frame that is no command does nothing."""
        if self._role.control and frame.id in _MOVED:
            return []
        if frame.id - self._role.control in _MOVED:
            frame = frame._replace(id=frame.id - self._role.control)
        command = commands.decode(*frame)
        return [] if command is None else self._handlers[type(command)](command) or []

    def fail_motor(self, joint: int, fault: MotorStatus) -> None:
        """Cut the power of one motor (0..5) and report `fault` until a reset or a clearing command."""
        self._faults[joint] |= fault
        self._enabled[joint] = False
        if self._status != ArmStatus.EMERGENCY_STOP:
            self._status = ArmStatus.JOINT_STATUS_ERROR

    def alarm(self, joint: int, bits: MotorStatus) -> None:
        """Let the driver of joint 0..5 report `bits`, and nothing else change: no arm status, no loss of power."""
        self._faults[joint] |= bits

    def press_teach_button(self) -> None:
        """Do what the button at the arm does: give the joints to a person's hands, or take them back."""
        self._teaching = not self._teaching
        control = TEACHING if self._teaching else 0
        self._mode = self._mode._replace(control=control)
        self._target, self._line = self._position.copy(), None

    def become_leader(self) -> None:
        """Take the role of a leader, as 0x470 gives it: the joints follow a person's hands and lead another arm."""
        self.leads, self._teaching, self._was_leader = True, True, True
        self._mode = self._mode._replace(control=LEADING)

    def restart(self) -> None:
        """Do what switching off and on does: no power, no mode; what is in its flash counts."""
        self.leads, self.feedback_offset = False, self._role.feedback
        self._power_up(lost_enables=0)
        if self._role.role == LEAD:
            self.become_leader()
        elif self._was_leader and self._software == _MOVES_ITS_IDS:
            self.feedback_offset = 0x100

    def _take_role(self, role: commands.Role) -> None:
        """Keep a role in flash, without an answer; one that leads leads at once, and ends with a restart only."""
        self._role, self.feedback_offset = role, role.feedback
        if role.role == LEAD:
            self.become_leader()

    def press_emergency_stop(self) -> None:
        """Do what the button at the arm does: let it sink, until a reset."""
        self._status, self._line = ArmStatus.EMERGENCY_STOP, None

    def report(self, status: ArmStatus) -> None:
        """Stop where the arm is and report `status` until a reset, as it does by itself on a collision or when hot."""
        self._status, self._line, self._target = status, None, self._position.copy()
        if status == ArmStatus.COLLISION:
            self._faults |= int(MotorStatus.COLLISION)
        if status in (ArmStatus.CONTROLLER_TOO_HOT, ArmStatus.BRAKE_RESISTOR_TOO_HOT):
            self._faults |= int(MotorStatus.DRIVER_HOT)

    @property
    def teaching(self) -> bool:
        """Tell whether a person has the arm in the hands."""
        return self._teaching

    @property
    def plant(self) -> Any:
        """Return the mechanics, whose surroundings a test may change."""
        return self._plant

    @property
    def _position(self) -> Array:
        return self._plant.position + self._zero

    def _forward(self, position: Array) -> Array:
        return kinematics.forward(position, self._new_zero)

    def step(self, time_step: float) -> None:
        """Move the references and the mechanics by `time_step` seconds."""
        plant, powered = self._plant, self._powered()
        if self._line is not None:
            self._follow_line(self._line, time_step)
        if self._teaching:  # held against gravity, and nothing more
            self._target = self._position.copy()
            self._ramp.hold(self._position, np.ones(6, bool))
        self._ramp.hold(self._position, ~powered)
        speed = max(self._mode.speed, 1) / 100
        target = np.where(powered, self._target, self._position)
        self._ramp.step(target, self._max_velocity * speed, self._max_acceleration, time_step)
        if self._gripper_enabled:
            self._gripper.step(np.array([self._gripper_target]), GRIPPER_SPEED, GRIPPER_ACCELERATION, time_step)
        braked = self._status == ArmStatus.EMERGENCY_STOP
        opening = float(self._gripper.position[0])
        reference = self._ramp.position - self._zero
        drive = Drive(reference, powered, braked, opening, self._gripper_effort, self._gripper_enabled)
        plant.step(drive, time_step)

    def feedback(self, with_health: bool) -> list[Frame]:
        """Return the 14 frames of a tick, and the six of the motors' health when asked."""
        plant, mode, position = self._plant, self._mode, self._position.copy()
        if self.leads:
            return self._lead(position, plant.opening)
        lying = list(self.lying)
        position[lying] = self._ramp.position[lying]
        flange, torque = self._forward(position), plant.torque * self._told_torque
        moving = self._line is not None or bool(
            self._enabled.all() and np.any(np.abs(self._target - position) > REACHED)
        )
        sent = [
            frames.status(mode.control, self._status, mode.move, moving, self._over_limit.tolist()),
            *frames.end_pose(flange[:3, 3], kinematics.matrix_to_rpy(flange[:3, :3])),
            *frames.joint_positions(position),
            frames.gripper(plant.opening - self._gripper_zero, plant.gripper_effort, self._gripper_enabled),
            *(frames.motor_motion(k, plant.velocity[k], torque[k], position[k]) for k in range(6)),
        ]
        if with_health:
            sent += [
                frames.motor_health(k, self._faults[k] | (MotorStatus.ENABLED if self._enabled[k] else 0))
                for k in range(6)
            ]
        if self.feedback_offset:
            shifted = range(0x2A1, 0x2A9)
            return [f._replace(id=f.id + self.feedback_offset) if f.id in shifted else f for f in sent]
        return sent

    def _lead(self, position: Array, opening: float) -> list[Frame]:
        """Return the frames by which it leads another arm."""
        joints, open_by = self._told
        still = np.abs(position - joints).max() < _STILL and abs(opening - open_by) < _STILL
        if self.silent_at_rest and still:
            return []
        self._told = (position, opening)
        sent = frames.leading(self._mode.move, self._mode.speed, position, opening)
        sent = sent if self.tells_gripper else sent[:-1]
        return [frame._replace(id=frame.id + self._role.leads) for frame in sent]

    def _powered(self) -> NDArray[np.bool_]:
        return self._enabled & (self._status != ArmStatus.EMERGENCY_STOP)

    def _accepts_motion(self, *moves: MoveMode) -> bool:
        able = self._status not in _UNTIL_RESET and bool(self._powered().all())
        return able and not self._teaching and self._mode.control == 1 and self._mode.move in moves

    def _follow_line(self, line: Line, time_step: float) -> None:
        pose = line.advance(LINE_SPEED * max(self._mode.speed, 1) / 100 * time_step)
        joints = self._inverse(pose, self._target)
        if joints is None:
            self._status, self._line = ArmStatus.SINGULARITY, None
        else:
            self._target, self._line = joints, None if line.done else line

    def _inverse(self, pose: Array, seed: Array) -> Array | None:
        try:
            return kinematics.inverse(pose, seed, self._new_zero, self._limits)
        except kinematics.UnreachablePoseError:
            return None

    def _stop(self, stop: commands.Stop) -> None:
        if stop.action == 1:
            self.press_emergency_stop()
        elif stop.action == 2:
            self._power_up(lost_enables=1)

    def _set_mode(self, mode: commands.Mode) -> None:
        if self._teaching and not (self.obeys_while_teaching and mode.control == 1 and not self.leads):
            return
        self._teaching = False
        self._mode = mode

    def _joint_target(self, target: commands.JointTarget) -> None:
        self._joint_buffer[target.first : target.first + 2] = target.values
        if target.first == 4 and self._accepts_motion(MoveMode.JOINT):
            lower, upper = self._limits.T
            self._over_limit = (self._joint_buffer < lower - LIMIT_TOLERANCE) | (
                self._joint_buffer > upper + LIMIT_TOLERANCE
            )
            if self._over_limit.any():
                self._status = ArmStatus.TARGET_EXCEEDS_LIMIT
            else:
                self._status, self._target, self._line = ArmStatus.NORMAL, self._joint_buffer.copy(), None
                if self.replans:
                    self._ramp.hold(self._position, np.ones(6, bool))

    def _pose_target(self, target: commands.PoseTarget) -> None:
        self._pose_buffer[target.first : target.first + 2] = target.values
        if target.first != 4 or not self._accepts_motion(MoveMode.POSE, MoveMode.LINE):
            return
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = kinematics.rpy_to_matrix(self._pose_buffer[3:]), self._pose_buffer[:3]
        joints = self._inverse(pose, self._position)
        if joints is None:
            self._status = ArmStatus.NO_SOLUTION
            return
        self._status, self._over_limit = ArmStatus.NORMAL, np.zeros(6, bool)
        if self._mode.move == MoveMode.LINE:
            self._line = Line(self._forward(self._position), pose)
        else:
            self._target, self._line = joints, None

    def _set_gripper(self, command: commands.Gripper) -> None:
        self._gripper_enabled = command.enable
        if command.set_zero:
            self._gripper_zero = self._plant.opening
        if command.enable:
            self._gripper_target = float(np.clip(command.opening, *kinematics.GRIPPER_RANGE)) + self._gripper_zero
            self._gripper_effort = float(np.clip(command.effort, 0.0, MAX_GRIPPER_EFFORT))
        else:
            self._gripper = Ramp(np.array([self._plant.opening]))

    def _enable_motors(self, command: commands.EnableMotors) -> list[Frame]:
        joints = list(command.joints)
        if not command.enable:
            self._enabled[joints] = False
        elif self._lost_enables:
            self._lost_enables -= 1
        elif self._status != ArmStatus.EMERGENCY_STOP and not self.refuses_enabling:
            started = [k for k in joints if not self._enabled[k] and not self._faults[k]]
            self._enabled[started] = True
            self._target[started] = self._position[started]
        return [frames.acknowledge(0x471)]

    def _limit_query(self, query: commands.LimitQuery) -> list[Frame]:
        k = query.joint
        if query.content == 1:
            return [frames.motor_limits(k, self._limits[k, 1], self._limits[k, 0], self._max_velocity[k])]
        return [frames.motor_acceleration(k, self._max_acceleration[k])]

    def _limit_setting(self, setting: commands.LimitSetting) -> list[Frame]:
        k = setting.joint
        for array, index, value in (
            (self._limits, (k, 0), setting.lower),
            (self._limits, (k, 1), setting.upper),
            (self._max_velocity, k, setting.velocity),
        ):
            if value is not None:
                array[index] = value
        return [frames.acknowledge(0x474)]

    def _joint_setting(self, setting: commands.JointSetting) -> list[Frame]:
        joints = slice(None) if setting.joint == 6 else setting.joint
        if setting.acceleration is not None:
            self._max_acceleration[joints] = setting.acceleration
        if setting.clear_error:
            self._faults[joints] = 0
            if self._status == ArmStatus.JOINT_STATUS_ERROR and not self._faults.any():
                self._status = ArmStatus.NORMAL
        return [frames.acknowledge(0x475)]

    def _enquiry(self, enquiry: commands.Enquiry) -> list[Frame]:
        answers = {
            1: frames.end_limits(),
            2: frames.collision_levels(),
            4: frames.gripper_parameters(kinematics.GRIPPER_RANGE[1]),
        }
        return [answers[enquiry.content]] if enquiry.content in answers else []


def is_version(software: str) -> bool:
    """Tell whether a firmware's name can be read; a test may give the arm one that cannot."""
    try:
        kinematics.firmware_number(software)
    except ValueError:
        return False
    return True
