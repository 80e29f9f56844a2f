from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from tristage_ros.devices.arm.controller import ArmController, ControllerConfig
from tristage_ros.devices.arm.guard import GuardConfig, Setpoint
from tristage_ros.devices.arm.kinematics import forward, matrix_to_quaternion, tool_pose
from tristage_ros.devices.arm.piper import PiperDriver, PiperError
from tristage_ros.devices.arm.trajectory import MotionLimits
from tristage_ros.devices.arm.values import ActionChunk, ArmMode, ChunkState
from tristage_ros.devices.arm.workspace import Workspace

COMMANDS = {0x151, 0x155, 0x156, 0x157, 0x159, 0x471, 0x472, 0x4AF}
# a computer under load schedules late; these tests are about what happens, not about when
CONFIG = ControllerConfig(guard=GuardConfig(stale_after=0.2, gap_after=0.8, lost_after=1.2, command_timeout=0.3))


@pytest.fixture
def controller(arm, driver: PiperDriver, wait_until: Callable) -> Iterator[ArmController]:
    controller = ArmController(driver, CONFIG)
    controller.start()
    yield controller
    controller.close()
    assert arm.sent_ids() <= COMMANDS  # no emergency stop, reset, disable or zero, whatever happened
    assert_bounded(arm)


@pytest.fixture
def enabled(controller: ArmController) -> ArmController:
    done, reason = controller.enable()
    assert done, reason
    return controller


def assert_bounded(arm) -> None:
    """No set-point steps farther than the velocity limit allows for the longest step there is."""
    steps = np.abs(np.diff(arm.setpoints()[:, 1:], axis=0))
    assert steps.max(initial=0.0) <= CONFIG.guard.max_velocity * 0.02 + 1e-4


def chunk(
    controller: ArmController, *translations: tuple[float, float, float], gripper: float = 0.5, time_step: float = 0.0
) -> ActionChunk:
    """Return a chunk that keeps the tool's orientation, observed at the last feedback."""
    state = controller.snapshot()
    rotation = tool_pose(forward(state.position))[:3, :3]
    n = len(translations)
    return ActionChunk(
        stamp=state.stamp - state.feedback_age,
        time_step=time_step,
        translation=np.array(translations, dtype=float),
        orientation=np.tile(matrix_to_quaternion(rotation), (n, 1)),
        gripper=np.full(n, gripper),
    )


def submit(controller: ArmController, *translations: tuple[float, float, float], **options: float) -> None:
    accepted, reason = controller.submit(chunk(controller, *translations, **options))
    assert accepted, reason


def in_state(controller: ArmController, mode: ArmMode, state: ChunkState | None = None) -> Callable[[], bool]:
    def holds() -> bool:
        now = controller.snapshot()
        return now.mode is mode and (state is None or now.chunk_state is state)

    return holds


def tool_of(controller: ArmController) -> np.ndarray:
    return tool_pose(forward(controller.snapshot().position))[:3, 3]


def test_monitors_without_sending(arm, controller: ArmController, wait_until: Callable) -> None:
    arm.position = arm.position + 0.1
    wait_until(lambda: np.allclose(controller.snapshot().position, arm.position, atol=1e-4))
    state = controller.snapshot()
    assert state.mode is ArmMode.DISABLED
    assert "motor 1, 2, 3, 4, 5, 6 are off" in state.reason
    assert state.firmware == "S-V1.8-9"
    assert state.setpoints_sent == 0
    assert math.isnan(state.chunk_stamp)
    assert arm.sent_ids() <= {0x472, 0x4AF}


def test_chunk_before_enable_is_refused(controller: ArmController) -> None:
    accepted, reason = controller.submit(chunk(controller, (0.01, 0, 0)))
    assert not accepted
    assert "disabled" in reason
    state = controller.snapshot()
    assert (state.chunk_state, state.chunk_reason, state.chunks_refused) == (ChunkState.REFUSED, reason, 1)


