from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable

import can
import numpy as np
import pytest

from tristage_ros.devices.arm.can_bus import permits
from tristage_ros.devices.arm.piper import PiperDriver, PiperError


def test_reads_what_the_arm_reports(arm, driver: PiperDriver) -> None:
    feedback = driver.read()
    np.testing.assert_allclose(feedback.position, arm.position, atol=1e-5)
    np.testing.assert_allclose(feedback.velocity, 0.01 * np.arange(6))
    assert feedback.gripper == pytest.approx(0.05)
    assert feedback.motors_enabled == (False,) * 6
    assert feedback.complaint() == "motor 1, 2, 3, 4, 5, 6 are off"
    assert driver.firmware == "S-V1.8-9"
    assert driver.dh_is_offset


def test_feedback_is_copied_and_stamped_on_arrival(arm, driver: PiperDriver, wait_until: Callable) -> None:
    first = driver.read()
    before = first.position.copy()
    arm.position = arm.position + 0.1
    wait_until(lambda: driver.read().position[0] > before[0] + 0.09)
    np.testing.assert_array_equal(first.position, before)
    assert first.stamp < driver.read().stamp <= time.monotonic()


def test_silence_leaves_the_stamp_behind(arm, driver: PiperDriver, wait_until: Callable) -> None:
    arm.silent = True
    wait_until(lambda: time.monotonic() - driver.read().stamp > 0.1)
    arm.silent = False
    wait_until(lambda: time.monotonic() - driver.read().stamp < 0.05)


def test_frame_rate_is_measured(driver: PiperDriver, wait_until: Callable) -> None:
    wait_until(lambda: driver.read().frames_per_second > 100)
    assert driver.read().frames_per_second < 3040


def test_enable_repeats_until_the_motors_are_on(arm, driver: PiperDriver) -> None:
    arm.enables_needed = 2  # as after a reset
    driver.enable()
    assert driver.read().motors_enabled == (True,) * 6
    assert arm.sent_ids() == {0x151, 0x155, 0x156, 0x157, 0x159, 0x471, 0x472, 0x4AF}


def test_enable_leaves_no_older_target_to_go_to(arm, driver: PiperDriver) -> None:
    arm.target = arm.position + 0.5
    start = arm.position.copy()
    driver.enable()
    np.testing.assert_allclose(arm.target, start, atol=2e-5)
    np.testing.assert_allclose(arm.position, start, atol=2e-5)
    assert arm.gripper_target == pytest.approx(0.05)


def test_motors_that_stay_off_are_named(arm, driver: PiperDriver) -> None:
    arm.dead = True
    with pytest.raises(PiperError, match=r"within 0.3 s: motor 1, 2, 3, 4, 5, 6 are off; check the emergency stop"):
        driver.enable(timeout=0.3)


def test_send_is_one_burst_of_mode_joints_and_gripper(arm, driver: PiperDriver, wait_until: Callable) -> None:
    joints = np.array([0.1, 1.3, -1.1, 0.2, 0.5, -0.3])
    driver.send(joints, 0.03)
    wait_until(lambda: 0x159 in arm.sent_ids())
    burst = [(identifier, data) for _, identifier, data in arm.frames if identifier not in (0x472, 0x4AF)]
    assert [identifier for identifier, _ in burst] == [0x151, 0x155, 0x156, 0x157, 0x159]
    assert burst[0][1] == bytes([1, 1, 100, 0, 0, 0, 0, 0])
    np.testing.assert_allclose(arm.setpoints()[0, 1:], joints, atol=1e-5)
    assert burst[4][1] == (30_000).to_bytes(4, "big") + (1000).to_bytes(2, "big") + bytes([1, 0])


