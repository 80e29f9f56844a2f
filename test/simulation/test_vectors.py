"""Every frame byte for byte, against the SDK's own encoder and the byte ranges of its parser.

What the arm sends is put together here with the SDK's conversion functions, so that emulator and driver cannot share
one misreading of the protocol.
"""

import math

import pytest
from piper_sdk.piper_msgs.msg_v2 import CanIDPiper
from piper_sdk.protocol.protocol_v2 import C_PiperParserV2

from tristage_ros.simulation import commands, frames
from tristage_ros.simulation.frames import ArmStatus, Frame, MotorStatus, MoveMode

SDK = C_PiperParserV2()
RAD = math.pi / 180


def u8(*values):
    return [byte for value in values for byte in SDK.ConvertToList_8bit(value, False)]


def i16(*values):
    return [byte for value in values for byte in SDK.ConvertToList_16bit(value)]


def u16(*values):
    return [byte for value in values for byte in SDK.ConvertToList_16bit(value, False)]


def i32(*values):
    return [byte for value in values for byte in SDK.ConvertToList_32bit(value)]


FEEDBACK = {
    "status": (
        [frames.status(1, ArmStatus.COLLISION, MoveMode.JOINT, True, [False] * 5 + [True], [True] + [False] * 5)],
        [(0x2A1, u8(1, 7, 1, 0, 1, 0, 0b100000, 0b000001))],
    ),
    "end pose": (
        frames.end_pose((0.25, -0.1, 0.312345), (90 * RAD, -5.5 * RAD, 179.999 * RAD)),
        [(0x2A2, i32(250000, -100000)), (0x2A3, i32(312345, 90000)), (0x2A4, i32(-5500, 179999))],
    ),
    "joints": (
        frames.joint_positions([v * RAD for v in (-150.0, 180.0, -170.0, 100.0, -70.0, 0.001)]),
        [(0x2A5, i32(-150000, 180000)), (0x2A6, i32(-170000, 100000)), (0x2A7, i32(-70000, 1))],
    ),
    "gripper": ([frames.gripper(0.0512, -0.8, True)], [(0x2A8, i32(51200) + i16(-800) + u8(0xC0, 0))]),
    "motor motion": (
        [frames.motor_motion(0, -1.5, 1.18125, -2.5)],
        [(0x251, i16(-1500, 1000) + i32(-2500))],
    ),
    "motor health": (
        [frames.motor_health(5, MotorStatus.ENABLED | MotorStatus.COLLISION, -8, 1.5)],
        [(0x266, u16(240) + i16(-5) + SDK.ConvertToList_8bit(-8) + u8(0x50) + u16(1500))],
    ),
    "acknowledgement": ([frames.acknowledge(0x475)], [(0x476, u8(0x75, 0, 0, 0, 0, 0, 0, 0))]),
    "motor limits": (
        [frames.motor_limits(2, 0.0, -170 * RAD, 3.0)],
        [(0x473, u8(3) + i16(0, -1700) + u16(3000) + u8(0))],
    ),
    "acceleration limit": ([frames.motor_acceleration(4, 5.0)], [(0x47C, u8(5) + u16(500) + u8(0, 0, 0, 0, 0))]),
    "end limits": ([frames.end_limits()], [(0x478, u16(500, 1000, 1000, 2000))]),
    "collision levels": ([frames.collision_levels()], [(0x47B, u8(0, 0, 0, 0, 0, 0, 0, 0))]),
    "gripper parameters": ([frames.gripper_parameters(0.07)], [(0x47E, u8(100, 70, 1, 0, 0, 0, 0, 0))]),
    "firmware": (
        frames.firmware_version("H-V1.2-1", "S-V1.8-9"),
        [(0x4AF, list(b"H-V1.2-1")), (0x4AF, list(b"S-V1.8-9")), (0x4AF, [0] * 8)],
    ),
}

COMMANDS = {
    "emergency stop": (lambda arm: arm.EmergencyStop(1), ["150 0100000000000000"], [commands.Stop(1)]),
    "reset": (lambda arm: arm.MotionCtrl_1(2, 0, 0), ["150 0200000000000000"], [commands.Stop(2)]),
    "mode": (lambda arm: arm.MotionCtrl_2(1, 1, 35, 0), ["151 0101230000000000"], [commands.Mode(1, 1, 35)]),
    "joints": (
        lambda arm: arm.JointCtrl(-150000, 180000, -170000, 100000, -70000, 1),
        ["155 fffdb6100002bf20", "156 fffd67f0000186a0", "157 fffeee9000000001"],
        None,
    ),
    "gripper": (
        lambda arm: arm.GripperCtrl(50000, 1500, 1, 0),
        ["159 0000c35005dc0100"],
        [commands.Gripper(50000 * 1e-6, 1.5, True)],
    ),
    "gripper zero": (
        lambda arm: arm.GripperCtrl(0, 1000, 0, 0xAE),
        ["159 0000000003e800ae"],
        [commands.Gripper(0.0, 1.0, False, True)],
    ),
    "enable": (lambda arm: arm.EnableArm(7), ["471 0702000000000000"], [commands.EnableMotors(tuple(range(6)), True)]),
    "firmware": (lambda arm: arm.SearchPiperFirmwareVersion(), ["4af 0100000000000000"], [commands.FirmwareQuery()]),
}


@pytest.mark.parametrize("name", FEEDBACK)
def test_what_the_arm_sends_is_what_the_sdk_would_write(name):
    sent, expected = FEEDBACK[name]
    assert sent == [Frame(can_id, bytes(data)) for can_id, data in expected]


@pytest.mark.parametrize("name", COMMANDS)
def test_what_the_sdk_sends_is_these_bytes_and_read_as_meant(sent_by_sdk, name):
    call, texts, meaning = COMMANDS[name]
    sent = sent_by_sdk(call)
    assert [f"{frame.id:03x} {frame.data.hex()}" for frame in sent] == texts
    decoded = [commands.decode(*frame) for frame in sent]
    assert None not in decoded
    if meaning is not None:
        assert decoded == meaning
    else:
        values = [value for command in decoded for value in command.values]
        assert values == pytest.approx([v * RAD for v in (-150, 180, -170, 100, -70, 0.001)])


def test_every_feedback_frame_is_one_that_the_sdk_knows():
    ids = {int(member.value) for member in CanIDPiper}
    for sent, _ in FEEDBACK.values():
        assert {frame.id for frame in sent} <= ids