def test_enable_holds_the_measured_position(arm, enabled: ArmController, wait_until: Callable) -> None:
    wait_until(lambda: len(arm.setpoints()) > 20)
    setpoints = arm.setpoints()[:, 1:]
    np.testing.assert_allclose(setpoints, np.tile(arm.position, (len(setpoints), 1)), atol=2e-5)
    assert enabled.snapshot().mode is ArmMode.HOLDING
    assert arm.gripper_target == pytest.approx(0.05)
    assert enabled.enable() == (True, "already enabled")


def test_a_stop_while_the_motors_come_on_counts(arm, controller: ArmController, driver, monkeypatch) -> None:
    enable = driver.enable

    def stopped_meanwhile(timeout: float) -> None:
        controller.stop("the node is deactivated")
        enable(timeout)

    monkeypatch.setattr(driver, "enable", stopped_meanwhile)
    assert controller.enable() == (True, "motors on; stopped meanwhile: the node is deactivated")
    accepted, reason = controller.submit(chunk(controller, (0.0, 0.05, 0.0)))
    assert not accepted and "the node is deactivated" in reason
    monkeypatch.undo()
    assert controller.enable() == (True, "released: the node is deactivated")


def test_enable_that_fails_says_why(arm, controller: ArmController) -> None:
    arm.dead = True
    controller.config = replace(CONFIG, enable_timeout=0.2)
    done, reason = controller.enable()
    assert not done
    assert "motor 1, 2, 3, 4, 5, 6 are off" in reason
    assert controller.snapshot().mode is ArmMode.DISABLED


def test_enable_in_emergency_stop_is_refused(arm, controller: ArmController, wait_until: Callable) -> None:
    arm.status = 1
    wait_until(lambda: "emergency stop" in controller.snapshot().reason)
    done, reason = controller.enable()
    assert not done
    assert reason == "the arm reports emergency stop"
    assert 0x471 not in arm.sent_ids()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ({"mode": 6}, "role of a leader; nothing here sends that frame (0x470)"),
        (
            {"limits": [(-1, -1, 3000, 500)] * 6},
            "in the arm's flash are wrong: motor 1: -0.1 to -0.1 deg; motor 2",
        ),
        ({"shift": 0x100}, "shifted ids (0x3A1, 0x3A5 to 0x3A8 instead of 0x2A1 to 0x2A8)"),
    ],
)
def test_enable_refuses_an_arm_whose_settings_forbid_it(
    arm, driver: PiperDriver, wait_until: Callable, spoil: dict, words: str
) -> None:
    for name, value in spoil.items():
        setattr(arm, name, value)
    if "limits" in spoil:
        driver.close()
        driver.connect()
    controller = ArmController(driver, CONFIG)
    controller.start()
    if "limits" in spoil:
        wait_until(lambda: not driver._flash.missing())
    elif "mode" in spoil:
        wait_until(lambda: controller.snapshot().feedback.control_mode == 6)
    else:
        wait_until(lambda: controller.snapshot().feedback_age > 1.2)
    began = time.monotonic()
    done, reason = controller.enable()
    assert time.monotonic() - began < 0.5
    controller.close()
    assert not done and words in reason
    assert 0x471 not in arm.sent_ids()


def test_enable_names_what_is_only_to_be_considered(arm, driver: PiperDriver, wait_until: Callable) -> None:
    arm.limits[0] = (-900, 900, 3000, 500)
    arm.beside = tuple((0x3A0 + k, bytes(8)) for k in (1, 5, 6, 7))
    driver.close()
    driver.connect()
    controller = ArmController(driver, CONFIG)
    controller.start()
    wait_until(lambda: not driver._flash.missing() and 0x3A5 in driver.traffic.rates)
    done, reason = controller.enable()
    controller.close()
    assert done and reason.startswith("motors on; ")
    assert "another arm is on this bus (frames 0x3A1, 0x3A5 to 0x3A7)" in reason
    assert "narrower than the manufacturer's: motor 1: -90.0 to 90.0 deg" in reason


