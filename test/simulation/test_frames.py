"""The byte layouts against piper_sdk's own encoder and decoder."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tristage_ros.simulation import commands, frames
from tristage_ros.simulation.commands import decode
from tristage_ros.simulation.frames import Frame

DEGREE = math.pi / 180

COMMANDS = {
    "emergency stop": (lambda arm: arm.EmergencyStop(1), [commands.Stop(1)]),
    "reset": (lambda arm: arm.ResetPiper(), [commands.Stop(2)]),
    "mode": (lambda arm: arm.MotionCtrl_2(1, 2, 35, 0), [commands.Mode(1, 2, 35)]),
    "joints": (
        lambda arm: arm.JointCtrl(-150000, 180000, -170000, 100000, -70000, 1),
        [
            commands.JointTarget(0, (-150 * DEGREE, 180 * DEGREE)),
            commands.JointTarget(2, (-170 * DEGREE, 100 * DEGREE)),
            commands.JointTarget(4, (-70 * DEGREE, 0.001 * DEGREE)),
        ],
    ),
    "pose": (
        lambda arm: arm.EndPoseCtrl(250000, -80000, 180001, -179000, 5000, 170000),
        [
            commands.PoseTarget(0, (0.25, -0.08)),
            commands.PoseTarget(2, (0.180001, -179 * DEGREE)),
            commands.PoseTarget(4, (5 * DEGREE, 170 * DEGREE)),
        ],
    ),
    "gripper": (lambda arm: arm.GripperCtrl(50000, 1500, 0x01, 0), [commands.Gripper(0.05, 1.5, True)]),
    "gripper off": (lambda arm: arm.GripperCtrl(0, 5000, 0x00, 0), [commands.Gripper(0.0, 5.0, False)]),
    "enable all": (lambda arm: arm.EnableArm(7), [commands.EnableMotors((0, 1, 2, 3, 4, 5), True)]),
    "disable one": (lambda arm: arm.DisableArm(3), [commands.EnableMotors((2,), False)]),
    "limit query": (lambda arm: arm.SearchMotorMaxAngleSpdAccLimit(5, 1), [commands.LimitQuery(4, 1)]),
    "limit setting": (
        lambda arm: arm.MotorAngleLimitMaxSpdSet(2, 900, -100, 2500),
        [commands.LimitSetting(1, 90 * DEGREE, -10 * DEGREE, 2.5)],
    ),
    "speed only": (lambda arm: arm.MotorMaxSpdSet(1, 1000), [commands.LimitSetting(0, None, None, 1.0)]),
    "acceleration": (lambda arm: arm.JointMaxAccConfig(6, 250), [commands.JointSetting(5, 2.5, False)]),
    "clear errors": (lambda arm: arm.JointConfig(7, 0, 0, 500, 0xAE), [commands.JointSetting(6, None, True)]),
    "enquiry": (lambda arm: arm.ArmParamEnquiryAndConfig(4, 0, 0, 0, 3), [commands.Enquiry(4)]),
    "collision levels": (lambda arm: arm.CrashProtectionConfig(1, 1, 1, 1, 1, 1), [commands.OtherSetting(0x47A)]),
    "firmware": (lambda arm: arm.SearchPiperFirmwareVersion(), [commands.FirmwareQuery()]),
}


def flat(command):
    """Return a command's type and numbers, for approximate comparison."""
    return (
        [type(command), *np.hstack([np.array(value, dtype=object) for value in command])]
        if command
        else [type(command)]
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_decodes_what_the_sdk_sends(sent_by_sdk, name):
    call, expected = COMMANDS[name]
    decoded = [decode(*frame) for frame in sent_by_sdk(call)]
    assert len(decoded) == len(expected)
    for got, want in zip(decoded, expected, strict=True):
        kind, *numbers = flat(got)
        assert kind is type(want)
        for number, wanted in zip(numbers, flat(want)[1:], strict=True):
            assert number == (wanted if wanted is None else pytest.approx(wanted, abs=1e-12))


@pytest.mark.parametrize(
    ("can_id", "data"),
    [
        (0x4AF, b"H-V1.2-1"),  # the firmware's own answer
        (0x2A5, bytes(8)),  # feedback
        (0x471, bytes([9, 2, 0, 0, 0, 0, 0, 0])),  # no such motor
        (0x471, bytes([0, 2, 0, 0, 0, 0, 0, 0])),
        (0x471, bytes([1, 3, 0, 0, 0, 0, 0, 0])),  # neither enable nor disable
        (0x472, bytes(8)),
        (0x155, bytes(7)),  # too short
    ],
)
def test_ignores_what_is_no_command(can_id, data):
    assert decode(can_id, data) is None


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-3.14, 3.14), min_size=6, max_size=6))
def test_the_sdk_reads_joint_positions(read_by_sdk, positions):
    state = read_by_sdk(frames.joint_positions(positions)).GetArmJointMsgs().joint_state
    read = [getattr(state, f"joint_{k}") for k in range(1, 7)]
    assert read == [round(math.degrees(position) * 1000) for position in positions]