def test_ten_thousand_bursts_of_two_threads_neither_mix_nor_get_lost(
    arm, driver: PiperDriver, wait_until: Callable
) -> None:
    def send(first: int) -> None:
        for i in range(first, 10_000, 2):
            driver.send(np.full(6, i * 1e-4), i * 5e-6)

    threads = [threading.Thread(target=send, args=(first,)) for first in (0, 1)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    wait_until(lambda: len(arm.setpoints()) == 10_000, timeout=60.0)
    burst = [0x155, 0x156, 0x157, 0x159]
    assert [identifier for _, identifier, _ in arm.frames if identifier not in (0x4AF, 0x151, 0x472)] == burst * 10_000
    assert sum(identifier == 0x151 for _, identifier, _ in arm.frames) == 3
    joints = arm.setpoints()[:, 1:]
    np.testing.assert_allclose(np.ptp(joints, 1), 0.0, atol=1e-12)
    numbers = np.rint(joints[:, 0] / 1e-4).astype(int)
    assert sorted(numbers) == list(range(10_000))
    assert (np.diff(numbers[numbers % 2 == 0]) == 2).all() and (np.diff(numbers[numbers % 2 == 1]) == 2).all()
    openings = [int.from_bytes(data[:4], "big") for _, identifier, data in arm.frames if identifier == 0x159]
    np.testing.assert_allclose(openings, 5 * numbers, atol=1)


@pytest.mark.parametrize(("joints", "gripper"), [([0.0] * 5, 0.0), ([np.nan] * 6, 0.0), ([0.0] * 6, np.inf)])
def test_unusable_setpoints_are_refused(arm, driver: PiperDriver, joints: list, gripper: float) -> None:
    with pytest.raises(ValueError, match="six finite joints"):
        driver.send(joints, gripper)
    assert len(arm.setpoints()) == 0


@pytest.mark.parametrize(
    "command",
    [
        lambda sdk: sdk.EmergencyStop(0x01),
        lambda sdk: sdk.EmergencyStop(0x02),
        lambda sdk: sdk.ResetPiper(),
        lambda sdk: sdk.MotionCtrl_1(0, 1, 0),
        lambda sdk: sdk.DisableArm(7),
        lambda sdk: sdk.DisablePiper(),
        lambda sdk: sdk.GripperCtrl(0, 1000, 0x00, 0),
        lambda sdk: sdk.GripperCtrl(0, 1000, 0x01, 0xAE),
        lambda sdk: sdk.MotionCtrl_2(1, 4, 100, 0xAD),
        lambda sdk: sdk.MotionCtrl_2(0, 1, 100, 0),
        lambda sdk: sdk.JointMitCtrl(1, 0.0, 0.0, 10.0, 0.8, 0.0),
        lambda sdk: sdk.EndPoseCtrl(0, 0, 0, 0, 0, 0),
        lambda sdk: sdk.JointConfig(7, 0xAE),
        lambda sdk: sdk.MasterSlaveConfig(0xFC, 0, 0, 0),
        lambda sdk: sdk.MotorAngleLimitMaxSpdSet(1, 1500, -1500, 3000),
        lambda sdk: sdk.JointMaxAccConfig(1, 500),
        lambda sdk: sdk.ArmParamEnquiryAndConfig(0x00, 0x02, 0, 0, 0),
    ],
)
def test_dangerous_frames_cannot_leave(arm, driver: PiperDriver, command: Callable, wait_until: Callable) -> None:
    with pytest.raises(PiperError, match="never sent by this driver"):
        command(driver._sdk)
    driver.send(arm.position, 0.05)
    wait_until(lambda: 0x159 in arm.sent_ids())
    assert arm.sent_ids() <= {0x151, 0x155, 0x156, 0x157, 0x159, 0x472, 0x4AF}


def test_limits_in_flash_are_asked_for_and_nothing_else_by_that_frame(arm, driver: PiperDriver) -> None:
    assert not permits(0x472, bytes([7, 1, 0, 0, 0, 0, 0, 0]), True)
    assert not permits(0x472, bytes([1, 3, 0, 0, 0, 0, 0, 0]), True)
    told = driver.read_limits()
    assert all(motor.told for motor in told)
    assert np.degrees([told[1].lower, told[1].upper]) == pytest.approx([0.0, 180.0])
    assert (told[5].velocity, told[5].acceleration) == (3.0, 5.0)
    assert [data for _, identifier, data in arm.frames if identifier == 0x472] == [
        bytes([motor, content, 0, 0, 0, 0, 0, 0]) for motor in range(1, 7) for content in (1, 2)
    ]


def test_an_arm_with_shifted_ids_is_named_when_it_does_not_connect(arm) -> None:
    arm.shift = 0x100
    with pytest.raises(PiperError, match=r"shifted ids \(0x3A1, 0x3A5 to 0x3A8 .*MasterSlaveConfig\(0xFC"):
        PiperDriver("virtual", arm.channel).connect(timeout=0.3)


def test_a_bus_that_takes_nothing_is_an_error(driver: PiperDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise can.CanOperationError("transmit buffer full")

    monkeypatch.setattr(driver._sdk.GetCanBus().send_bus, "send", full)
    with pytest.raises(PiperError, match="did not take frame 0x151"):
        driver.send(np.zeros(6), 0.0)


def test_damaged_and_foreign_frames_do_no_harm(arm, driver: PiperDriver, wait_until: Callable) -> None:
    stranger = can.Bus(interface="virtual", channel=arm.channel)
    try:
        for identifier, data in ((0x2A5, b"\1"), (0x2A1, b""), (0x7FF, bytes(8)), (0x155, bytes(8)), (0x251, b"123")):
            stranger.send(can.Message(arbitration_id=identifier, data=data, is_extended_id=False))
        since = time.monotonic()
        wait_until(lambda: driver.read().stamp > since)
        np.testing.assert_allclose(driver.read().position, arm.position, atol=1e-5)
    finally:
        stranger.shutdown()


def test_a_missing_joint_frame_is_silence(arm, driver: PiperDriver, monkeypatch, wait_until: Callable) -> None:
    send = arm._send
    monkeypatch.setattr(arm, "_send", lambda identifier, data: identifier == 0x2A6 or send(identifier, data))
    wait_until(lambda: time.monotonic() - driver.read().stamp > 0.1)


def test_no_arm_on_the_bus_is_an_error_and_leaves_nothing_behind() -> None:
    threads = threading.active_count()
    driver = PiperDriver("virtual", "nobody-here")
    with pytest.raises(
        PiperError, match=r"no joint positions, motor states, efforts, arm status, firmware version .* powered"
    ):
        driver.connect(timeout=0.2)
    assert threading.active_count() == threads
    with pytest.raises(PiperError, match="not connected"):
        driver.send(np.zeros(6), 0.0)
    with pytest.raises(PiperError, match="no joint feedback"):
        driver.read()


def test_close_touches_nothing_and_connects_again(arm, driver: PiperDriver, wait_until: Callable) -> None:
    before = len(arm.frames)
    driver.close()
    driver.close()
    assert {identifier for _, identifier, _ in arm.frames[before:]} <= {0x472, 0x4AF}
    arm.firmware = b"S-V1.5-2"
    driver.connect()
    assert driver.firmware == "S-V1.5-2"
    assert not driver.dh_is_offset
    with pytest.raises(PiperError, match="already connected"):
        driver.connect()


def test_no_second_queue_fills_up(arm, driver: PiperDriver) -> None:
    bus = driver._sdk.GetCanBus()
    assert bus.send_bus is bus.recv_bus


@pytest.mark.parametrize(
    ("interface", "channel", "reason"),
    [
        ("socketcan", "can77", r"sudo ip link set can77 up type can bitrate 1000000"),
        ("socketcan", "lo", "cannot open socketcan bus lo"),
        ("no-such-interface", "x", "cannot open no-such-interface bus x"),
        ("remote", "127.0.0.1:9", "cannot open remote bus 127.0.0.1:9: .*refused"),
    ],
)
def test_bus_that_cannot_be_opened_says_what_to_do(interface: str, channel: str, reason: str) -> None:
    with pytest.raises(PiperError, match=reason):
        PiperDriver(interface, channel).connect(timeout=0.2)


def test_gripper_effort_is_checked() -> None:
    with pytest.raises(ValueError, match="0 to 5 N m, not 7"):
        PiperDriver("virtual", "x", gripper_effort=7.0)


def test_console_stays_quiet(arm, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    driver = PiperDriver("virtual", arm.channel)
    driver.connect()
    driver.send(arm.position, 0.05)
    driver.close()
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_samples_with_a_frame_out_of_place_are_left_out(arm, driver: PiperDriver, monkeypatch, wait_until) -> None:
    send, kept = arm._send, []

    def swapped(identifier: int, data: bytes) -> None:
        if identifier == 0x2A6:
            kept.append(data)
            return
        send(identifier, data)
        if identifier == 0x2A7 and kept:
            send(0x2A6, kept.pop())

    monkeypatch.setattr(arm, "_send", swapped)
    wait_until(lambda: time.monotonic() - driver.read().stamp > 0.1)
    monkeypatch.setattr(arm, "_send", send)
    wait_until(lambda: time.monotonic() - driver.read().stamp < 0.05)


def test_what_a_person_asks_for_passes_once_and_nothing_else_does(arm, driver: PiperDriver, wait_until) -> None:
    driver.release_gripper()
    driver.set_gripper_zero()
    driver.home_gripper()
    driver.reset()
    wait_until(lambda: 0x150 in arm.sent_ids())
    sent = [(identifier, data.hex()) for _, identifier, data in arm.frames if identifier in (0x150, 0x159)]
    assert sent == [
        (0x159, "0000000003e80200"),
        (0x159, "0000000003e800ae"),
        (0x159, "0000000003e80300"),
        (0x150, "0200000000000000"),
    ]
    with pytest.raises(PiperError, match="never sent by this driver"):
        driver._sdk.ResetPiper()


def test_motor_health_is_read_and_old_firmware_told_a_quarter_of_the_torque(arm, wait_until) -> None:
    arm.firmware = b"S-V1.5-2"
    send = arm._send
    currents = bytes.fromhex("000003e800000000")  # 1 A
    arm._send = lambda identifier, data: send(identifier, currents if 0x251 <= identifier <= 0x256 else data)
    driver = PiperDriver("virtual", arm.channel)
    driver.connect()
    try:
        wait_until(lambda: driver.read().effort.any() and driver.read().bus_load > 0)
        feedback = driver.read()
        np.testing.assert_allclose(feedback.effort, [4.725] * 3 + [0.95844] * 3, rtol=1e-3)
        np.testing.assert_allclose(feedback.motors.voltage, 24.0)
        np.testing.assert_allclose(feedback.motors.motor_temperature, 30.0)
        assert 0.0 < feedback.bus_load < 1.0
        assert feedback.motors.trouble() == ""
    finally:
        driver.close()