@pytest.mark.parametrize(
    ("take", "words"),
    [
        (lambda arm: setattr(arm, "status", 1), "emergency stop"),
        (lambda arm: arm._send(0x151, bytes([1, 1, 50, 0, 0, 0, 0, 0])), "somebody else commands the arm"),
    ],
)
def test_an_arm_that_is_taken_while_its_motors_come_on_is_let_go_of(
    arm, controller: ArmController, wait_until: Callable, take: Callable, words: str
) -> None:
    arm.dead = True
    answers: list[tuple[bool, str]] = []
    enabling = threading.Thread(target=lambda: answers.append(controller.enable()))
    enabling.start()
    wait_until(lambda: 0x471 in arm.sent_ids())
    take(arm)
    arm.dead = False
    arm.enables_needed = 5
    enabling.join()
    asked = [identifier for _, identifier, _ in arm.frames].count(0x471)
    assert not answers[0][0] and words in answers[0][1]
    assert asked <= 3 and controller.snapshot().mode is ArmMode.DISABLED


def test_who_commands_the_arm_just_before_it_is_engaged_is_heard(
    arm, controller: ArmController, driver: PiperDriver, monkeypatch, wait_until: Callable
) -> None:
    enable = driver.enable

    def taken_meanwhile(timeout: float) -> None:
        enable(timeout)
        began = time.monotonic()
        arm._send(0x151, bytes([1, 1, 50, 0, 0, 0, 0, 0]))
        wait_until(lambda: driver.other_master(began))

    monkeypatch.setattr(driver, "enable", taken_meanwhile)
    done, reason = controller.enable()
    assert not done and "somebody else commands the arm" in reason and "the motors are on" in reason
    assert controller.snapshot().mode is ArmMode.DISABLED


def test_moves_to_a_key_frame_then_closes_the_gripper(arm, enabled: ArmController, wait_until: Callable) -> None:
    start = tool_of(enabled)
    submit(enabled, (0.03, 0.05, -0.04), gripper=0.0)
    wait_until(in_state(enabled, ArmMode.MOVING, ChunkState.EXECUTING))
    wait_until(in_state(enabled, ArmMode.HOLDING, ChunkState.REACHED))
    np.testing.assert_allclose(tool_of(enabled) - start, (0.03, 0.05, -0.04), atol=2e-4)
    assert arm.gripper == pytest.approx(0.0, abs=1.1e-3)
    closing = next(stamp for stamp, identifier, data in arm.frames if identifier == 0x159 and data[:4] == bytes(4))
    settled = arm.setpoints()
    moved = settled[np.abs(settled[:, 1:] - settled[-1, 1:]).max(1) > 1e-4, 0]
    assert closing > moved.max()  # the gripper acts once the arm is there
    assert enabled.snapshot().chunks_accepted == 1


def test_translation_counts_from_the_tool_at_the_observation(enabled: ArmController, wait_until: Callable) -> None:
    start = tool_of(enabled)
    submit(enabled, (0.0, 0.06, 0.0))
    wait_until(lambda: tool_of(enabled)[1] > start[1] + 0.005)
    observed, then = chunk(enabled, (0.0, 0.0, -0.03)), tool_of(enabled)
    wait_until(lambda: tool_of(enabled)[1] > then[1] + 0.02)
    accepted, reason = enabled.submit(observed)
    assert accepted, reason
    wait_until(in_state(enabled, ArmMode.HOLDING, ChunkState.REACHED))
    np.testing.assert_allclose(tool_of(enabled) - then, (0.0, 0.0, -0.03), atol=6e-3)