def test_the_sdk_reads_the_end_pose(read_by_sdk):
    pose = read_by_sdk(frames.end_pose((0.25, -0.1, 0.312345), (math.pi / 2, -0.1, 3.0))).GetArmEndPoseMsgs().end_pose
    assert (pose.X_axis, pose.Y_axis, pose.Z_axis) == (250000, -100000, 312345)
    assert (pose.RX_axis, pose.RY_axis, pose.RZ_axis) == (90000, round(-0.1e3 / DEGREE), round(3e3 / DEGREE))


def test_the_sdk_reads_the_status(read_by_sdk):
    over = [True, False, False, False, False, True]
    sent = frames.status(1, frames.ArmStatus.TARGET_EXCEEDS_LIMIT, frames.MoveMode.JOINT, True, over)
    state = read_by_sdk([sent]).GetArmStatus().arm_status
    assert (state.ctrl_mode, state.arm_status, state.mode_feed, state.motion_status) == (1, 4, 1, 1)
    limits = [getattr(state.err_status, f"joint_{k}_angle_limit") for k in range(1, 7)]
    assert limits == over
    assert not state.err_status.communication_status_joint_1


@pytest.mark.parametrize("joint", range(6))
def test_the_sdk_reads_the_motors(read_by_sdk, joint):
    api = read_by_sdk(
        [
            frames.motor_motion(joint, -1.5, 2.0, 0.7),
            frames.motor_health(joint, frames.MotorStatus.ENABLED | frames.MotorStatus.STALLED),
        ]
    )
    fast = getattr(api.GetArmHighSpdInfoMsgs(), f"motor_{joint + 1}")
    slow = getattr(api.GetArmLowSpdInfoMsgs(), f"motor_{joint + 1}")
    assert (fast.motor_speed, fast.pos) == (-1500, 700)
    assert fast.effort == pytest.approx(2000, abs=2)
    assert (slow.vol, slow.foc_status.driver_enable_status, slow.foc_status.stall_status) == (240, True, True)
    assert not slow.foc_status.driver_error_status


def test_the_sdk_reads_the_gripper(read_by_sdk):
    state = read_by_sdk([frames.gripper(0.0512, 0.8, True)]).GetArmGripperMsgs().gripper_state
    assert (state.grippers_angle, state.grippers_effort) == (51200, 800)
    assert state.foc_status.driver_enable_status
    assert state.foc_status.homing_status


def test_the_sdk_reads_limits_and_answers(read_by_sdk):
    api = read_by_sdk(
        [
            frames.motor_limits(2, 0.0, -170 * DEGREE, 3.0),
            frames.motor_acceleration(4, 5.0),
            frames.gripper_parameters(0.07),
            frames.acknowledge(0x471),
            *frames.firmware_version("H-V1.2-1", "S-V1.8-9"),
        ]
    )
    limit = api.GetCurrentMotorAngleLimitMaxVel().current_motor_angle_limit_max_vel
    assert (limit.motor_num, limit.max_angle_limit, limit.min_angle_limit, limit.max_joint_spd) == (3, 0, -1700, 3000)
    acceleration = api.GetCurrentMotorMaxAccLimit().current_motor_max_acc_limit
    assert (acceleration.joint_motor_num, acceleration.max_joint_acc) == (5, 500)
    parameters = api.GetGripperTeachingPendantParamFeedback().arm_gripper_teaching_param_feedback
    assert parameters.max_range_config == 70
    assert api.GetRespInstruction().instruction_response.instruction_index == 0x71
    assert api.GetPiperFirmwareVersion() == "S-V1.8-9"


def test_speeds_and_torques_beyond_the_wire_are_clamped():
    assert frames.motor_motion(0, 100.0, -1000.0, 0.0) == Frame(0x251, bytes.fromhex("7fff800000000000"))
