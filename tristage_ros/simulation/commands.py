"""The frames that the Piper obeys (CAN protocol V2), as piper_sdk 0.6 writes them; integers are big endian."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from tristage_ros.simulation.frames import DECIDEGREE, MILLIDEGREE

UNCHANGED = 0x7FFF  # in a limit setting: keep the present value
CONFIRM = 0xAE  # marks a one-byte option of a configuration command as meant


class Stop(NamedTuple):
    """Ask for an emergency stop (1) or a reset (2): 0x150."""

    action: int


class Mode(NamedTuple):
    """Choose who commands (0 standby, 1 CAN), how it moves and how fast: 0x151."""

    control: int
    move: int
    speed: int  # percent of the velocity limits


class PoseTarget(NamedTuple):
    """Give two of x, y, z [m], roll, pitch, yaw [rad] of the flange, from number `first` on: 0x152 to 0x154."""

    first: int
    values: tuple[float, float]


class JointTarget(NamedTuple):
    """Give two joint positions [rad], from joint `first` (0, 2 or 4) on: 0x155 to 0x157."""

    first: int
    values: tuple[float, float]


class Gripper(NamedTuple):
    """Move the gripper, or take its present opening for 0: 0x159."""

    opening: float  # m, between the fingers
    effort: float  # N m
    enable: bool
    set_zero: bool = False


class EnableMotors(NamedTuple):
    """Power joint motors on or off: 0x471."""

    joints: tuple[int, ...]  # 0..5
    enable: bool


class LimitQuery(NamedTuple):
    """Ask for one joint's angle and velocity limits (content 1) or acceleration limit (content 2): 0x472."""

    joint: int  # 0..5
    content: int


class LimitSetting(NamedTuple):
    """Set one joint's limits; None keeps the present value: 0x474."""

    joint: int  # 0..5
    upper: float | None  # rad
    lower: float | None  # rad
    velocity: float | None  # rad/s


class JointSetting(NamedTuple):
    """Set one joint's acceleration limit or clear joint errors: 0x475."""

    joint: int  # 0..5, 6 means all
    acceleration: float | None  # rad/s^2
    clear_error: bool


class Enquiry(NamedTuple):
    """Ask for end velocity limits (1), collision levels (2) or gripper parameters (4): 0x477."""

    content: int


class OtherSetting(NamedTuple):
    """Carry a configuration that the simulated firmware accepts and forgets: 0x479, 0x47A, 0x47D."""

    id: int


class Role(NamedTuple):
    """Make an arm one that leads (0xFA) or follows (0xFC), for good, and shift its ids: 0x470."""

    role: int
    feedback: int  # 0, 0x10 or 0x20, by which 0x2A0 moves to 0x2B0 or 0x2C0
    control: int  # likewise 0x150 to 0x160 or 0x170: what it obeys
    leads: int  # likewise: what it sends as a leader


class FirmwareQuery(NamedTuple):
    """Ask for the firmware version: 0x4AF."""


Command = (
    Stop
    | Mode
    | PoseTarget
    | JointTarget
    | Gripper
    | EnableMotors
    | LimitQuery
    | LimitSetting
    | JointSetting
    | Enquiry
    | OtherSetting
    | Role
    | FirmwareQuery
)
_SHIFTS = (0, 0x10, 0x20)
_FIRMWARE_QUERY = b"\x01" + bytes(7)


def decode(can_id: int, data: bytes) -> Command | None:
    """Return the command in a frame, or None when the frame is not a command to the arm.

    The firmware's answer has the id of the firmware query; only the query's own bytes are a command.
    """
    if len(data) != 8 or can_id not in _DECODERS:
        return None
    return _DECODERS[can_id](data)


def _pose_target(index: int) -> Callable[[bytes], Command]:
    units = (1e-6, 1e-6, 1e-6, MILLIDEGREE, MILLIDEGREE, MILLIDEGREE)[index : index + 2]

    def decoder(data: bytes) -> Command:
        first, second = struct.unpack(">ii", data)
        return PoseTarget(index, (first * units[0], second * units[1]))

    return decoder


def _joint_target(index: int) -> Callable[[bytes], Command]:
    def decoder(data: bytes) -> Command:
        first, second = struct.unpack(">ii", data)
        return JointTarget(index, (first * MILLIDEGREE, second * MILLIDEGREE))

    return decoder


def _gripper(data: bytes) -> Command:
    opening, effort, code, zero = struct.unpack(">iHBB", data)
    return Gripper(opening * 1e-6, effort * 1e-3, bool(code & 1), zero == CONFIRM)


def _enable_motors(data: bytes) -> Command | None:
    motor, flag = data[:2]
    joints = tuple(range(6)) if motor in (7, 0xFF) else (motor - 1,)
    valid = joints[0] in range(6) and flag in (1, 2)
    return EnableMotors(joints, flag == 2) if valid else None


def _limit_query(data: bytes) -> Command | None:
    return LimitQuery(data[0] - 1, data[1]) if 1 <= data[0] <= 6 else None


def _limit_setting(data: bytes) -> Command | None:
    motor, upper, lower, velocity = struct.unpack(">BhhHx", data)

    def given(value: int, unit: float) -> float | None:
        return None if value == UNCHANGED else value * unit

    setting = LimitSetting(motor - 1, given(upper, DECIDEGREE), given(lower, DECIDEGREE), given(velocity, 1e-3))
    return setting if 1 <= motor <= 6 else None


def _joint_setting(data: bytes) -> Command | None:
    motor, _, effective, acceleration, clear = struct.unpack(">BBBHB2x", data)
    wanted = effective == CONFIRM and acceleration != UNCHANGED
    return (
        JointSetting(motor - 1, acceleration * 1e-2 if wanted else None, clear == CONFIRM) if 1 <= motor <= 7 else None
    )


_DECODERS: dict[int, Callable[[bytes], Command | None]] = {
    0x150: lambda data: Stop(data[0]),
    0x151: lambda data: Mode(data[0], data[1], min(data[2], 100)),
    **{0x152 + k: _pose_target(2 * k) for k in range(3)},
    **{0x155 + k: _joint_target(2 * k) for k in range(3)},
    0x159: _gripper,
    0x470: lambda data: Role(data[0], *(shift if shift in _SHIFTS else 0 for shift in data[1:4])),
    0x471: _enable_motors,
    0x472: _limit_query,
    0x474: _limit_setting,
    0x475: _joint_setting,
    0x477: lambda data: Enquiry(data[0]),
    **{can_id: lambda data, can_id=can_id: OtherSetting(can_id) for can_id in (0x479, 0x47A, 0x47D)},  # type: ignore[misc]
    0x4AF: lambda data: FirmwareQuery() if data == _FIRMWARE_QUERY else None,
}