def test_timed_chunks_replace_each_other_without_a_jump(arm, enabled: ArmController, wait_until: Callable) -> None:
    start = tool_of(enabled)
    for _ in range(5):
        travelled = tool_of(enabled)[1] - start[1]
        submit(enabled, *((0.0, 0.008 * i, 0.0) for i in range(1, 11)), time_step=0.05, gripper=1.0)
        wait_until(lambda travelled=travelled: tool_of(enabled)[1] - start[1] > travelled + 0.01)
    wait_until(in_state(enabled, ArmMode.HOLDING, ChunkState.REACHED))
    assert arm.gripper_target == pytest.approx(0.07)
    moving = arm.setpoints()
    moving = moving[np.abs(moving[:, 1:] - moving[0, 1:]).max(1) > 1e-3]
    direction = np.sign(np.diff(moving[:, 1])[np.abs(np.diff(moving[:, 1])) > 1e-4])
    assert (direction == direction[0]).all()


def test_stop_decelerates_holds_and_refuses(arm, enabled: ArmController, wait_until: Callable) -> None:
    start = tool_of(enabled)
    submit(enabled, (0.0, 0.25, 0.0))
    wait_until(lambda: np.abs(enabled.snapshot().target[0]) > 0.15)
    asked = time.monotonic()
    enabled.stop("stopped by an operator")
    assert enabled.snapshot().chunk_state is ChunkState.ABORTED
    wait_until(in_state(enabled, ArmMode.HOLDING))
    held = enabled.snapshot()
    assert held.reason == "stopped by an operator"
    assert 0.03 < tool_of(enabled)[1] - start[1] < 0.24
    accepted, reason = enabled.submit(chunk(enabled, (0.0, 0.05, 0.0)))
    assert (accepted, reason) == (False, "the arm is holding: stopped by an operator")
    sent = enabled.snapshot().setpoints_sent
    wait_until(lambda: enabled.snapshot().setpoints_sent > sent + 5)  # the last target is still sent
    np.testing.assert_array_equal(enabled.snapshot().target, held.target)
    setpoints = arm.setpoints()
    after = np.abs(np.diff(setpoints[:, 1:], axis=0)[setpoints[1:, 0] > asked]).max(1)
    assert after[0] > 1e-3  # slows down, does not freeze
    assert (after[-3:] == 0.0).all()
    assert enabled.enable() == (True, "released: stopped by an operator")
    submit(enabled, (0.0, -0.02, 0.0))
    wait_until(in_state(enabled, ArmMode.HOLDING, ChunkState.REACHED))


def test_a_stop_that_is_released_at_once_still_ends_the_motion(enabled: ArmController, wait_until: Callable) -> None:
    start = tool_of(enabled)
    submit(enabled, (0.0, 0.25, 0.0))
    wait_until(lambda: np.abs(enabled.snapshot().target[0]) > 0.15)
    enabled.stop("stopped by an operator")
    assert enabled.enable()[0]
    wait_until(in_state(enabled, ArmMode.HOLDING, ChunkState.ABORTED))
    assert tool_of(enabled)[1] - start[1] < 0.24
    submit(enabled, (0.0, -0.01, 0.0))
    wait_until(in_state(enabled, ArmMode.HOLDING, ChunkState.REACHED))


REFUSALS = [
    ({"translation": np.full((1, 3), math.nan)}, "translation of action 1 is not finite"),
    ({"orientation": np.zeros((1, 4))}, "orientation has length 0.000"),
    ({"translation": np.array([[0.45, 0.0, 0.0]])}, r"action 1 of 1: tool at \(.*\) m.* outside the workspace"),
    ({"translation": np.array([[0.3, 0.0, 0.3]])}, "farther away than the arm reaches"),
    ({"translation": np.array([[0.0, -0.5, 0.4]])}, "the tool would go 0.640 m, more than 0.6 m"),
    ({"stamp": -0.8}, r"observation is 0\.8\d s old, more than 0.5"),
    ({"stamp": 0.5}, r"stamp is 0\.\d+ s newer than the newest measured joint positions"),
    ({"stamp": math.nan}, "nan s old"),
    ({"stamp": -0.03, "time_step": 0.01}, "all 1 actions were due before now"),
]


