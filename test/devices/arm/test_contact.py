"""What the arm does when something is in its way, when its frames stop, and when it is not ours: seen at the wire."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import can
import numpy as np
import pytest

from tristage_ros.bench.arm.rig import Rig
from tristage_ros.devices.arm.contact import Contact, Sample
from tristage_ros.devices.arm.controller import ControllerConfig
from tristage_ros.devices.arm.gravity import holding_torque
from tristage_ros.devices.arm.guard import LEAST_LEAD
from tristage_ros.devices.arm.joint_path import JointPath
from tristage_ros.devices.arm.relief import Relief
from tristage_ros.devices.arm.values import ArmMode, ArmState, ChunkState, CommandSource
from tristage_ros.simulation.arm import JointStop, Wall
from tristage_ros.simulation.frames import MotorStatus

FAR = (0.0, 0.25, 0.0)
HANGS = 0.0025  # rad per N m, as an arm does that hangs 10 to 30 mrad below its targets under load
PATIENCE = 0.3  # s that a machine that tests may be late by


@pytest.fixture
def rigs() -> Iterator[Callable[..., Rig]]:
    made = []

    def make(scale: float = 1.0, payload: float = 0.0) -> Rig:
        made.append(rig := Rig(ControllerConfig(speed_scale=scale)))
        plant = rig.plant
        plant.compliance, plant.payload = HANGS, payload
        rig.enable()
        time.sleep(0.6)  # until it hangs as it does
        return rig

    yield make
    for rig in made:
        rig.close()


def plant_of(rig: Rig) -> object:
    return rig.plant


def fault(state: ArmState) -> bool:
    return state.mode is ArmMode.FAULT


def still(rig: Rig) -> ArmState:
    """Wait until neither targets nor joints have moved for a while."""
    end, before = time.monotonic() + 10.0, rig.state()
    while time.monotonic() < end:
        time.sleep(0.4)
        now = rig.state()
        if np.abs(now.target - before.target).max() < 1e-6 and np.abs(now.position - before.position).max() < 1e-3:
            return now
        before = now
    pytest.fail("it does not come to rest")


@pytest.mark.parametrize(("scale", "limit", "payload"), [(1.0, 0.3, 0.0), (0.5, 0.3, 0.5), (0.1, 0.8, 0.5)])
def test_a_blocked_joint_is_noticed_and_let_go_of(rigs, scale: float, limit: float, payload: float) -> None:
    rig = rigs(scale, payload)
    plant, free = plant_of(rig), rig.state().feedback.effort
    at = plant.position[0] + 0.1
    rig.arm.put_in_the_way(JointStop(0, at, 1))
    assert rig.submit(FAR)[0]
    rig.until(lambda state: plant.position[0] > at)
    took = rig.until(fault)
    assert took < limit + PATIENCE
    state = still(rig)
    assert "joint 1 is blocked" in state.reason and state.chunk_state is ChunkState.ABORTED
    assert abs(state.feedback.effort[0] - free[0]) <= 2.0
    stood = plant.tool().copy()
    rig.arm.put_in_the_way()
    time.sleep(0.5)
    assert np.linalg.norm(plant.tool() - stood) <= 0.010
    assert np.array_equal(rig.state().target, state.target)


def test_a_tool_that_presses_on_the_table_lets_go_and_sinks_no_further(rigs) -> None:
    rig = rigs(0.5, 0.5)
    plant, free = plant_of(rig), rig.state().feedback.effort
    x, y, z = plant.tool()
    rig.arm.put_in_the_way(Wall((x, y, z - 0.06), (0.0, 0.0, 1.0)))
    assert rig.submit((0.0, 0.0, -0.15))[0]
    rig.until(fault)
    state = still(rig)
    assert (np.abs(state.feedback.effort - free)[:3] <= 4.0).all()  # gravity is another here, too
    height = plant.tool()[2]
    rig.arm.put_in_the_way()
    time.sleep(1.0)
    assert abs(plant.tool()[2] - height) <= 0.010


def test_what_stops_it_just_short_of_a_key_frame_is_no_goal_and_is_let_go_of(rigs) -> None:
    rig = rigs(1.0)
    free = rig.state().feedback.effort
    goal = rig.controller._motion
    assert rig.submit(FAR, gripper=np.zeros(1))[0]
    rig.until(lambda state: state.mode is ArmMode.MOVING)
    end = goal.execution.trajectory._path.waypoints[0].position[0]
    rig.arm.put_in_the_way(JointStop(0, end - 0.08, 1))
    rig.until(lambda state: state.chunk_state is ChunkState.ABORTED)
    state = still(rig)
    assert state.mode is ArmMode.FAULT or state.chunk_reason.startswith("not reached, joint 1 0.")
    assert abs(state.feedback.effort[0] - free[0]) <= 2.0
    assert state.gripper_target > 0.04  # it did not act


def test_a_joint_that_presses_short_of_its_goal_is_not_taken_to_carry_something() -> None:
    contact, position, effort = Contact(), np.zeros(6), np.zeros(6)
    for step in range(300):  # 3 s, the last two of which it stands 0.06 rad short with 30 N m
        effort[0], goal = (30.0, 0.06) if step > 100 else (0.0, 0.0)
        sample = Sample(0.01 * step, position, position, effort.copy())
        contact.look(0.01 * step, np.array([goal, 0, 0, 0, 0, 0]), sample)
    assert contact.push[0] == pytest.approx(30.0)


def test_cleared_it_holds_and_enabled_it_moves_again(rigs) -> None:
    rig = rigs(1.0)
    plant = plant_of(rig)
    rig.arm.put_in_the_way(JointStop(0, plant.position[0] + 0.1, 1))
    rig.submit(FAR)
    rig.until(fault)
    held = still(rig)
    rig.arm.put_in_the_way()
    assert rig.controller.clear_fault()[0] and rig.controller.enable()[0]
    time.sleep(0.3)
    assert np.abs(rig.state().position - held.position).max() < 0.01
    assert rig.submit((0.0, -0.05, 0.0))[0]
    rig.until(lambda state: state.chunk_state is ChunkState.REACHED)


@pytest.mark.parametrize("scale", [1.0, pytest.param(0.1, marks=pytest.mark.long)])
def test_carrying_half_a_kilogram_nothing_is_taken_for_contact(rigs, scale: float) -> None:
    rig = rigs(scale, 0.5)
    for way in ((0.0, 0.15, -0.05), (0.05, -0.15, -0.05), (-0.05, 0.0, 0.05)):
        assert rig.submit(tuple(scale * np.array(way)))[0]
        rig.until(lambda state: state.chunk_state is not ChunkState.EXECUTING)
        state = rig.state()
        assert state.mode is not ArmMode.FAULT and state.chunk_state is ChunkState.REACHED, state.reason


@pytest.mark.parametrize(
    ("group", "words", "limit"),
    [("status", "no arm status", 0.27), ("motors", "no motor states", 0.30), ("speeds", "no efforts", 0.27)],
)
def test_a_group_of_frames_that_stops_stops_the_arm(rigs, group: str, words: str, limit: float) -> None:
    rig = rigs()
    rig.submit(FAR)
    rig.until(lambda state: state.mode is ArmMode.MOVING)
    began = time.monotonic()
    rig.arm.wire.stop(group)
    rig.until(fault)
    assert words in rig.state().reason
    time.sleep(0.3)
    assert last_motion(rig) - began < limit + PATIENCE
    rig.arm.wire.stop()


def last_motion(rig: Rig) -> float:
    """Return when the last set-point was sent that differed from the one before, s."""
    rows = rig.tap.setpoints()
    moved = np.abs(np.diff(rows[:, 1:], axis=0)).max(axis=1) > 1e-6
    return float(rows[1:][moved][-1, 0])


def silent_from(rig: Rig) -> bool:
    sent = len(rig.tap.frames)
    time.sleep(0.2)
    return len(rig.tap.frames) == sent


@pytest.mark.parametrize("obeys", [True, False])
def test_the_teach_button_takes_the_arm_out_of_our_hands(rigs, obeys: bool) -> None:
    rig = rigs()
    rig.submit(FAR)
    rig.until(lambda state: state.mode is ArmMode.MOVING)
    rig.arm.press_teach_button(obeys)
    rig.until(fault)
    assert rig.state().reason.startswith("the arm is in teaching: ") and silent_from(rig)
    assert rig.state().feedback.control_mode == 2  # nothing of ours took it back
    assert not rig.controller.enable()[0] and not rig.controller.clear_fault()[0]
    rig.arm.press_teach_button()
    rig.until(lambda state: state.feedback.control_mode == 0)
    assert rig.controller.clear_fault()[0] and rig.controller.enable()[0]


def test_mode_frames_go_out_only_when_they_say_something_new(rigs) -> None:
    rig = rigs()
    time.sleep(0.5)
    began = len(rig.tap.frames)
    time.sleep(0.5)
    assert {identifier for _, identifier, _ in rig.tap.frames[began:]} == {0x155, 0x156, 0x157, 0x159}
    rig.controller.set_speed_scale(0.1)
    time.sleep(0.5)
    speeds = [data[2] for _, identifier, data in rig.tap.frames[began:] if identifier == 0x151]
    assert set(speeds) == {8} and len(speeds) <= 3  # ceil(1.5 * 0.1 * 1.5 / 3)


@pytest.mark.parametrize("bits", [MotorStatus.OVERCURRENT, MotorStatus.COLLISION, MotorStatus.VOLTAGE_LOW])
def test_an_alarm_of_a_motor_is_a_fault(rigs, bits: MotorStatus) -> None:
    rig = rigs()
    rig.arm.alarm(2, bits)
    rig.until(fault)
    assert f"motor 3: {bits.name.lower().replace('_', ' ')}" in rig.state().reason


def test_somebody_else_on_the_bus_is_met_with_silence_and_keeps_the_arm(rigs) -> None:
    rig = rigs()
    rig.submit(FAR)
    rig.until(lambda state: state.mode is ArmMode.MOVING)
    with can.Bus(interface="virtual", channel=rig.channel) as other:
        other.send(can.Message(arbitration_id=0x155, data=bytes(8), is_extended_id=False))
        rig.until(fault)
    assert "somebody else commands the arm" in rig.state().reason and "0x155" in rig.state().reason
    assert silent_from(rig)
    assert rig.controller.clear_fault()[0]
    done, reason = rig.controller.enable()
    assert done or "somebody else" in reason


def test_an_arm_that_leads_another_is_not_enabled() -> None:
    with Rig() as rig:
        rig.arm.become_leader()
        time.sleep(0.1)
        done, reason = rig.controller.enable()
        assert not done and ("leader" in reason or "leading" in reason)


def test_a_gripper_that_was_never_heard_is_not_commanded() -> None:
    with Rig() as rig:
        rig.arm.wire.stop("gripper")
        time.sleep(0.7)
        rig.enable()
        time.sleep(0.3)
        assert not any(identifier == 0x159 for _, identifier, _ in rig.tap.frames)


def test_relief_goes_on_as_long_as_it_eases_and_then_never_moves() -> None:
    """On something soft: its push falls by 100 N m for each rad that the target goes back."""
    setpoint = np.array([0.1, 0.0, 0.0, 0.0, 0.0, 0.0])
    relief = Relief()
    relief.release(0, setpoint, 0.0, 10.0)
    rows = []
    for tick in range(500):
        push = np.maximum(0.0, 100.0 * (setpoint + 0.02)) * [1, 0, 0, 0, 0, 0]
        setpoint = relief.step(0.01 * tick, 0.01, setpoint, push)
        rows.append(setpoint[0])
    assert np.diff(rows).max() <= 0.0 and -0.03 < rows[-1] <= -0.008
    assert np.ptp(rows[-200:]) == 0.0 and relief.over and LEAST_LEAD < 0.1


def test_relief_of_what_never_eases_ends_all_the_same() -> None:
    setpoint, relief = np.zeros(6), Relief()
    relief.release(1, setpoint, 0.0, -30.0, lies=True)
    for tick in range(1000):
        setpoint = relief.step(0.01 * tick, 0.01, setpoint, np.full(6, -30.0))
    assert relief.over and setpoint[1] == pytest.approx(15 * 0.020) and not setpoint[[0, 2, 3, 4, 5]].any()


def test_at_a_persons_call_it_goes_back_the_way_that_led_there(rigs) -> None:
    rig = rigs(1.0)
    plant = plant_of(rig)
    assert "no fault" in rig.controller.back_off()[1]
    began = plant.position.copy()
    rig.arm.put_in_the_way(JointStop(0, plant.position[0] + 0.2, 1))
    rig.submit(FAR)
    rig.until(fault)
    there = still(rig)
    assert rig.controller.back_off()[0]
    rig.until(lambda state: abs(state.target[0] - there.target[0]) > 0.05)
    rig.controller.stop("a test")
    stopped = still(rig)
    assert abs(stopped.target[0] - there.target[0]) < 0.15 and stopped.mode is ArmMode.FAULT
    assert rig.controller.back_off()[0]
    rig.until(lambda state: abs(state.position[0] - began[0]) < 0.03)
    assert np.abs(still(rig).target - rig.state().position).max() < 0.03


@pytest.fixture
def seldom() -> Iterator[Callable[[float], Rig]]:
    """Give arms whose feedback comes at 20 Hz and 80 ms late."""
    made = []

    def make(scale: float) -> Rig:
        made.append(rig := Rig(ControllerConfig(speed_scale=scale)))
        rig.plant.compliance = HANGS
        rig.arm.wire.slow(10, 0.08)
        time.sleep(1.5)
        rig.enable()
        time.sleep(0.6)
        return rig

    yield make
    for rig in made:
        rig.close()


def test_where_feedback_comes_seldom_and_late_a_way_is_gone_without_a_stop(seldom) -> None:
    rig = seldom(1.0)
    assert rig.submit(FAR)[0]
    assert rig.until(lambda state: state.chunk_state is not ChunkState.EXECUTING) < 4.0
    assert rig.state().chunk_state is ChunkState.REACHED and rig.state().mode is ArmMode.HOLDING


@pytest.mark.parametrize("scale", [1.0, pytest.param(0.1, marks=pytest.mark.long)])
def test_where_feedback_comes_seldom_and_late_contact_is_noticed_a_little_later(seldom, scale: float) -> None:
    rig = seldom(scale)
    at, free = rig.plant.position[0] + 0.1, rig.state().feedback.effort[0]
    rig.arm.put_in_the_way(JointStop(0, at, 1))
    rig.submit(FAR)
    rig.until(lambda state: rig.plant.position[0] > at)
    assert rig.until(fault) < 0.9 + PATIENCE
    assert abs(still(rig).feedback.effort[0] - free) <= 2.0


def test_where_feedback_comes_seldom_and_late_an_emergency_stop_is_heard_one_sample_later(seldom) -> None:
    rig = seldom(1.0)
    rig.submit(FAR)
    rig.until(lambda state: state.mode is ArmMode.MOVING)
    rig.arm.press_emergency_stop()
    assert rig.until(fault) < 0.05 + 0.08 + 0.02 + PATIENCE
    assert silent_from(rig)


@pytest.mark.parametrize("joint", [4, pytest.param(1, marks=pytest.mark.long), pytest.param(2, marks=pytest.mark.long)])
def test_where_an_encoder_lies_the_effort_tells(rigs, joint: int) -> None:
    """It goes on to say what is commanded, as a firmware in the field does."""
    rig = rigs(0.5)
    rig.arm.lie(joint)
    at, free = rig.plant.position[joint], rig.state().feedback.effort[joint]
    rig.arm.put_in_the_way(JointStop(joint, at - 0.05, -1), JointStop(joint, at + 0.05, 1))
    turned = rig.controller._motion.sent.position - 0.3 * np.eye(6)[joint]
    rig.controller.set_source(CommandSource.TRAJECTORY)
    assert rig.controller.follow(JointPath(time.monotonic(), np.array([1.5]), turned[None]))[0]
    rig.until(fault)
    assert f"motor {joint + 1} pushes" in rig.state().reason
    assert abs(still(rig).feedback.effort[joint] - free) <= 2.0


def test_a_stop_waits_for_no_plan(rigs) -> None:
    rig = rigs(1.0)
    rig.submit((0.0, 0.25, 0.0))
    rig.until(lambda state: np.abs(state.velocity).max() > 0.3)
    slow = [(0.0, 0.2 * np.sin(0.1 * k), 0.0) for k in range(256)]
    planning = threading.Thread(target=rig.submit, args=slow, kwargs={"time_step": 0.2})
    planning.start()
    time.sleep(0.02)
    began = time.monotonic()
    rig.controller.stop("a test")
    assert time.monotonic() - began < 0.05 + PATIENCE
    planning.join()
    time.sleep(0.6)
    rows = rig.tap.setpoints()
    rows = rows[rows[:, 0] > began]
    pace = np.abs(np.diff(rows[:, 1:], axis=0)).max(axis=1) / np.diff(rows[:, 0]).clip(0.005)
    assert pace[-20:].max() < 1e-3 and np.ptp(rows[-20:, 1:], axis=0).max() < 1e-6  # it stands
    assert rig.state().reason == "a test"


@pytest.mark.parametrize("lies", [False, True])
def test_a_push_that_makes_up_for_how_far_a_joint_hung_is_told_from_an_encoder_that_lies(lies: bool) -> None:
    """Pressed onto a lid the joint comes back to its set-point; only who lies says the very set-point."""
    contact, setpoint = Contact(), np.array([0.0, 1.8, -1.0, 0.0, 0.6, 0.0])
    noticed = None
    for step in range(400):
        now, pressed = 0.005 * step, min(1.0, max(0.0, step - 200) / 100)
        told = setpoint + (0.02 - 0.0175 * pressed) * np.eye(6)[1]
        effort = holding_torque(told) + 16.5 * pressed * np.eye(6)[1]
        contact.look(now, setpoint, Sample(now, setpoint if lies and pressed else told, np.zeros(6), effort))
        noticed = noticed or contact.notice(now, setpoint, 0.25)
    assert (noticed is not None and noticed.lies) == lies, noticed
