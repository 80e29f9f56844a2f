"""The firmware as the real piper_sdk sees it, in this process and from another."""

import numpy as np
import pytest

from tristage_ros.devices.arm import kinematics
from tristage_ros.simulation.scene import HOME

GOAL = HOME + np.array([0.3, 0.1, 0.1, -0.2, -0.3, 0.5])


def test_joints_and_firmware_are_reported(sdk):
    sdk.until(lambda: sdk.api.GetPiperFirmwareVersion() == "S-V1.8-9")
    np.testing.assert_allclose(sdk.joints(), HOME, atol=2e-3)
    pose = sdk.api.GetArmEndPoseMsgs().end_pose
    flange = kinematics.forward(sdk.joints())[:3, 3]
    np.testing.assert_allclose([pose.X_axis, pose.Y_axis, pose.Z_axis], flange * 1e6, atol=100)


def test_commands_are_ignored_while_disabled(sdk):
    sdk.until(lambda: sdk.status().ctrl_mode == 1, lambda: sdk.command(GOAL))
    sdk.read_for(40)
    np.testing.assert_allclose(sdk.joints(), HOME, atol=2e-3)
    assert not any(sdk.enabled())


def test_a_joint_target_is_reached_once_enabled(sdk):
    sdk.enable()
    sdk.move(GOAL)
    sdk.until(lambda: sdk.status().motion_status == 0)
    np.testing.assert_allclose(sdk.joints(), GOAL, atol=3e-3)


def test_the_gripper_moves(sdk):
    sdk.until(
        lambda: abs(sdk.api.GetArmGripperMsgs().gripper_state.grippers_angle - 20000) < 500,
        lambda: sdk.api.GripperCtrl(20000, 1000, 1, 0),
    )
    assert sdk.api.GetArmGripperMsgs().gripper_state.foc_status.driver_enable_status


def test_a_target_beyond_the_limits_is_refused(sdk):
    sdk.enable()
    beyond = HOME.copy()
    beyond[0] = np.radians(160)
    sdk.until(lambda: sdk.status().arm_status == 4, lambda: sdk.command(beyond))
    assert sdk.status().err_status.joint_1_angle_limit
    np.testing.assert_allclose(sdk.joints(), HOME, atol=3e-3)
    sdk.move(GOAL)
    assert sdk.status().arm_status == 0


def test_after_an_emergency_stop_commands_are_ignored_until_reset_and_two_enables(sdk):
    sdk.enable()
    start = sdk.joints()
    sdk.until(lambda: sdk.status().arm_status == 1, lambda: sdk.api.EmergencyStop(1))
    sdk.until(lambda: np.abs(sdk.joints() - start).max() > 0.02, lambda: sdk.command(start))  # it sinks
    sdk.api.ResetPiper()
    sdk.until(lambda: sdk.status().arm_status == 0 and not any(sdk.enabled()))
    sdk.api.EnableArm(7)
    sdk.read_for(15)
    assert not any(sdk.enabled())
    sdk.api.EnableArm(7)
    sdk.until(lambda: all(sdk.enabled()))
    sdk.move(GOAL)


def test_limits_are_told(sdk):
    sdk.api.SearchMotorMaxAngleSpdAccLimit(5, 1)
    limit = sdk.api.GetCurrentMotorAngleLimitMaxVel
    sdk.until(lambda: limit().current_motor_angle_limit_max_vel.motor_num == 5)
    answer = limit().current_motor_angle_limit_max_vel
    assert (answer.min_angle_limit, answer.max_angle_limit, answer.max_joint_spd) == (-699, 699, 3000)


def test_the_same_from_another_process(connect, cell_process):
    sdk = connect("remote", cell_process().channel)
    for check in (
        test_joints_and_firmware_are_reported,
        test_commands_are_ignored_while_disabled,
        test_limits_are_told,
        test_a_target_beyond_the_limits_is_refused,
        test_a_joint_target_is_reached_once_enabled,
        test_the_gripper_moves,
        test_after_an_emergency_stop_commands_are_ignored_until_reset_and_two_enables,
    ):
        check(sdk)


def test_the_firmware_never_answers_itself(cell, sdk):
    answers = []
    sdk.until(lambda: sdk.api.GetPiperFirmwareVersion() == "S-V1.8-9")
    sdk.read_for(2)
    sdk.api.SearchPiperFirmwareVersion()
    sdk.bus.callback_function = lambda message: answers.append(message.arbitration_id)
    sdk.until(lambda: 0x4AF in answers)
    sdk.until(lambda: answers.count(0x2A1) > 20)
    assert answers.count(0x4AF) == 3


def test_all_frames_come_at_their_rates(sdk):
    seen = []
    sdk.bus.callback_function = lambda message: seen.append(message.arbitration_id)
    sdk.until(lambda: seen.count(0x261) == 4)
    expected = [*range(0x2A1, 0x2A9), *range(0x251, 0x257)]
    for can_id in expected:
        assert 15 <= seen.count(can_id) <= 20, hex(can_id)
    assert {*expected, *range(0x261, 0x267)} <= set(seen)


def test_silence_ends_feedback_and_commands(cell, sdk):
    sdk.enable()
    cell.firmware.silence(None)
    while sdk.bus.recv_bus.recv(0.1) is not None:  # what was on its way
        pass
    sdk.api.EmergencyStop(1)
    stamp = cell.firmware.stamp
    while cell.firmware.stamp < stamp + 0.02:
        pass
    cell.firmware.silence(0)
    sdk.read_for(10)
    assert sdk.status().arm_status == 0


def test_a_motor_fault_is_told_and_cleared_by_a_reset(cell, sdk):
    sdk.enable()
    cell.firmware.fail_motor(2)
    sdk.until(lambda: not sdk.enabled()[2])
    driver = sdk.api.GetArmLowSpdInfoMsgs().motor_3.foc_status
    assert driver.driver_error_status
    assert sdk.status().arm_status == 9
    sdk.api.EnableArm(7)
    sdk.read_for(15)
    assert not sdk.enabled()[2]
    sdk.api.ResetPiper()
    sdk.until(lambda: sdk.status().arm_status == 0)
    sdk.enable()


def test_another_process_may_come_back_on_the_same_port(connect, cell_process, free_port):
    first = cell_process(free_port)
    connect("remote", first.channel).close()
    first.kill()
    second = cell_process(free_port)
    connect("remote", second.channel)
    assert second.leave() == 1  # threads, with the client still there


def test_clients_may_come_and_go(connect, cell_process):
    process = cell_process()
    for _ in range(5):
        connect("remote", process.channel).close()
    assert process.leave() == 1


def test_without_a_cell_connecting_fails(connect, free_port):
    with pytest.raises(ConnectionError):
        connect("remote", f"127.0.0.1:{free_port}")