@pytest.mark.parametrize(("change", "reason"), REFUSALS)
def test_unacceptable_chunks_are_refused_and_the_arm_keeps_holding(
    arm, enabled: ArmController, change: dict, reason: str, wait_until: Callable
) -> None:
    wait_until(lambda: enabled.snapshot().setpoints_sent > 10)
    good = chunk(enabled, (0.0, 0.0, 0.0))
    if "stamp" in change:
        change = {**change, "stamp": good.stamp + change["stamp"]}
    accepted, why = enabled.submit(replace(good, **change))
    assert not accepted
    assert re.search(reason, why), why
    state = enabled.snapshot()
    assert state.mode is ArmMode.HOLDING
    assert (state.chunk_state, state.chunk_reason) == (ChunkState.REFUSED, why)
    before = len(arm.setpoints())
    wait_until(lambda: len(arm.setpoints()) > before + 5)
    assert np.ptp(arm.setpoints()[:, 1:], axis=0).max() < 1e-4


def test_stamp_older_than_the_history_is_refused(arm, driver: PiperDriver) -> None:
    controller = ArmController(driver, replace(CONFIG, chunks=replace(CONFIG.chunks, max_age=60.0)))
    controller.start()
    try:
        assert controller.enable()[0]
        old = replace(chunk(controller, (0, 0, 0)), stamp=time.monotonic() - 30.0)
        accepted, reason = controller.submit(old)
        assert not accepted
        assert "older than the oldest measured joint positions" in reason
    finally:
        controller.close()


def test_a_path_through_the_table_is_refused(arm, driver: PiperDriver, wait_until: Callable) -> None:
    start = tool_pose(forward(arm.position))[2, 3]
    guard = replace(CONFIG.guard, workspace=Workspace(table_height=start - 0.05))
    controller = ArmController(driver, replace(CONFIG, guard=guard))
    controller.start()
    try:
        controller.enable()
        wait_until(in_state(controller, ArmMode.HOLDING))
        accepted, reason = controller.submit(chunk(controller, (0.0, 0.0, -0.1)))
        assert not accepted
        assert "outside the workspace" in reason
    finally:
        controller.close()


def test_a_path_that_leaves_the_workspace_between_good_ends_is_refused(
    arm, driver: PiperDriver, home: np.ndarray, wait_until: Callable
) -> None:
    left, right = home + np.array([0.5, 0, 0, 0, 0, 0]), home - np.array([0.5, 0, 0, 0, 0, 0])
    start, goal = tool_pose(forward(left)), tool_pose(forward(right))
    arm.position = arm.target = left
    wait_until(lambda: np.allclose(driver.read().position, left, atol=1e-4))
    box = Workspace(upper=(float(start[0, 3]) + 0.01, 0.55, 0.75))  # the way from left to right bulges outwards
    controller = ArmController(driver, replace(CONFIG, guard=replace(CONFIG.guard, workspace=box)))
    controller.start()
    try:
        assert controller.enable()[0]
        change = {
            "translation": (goal - start)[None, :3, 3],
            "orientation": matrix_to_quaternion(goal[:3, :3])[None],
        }
        accepted, reason = controller.submit(replace(chunk(controller, (0, 0, 0)), **change))
        assert not accepted
        assert "on the path the tool would be 0.03" in reason
    finally:
        controller.close()


def test_after_a_break_in_sending_the_path_goes_on_from_standstill(
    arm, enabled: ArmController, driver: PiperDriver, monkeypatch: pytest.MonkeyPatch, wait_until: Callable
) -> None:
    submit(enabled, (0.0, 0.25, 0.0))
    wait_until(lambda: np.abs(enabled.snapshot().target[0]) > 0.15)
    send = driver.send

    def slow(position: np.ndarray, gripper: float) -> None:
        monkeypatch.setattr(driver, "send", send)
        time.sleep(CONFIG.guard.command_timeout + 0.1)
        send(position, gripper)

    monkeypatch.setattr(driver, "send", slow)
    wait_until(in_state(enabled, ArmMode.HOLDING, ChunkState.REACHED))
    setpoints = arm.setpoints()
    resumed = int(np.diff(setpoints[:, 0]).argmax()) + 1
    assert setpoints[resumed, 0] - setpoints[resumed - 1, 0] > CONFIG.guard.command_timeout
    steps = np.abs(np.diff(setpoints[:, 1:], axis=0)).max(1)
    assert steps[resumed - 2] > 5e-3
    assert steps[resumed] < 2e-3


