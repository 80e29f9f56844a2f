"""The frames that the Piper sends (CAN protocol V2), as piper_sdk 0.6 reads them; integers are big endian."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from enum import IntEnum, IntFlag
from typing import NamedTuple

import numpy as np

MILLIDEGREE = np.pi / 180e3  # rad
DECIDEGREE = np.pi / 1800  # rad
# N m / A, as the SDK converts current to effort
TORQUE_PER_AMPERE = (1.18125, 1.18125, 1.18125, 0.95844, 0.95844, 0.95844)


class Frame(NamedTuple):
    """Hold one CAN frame with an 11 bit id."""

    id: int
    data: bytes  # 8 bytes


class ArmStatus(IntEnum):
    """Name the arm states of frame 0x2A1 that the simulated firmware reports."""

    NORMAL = 0
    EMERGENCY_STOP = 1
    NO_SOLUTION = 2
    SINGULARITY = 3
    TARGET_EXCEEDS_LIMIT = 4
    JOINT_COMMUNICATION_ERROR = 5
    BRAKE_NOT_RELEASED = 6
    COLLISION = 7
    JOINT_STATUS_ERROR = 9
    CONTROLLER_TOO_HOT = 14
    BRAKE_RESISTOR_TOO_HOT = 15


class MoveMode(IntEnum):
    """Name the motion modes of frame 0x151."""

    POSE = 0
    JOINT = 1
    LINE = 2


class MotorStatus(IntFlag):
    """Name the bits of a joint driver's status byte (frames 0x261 to 0x266)."""

    VOLTAGE_LOW = 0x01
    MOTOR_HOT = 0x02
    OVERCURRENT = 0x04
    DRIVER_HOT = 0x08
    COLLISION = 0x10
    DRIVER_ERROR = 0x20
    ENABLED = 0x40
    STALLED = 0x80


def _rounded(values: Iterable[float], unit: float) -> list[int]:
    return [round(float(value) / unit) for value in values]


def _pairs(first_id: int, values: Sequence[int]) -> list[Frame]:
    return [Frame(first_id + k, struct.pack(">ii", *values[2 * k : 2 * k + 2])) for k in range(len(values) // 2)]


def _int16(value: float, unit: float) -> int:
    return int(np.clip(round(value / unit), -0x8000, 0x7FFF))


def status(
    control: int, arm: ArmStatus, move: int, moving: bool, over_limit: Sequence[bool], lost: Sequence[bool] = ()
) -> Frame:
    """Encode the arm status, 0x2A1.

    `over_limit` tells per joint whether the last target was outside its range, `lost` whether its driver is silent.
    """
    errors, silent = (sum(1 << k for k, bad in enumerate(bits) if bad) for bits in (over_limit, lost))
    return Frame(0x2A1, struct.pack(">8B", control, arm, move, 0, moving, 0, errors, silent))


def end_pose(translation: Iterable[float], rpy: Iterable[float]) -> list[Frame]:
    """Encode the flange pose (m; roll, pitch, yaw in rad about fixed axes), 0x2A2 to 0x2A4."""
    return _pairs(0x2A2, _rounded(translation, 1e-6) + _rounded(rpy, MILLIDEGREE))


def joint_positions(position: Iterable[float]) -> list[Frame]:
    """Encode six joint positions (rad), 0x2A5 to 0x2A7."""
    return _pairs(0x2A5, _rounded(position, MILLIDEGREE))


def joint_targets(position: Iterable[float]) -> list[Frame]:
    """Encode six joint targets (rad) as a master does, 0x155 to 0x157."""
    return _pairs(0x155, _rounded(position, MILLIDEGREE))


def gripper(opening: float, effort: float, enabled: bool) -> Frame:
    """Encode the gripper's opening (m) and effort (N m), 0x2A8; the gripper always reports that it was homed."""
    return Frame(0x2A8, struct.pack(">ihBx", round(opening * 1e6), _int16(effort, 1e-3), 0xC0 if enabled else 0x80))


def motor_motion(joint: int, velocity: float, torque: float, position: float) -> Frame:
    """Encode one joint's velocity (rad/s), torque (N m, sent as a current) and position (rad), 0x251 to 0x256."""
    current = torque / TORQUE_PER_AMPERE[joint]
    return Frame(
        0x251 + joint, struct.pack(">hhi", _int16(velocity, 1e-3), _int16(current, 1e-3), round(position * 1e3))
    )


def motor_health(joint: int, motor_status: int, temperature: int = 32, current: float = 0.5) -> Frame:
    """Encode one joint driver's supply (24 V; current in A), temperatures (deg C) and status bits, 0x261 to 0x266."""
    return Frame(
        0x261 + joint, struct.pack(">HhbBH", 240, temperature + 3, temperature, motor_status, round(current * 1e3))
    )


def leading(move: int, speed: int, position: Iterable[float], opening: float) -> list[Frame]:
    """Encode what a leader sends to the arm that follows it: mode, joint positions (rad) and gripper opening (m)."""
    mode = Frame(0x151, struct.pack(">8B", 1, move, speed, 0, 0, 0, 0, 0))
    grip = Frame(0x159, struct.pack(">iHBB", round(opening * 1e6), 1000, 1, 0))
    return [mode, *joint_targets(position), grip]


def acknowledge(can_id: int) -> Frame:
    """Encode the acknowledgement of the configuration frame `can_id`, 0x476."""
    return Frame(0x476, struct.pack(">B7x", can_id & 0xFF))


def motor_limits(joint: int, upper: float, lower: float, velocity: float) -> Frame:
    """Encode one joint's position (rad) and velocity (rad/s) limits, 0x473."""
    return Frame(0x473, struct.pack(">BhhHx", joint + 1, *_rounded((upper, lower), DECIDEGREE), round(velocity * 1e3)))


def motor_acceleration(joint: int, acceleration: float) -> Frame:
    """Encode one joint's acceleration limit (rad/s^2), 0x47C."""
    return Frame(0x47C, struct.pack(">BH5x", joint + 1, round(acceleration * 1e2)))


def end_limits() -> Frame:
    """Encode the end velocity (0.5 m/s, 1 rad/s) and acceleration (1 m/s^2, 2 rad/s^2) limits, 0x478."""
    return Frame(0x478, struct.pack(">4H", 500, 1000, 1000, 2000))


def collision_levels() -> Frame:
    """Encode the collision protection levels, all off, 0x47B."""
    return Frame(0x47B, bytes(8))


def gripper_parameters(stroke: float) -> Frame:
    """Encode the teaching range (100 %) and the gripper's stroke (m), 0x47E."""
    return Frame(0x47E, struct.pack(">3B5x", 100, round(stroke * 1e3), 1))


def firmware_version(hardware: str, software: str) -> list[Frame]:
    """Encode the version text, 0x4AF, eight characters a frame."""
    text = f"{hardware}{software}".encode().ljust(24, b"\0")
    return [Frame(0x4AF, text[k : k + 8]) for k in range(0, len(text), 8)]