def test_a_setpoint_from_before_a_stand_still_is_not_sent(
    arm, enabled: ArmController, monkeypatch: pytest.MonkeyPatch, wait_until: Callable
) -> None:
    submit(enabled, (0.0, 0.25, 0.0))
    wait_until(lambda: np.abs(enabled.snapshot().target[0]) > 0.15)
    work_out, held_up = enabled._motion.next_setpoint, []

    def slowly(now: float) -> Setpoint | None:
        monkeypatch.setattr(enabled._motion, "next_setpoint", work_out)
        setpoint = work_out(now)
        time.sleep(CONFIG.guard.command_timeout + 0.1)
        held_up.append((time.monotonic(), setpoint.position))
        return setpoint

    monkeypatch.setattr(enabled._motion, "next_setpoint", slowly)
    wait_until(in_state(enabled, ArmMode.HOLDING, ChunkState.REACHED))
    ((when, stale),) = held_up
    setpoints = arm.setpoints()
    resumed = int(np.searchsorted(setpoints[:, 0], when))
    assert np.abs(stale - setpoints[resumed - 1, 1:]).max() > 5e-3  # the arm was on its way
    assert np.abs(setpoints[resumed, 1:] - setpoints[resumed - 1, 1:]).max() < 3e-3  # from rest


def test_silence_is_a_fault_until_it_is_cleared(arm, enabled: ArmController, wait_until: Callable) -> None:
    submit(enabled, (0.0, 0.25, 0.0))
    wait_until(in_state(enabled, ArmMode.MOVING))
    arm.silent = True
    wait_until(in_state(enabled, ArmMode.FAULT, ChunkState.ABORTED))
    assert "no joint feedback for 1.2" in enabled.snapshot().reason
    assert enabled.submit(chunk(enabled, (0, 0.01, 0)))[0] is False
    done, reason = enabled.clear_fault()
    assert not done
    assert "still no joint feedback" in reason
    assert enabled.enable()[0] is False
    arm.silent = False
    wait_until(lambda: enabled.snapshot().feedback_age < 0.1)
    assert enabled.snapshot().mode is ArmMode.FAULT
    sent = enabled.snapshot().setpoints_sent
    wait_until(lambda: enabled.snapshot().setpoints_sent > sent + 5)
    done, reason = enabled.clear_fault()
    assert done, reason
    assert enabled.snapshot().mode is ArmMode.HOLDING
    assert "a fault was cleared" in enabled.submit(chunk(enabled, (0, 0.01, 0)))[1]
    assert enabled.enable()[0]
    submit(enabled, (0.0, 0.01, 0.0))
    wait_until(in_state(enabled, ArmMode.HOLDING, ChunkState.REACHED))


def test_short_silence_only_holds(arm, enabled: ArmController, wait_until: Callable) -> None:
    submit(enabled, (0.0, 0.25, 0.0))
    wait_until(lambda: np.abs(enabled.snapshot().target[0]) > 0.1)
    arm.silent = True
    wait_until(lambda: enabled.snapshot().feedback_age > 0.3)
    before = enabled.snapshot()
    assert before.mode is ArmMode.MOVING
    assert np.abs(before.target - before.position).max() <= CONFIG.guard.max_lead
    arm.silent = False
    wait_until(in_state(enabled, ArmMode.HOLDING, ChunkState.REACHED))
    assert enabled.snapshot().target[0] > before.target[0] + 0.1  # the path went on


def test_silence_before_enable_is_a_lost_connection(arm, controller: ArmController, wait_until: Callable) -> None:
    arm.silent = True
    wait_until(in_state(controller, ArmMode.DISCONNECTED))
    assert controller.enable()[0] is False
    arm.silent = False
    wait_until(in_state(controller, ArmMode.DISABLED))


@pytest.mark.parametrize("power_lost", [True, False])
def test_an_arm_that_stops_following_is_left_alone(
    arm, enabled: ArmController, wait_until: Callable, power_lost: bool
) -> None:
    submit(enabled, (0.0, 0.25, 0.0))
    wait_until(in_state(enabled, ArmMode.MOVING))
    if power_lost:
        arm.motors = [True, True, False, True, True, True]
    else:
        arm.status = 1
    wait_until(in_state(enabled, ArmMode.FAULT, ChunkState.ABORTED))
    assert enabled.snapshot().reason == ("motor 3 is off" if power_lost else "the arm reports emergency stop")
    sent = enabled.snapshot().setpoints_sent
    arm.position = arm.position + np.array([0, 0.3, 0, 0, 0, 0])  # it sinks
    wait_until(lambda: np.allclose(enabled.snapshot().position, arm.position, atol=1e-4))
    assert enabled.snapshot().setpoints_sent == sent
    assert enabled.clear_fault()[0] is power_lost
    arm.status = 0
    wait_until(lambda: enabled.clear_fault()[0])
    assert enabled.snapshot().mode is ArmMode.DISABLED
    before = len(arm.setpoints())
    assert enabled.enable() == (True, "motors on; holding the measured position")
    wait_until(lambda: len(arm.setpoints()) > before)
    np.testing.assert_allclose(arm.setpoints()[before, 1:], arm.position, atol=2e-5)
    arm.frames.clear()  # the step from the old to the new position is no motion


def test_a_blocked_arm_is_a_fault(arm, enabled: ArmController, wait_until: Callable) -> None:
    arm.blocked = True
    submit(enabled, (0.0, 0.3, 0.0))
    wait_until(in_state(enabled, ArmMode.FAULT))
    state = enabled.snapshot()
    assert "joint feedback has not changed" in state.reason
    assert np.abs(state.target - state.position).max() <= CONFIG.guard.max_lead


def test_other_complaints_hold_until_they_are_gone(arm, enabled: ArmController, wait_until: Callable) -> None:
    arm.error_code = 0x0200
    wait_until(in_state(enabled, ArmMode.FAULT))
    assert enabled.snapshot().reason == ("the arm reports error code 0x0200: target of joint 2 beyond its limit")
    assert enabled.clear_fault()[0] is False
    sent = enabled.snapshot().setpoints_sent
    wait_until(lambda: enabled.snapshot().setpoints_sent > sent + 5)
    arm.error_code = 0
    wait_until(lambda: enabled.clear_fault()[0])
    assert enabled.snapshot().mode is ArmMode.HOLDING


def test_sending_that_fails_is_a_fault(
    enabled: ArmController, driver: PiperDriver, monkeypatch: pytest.MonkeyPatch, wait_until: Callable
) -> None:
    submit(enabled, (0.0, 0.25, 0.0))
    wait_until(in_state(enabled, ArmMode.MOVING))

    def fail(*args: object) -> None:
        raise PiperError("the bus is gone")

    with monkeypatch.context() as patch:
        patch.setattr(driver, "send", fail)
        wait_until(in_state(enabled, ArmMode.FAULT, ChunkState.ABORTED))
        assert "no set-point could be sent for 0.3" in enabled.snapshot().reason
        assert "the bus is gone" in enabled.snapshot().reason
    wait_until(lambda: enabled.clear_fault()[0])
    assert enabled.enable()[0]
    submit(enabled, (0.0, 0.01, 0.0))
    wait_until(in_state(enabled, ArmMode.HOLDING, ChunkState.REACHED))


def test_a_few_lost_bursts_are_no_fault_and_no_jump(
    enabled: ArmController, driver: PiperDriver, monkeypatch: pytest.MonkeyPatch, wait_until: Callable
) -> None:
    send, calls = driver.send, iter(range(10**6))

    def sometimes(position: np.ndarray, gripper: float) -> None:
        if next(calls) % 20 == 19:
            raise PiperError("transmit buffer full")
        send(position, gripper)

    monkeypatch.setattr(driver, "send", sometimes)
    submit(enabled, (0.0, 0.05, 0.0))
    wait_until(in_state(enabled, ArmMode.HOLDING, ChunkState.REACHED), timeout=15.0)


def test_the_thread_survives_anything(
    enabled: ArmController, driver: PiperDriver, monkeypatch: pytest.MonkeyPatch, wait_until: Callable
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(driver, "read", lambda: 1 / 0)
        wait_until(in_state(enabled, ArmMode.FAULT))
        assert "control loop: ZeroDivisionError" in enabled.snapshot().reason
    wait_until(lambda: enabled.clear_fault()[0])
    assert enabled.enable()[0]
    submit(enabled, (0.0, 0.01, 0.0))
    wait_until(in_state(enabled, ArmMode.HOLDING, ChunkState.REACHED))


def test_clear_without_fault_does_nothing(controller: ArmController) -> None:
    assert controller.clear_fault() == (True, "there is no fault")


def test_speed_scale_limits_the_setpoints(arm, enabled: ArmController, wait_until: Callable) -> None:
    enabled.set_speed_scale(0.2)
    submit(enabled, (0.0, 0.02, 0.0))
    wait_until(in_state(enabled, ArmMode.HOLDING, ChunkState.REACHED), timeout=10.0)
    steps = np.abs(np.diff(arm.setpoints()[:, 1:], axis=0))
    assert steps.max() <= 0.2 * CONFIG.motion.velocity * 0.02 + 1e-4
    assert enabled.snapshot().speed_scale == 0.2


@pytest.mark.parametrize("scale", [0.0, 1.1, math.nan])
def test_impossible_speed_scale_is_refused(controller: ArmController, scale: float) -> None:
    with pytest.raises(ValueError, match="speed_scale"):
        controller.set_speed_scale(scale)
    assert controller.snapshot().speed_scale == 1.0


def test_close_decelerates_and_leaves_no_thread(arm, driver: PiperDriver, wait_until: Callable) -> None:
    threads = set(threading.enumerate())
    controller = ArmController(driver, CONFIG)
    controller.start()
    controller.enable()
    wait_until(in_state(controller, ArmMode.HOLDING))
    submit(controller, (0.0, 0.25, 0.0))
    wait_until(lambda: np.abs(controller.snapshot().target[0]) > 0.15)
    asked = time.monotonic()
    controller.close()
    assert set(threading.enumerate()) < threads  # the driver's reader has ended as well
    last = arm.setpoints()
    assert np.ptp(last[last[:, 0] > asked][-2:, 1:], axis=0).max() < 1e-3
    assert arm.motors == [True] * 6
    assert_bounded(arm)


def test_limits_are_said_in_words(controller: ArmController) -> None:
    words = "\n".join(controller.limits_in_words())
    for part in ("-2.62..2.62", "S-V1.8-9", "1.5 rad/s", "0.25 rad ahead", "0.5 s old"):
        assert part in words


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"rate": 1000.0}, "rate"),
        ({"speed_scale": 0.0}, "speed_scale"),
        ({"link_timeout": -1.0}, "link_timeout"),
        ({"motion": MotionLimits(velocity=2.5)}, "exceed the guard's 2.0"),
        ({"motion": MotionLimits(acceleration=8.0)}, "more than the guard's 10.0"),
    ],
)
def test_contradicting_limits_are_refused(change: dict, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        ControllerConfig(**change)
