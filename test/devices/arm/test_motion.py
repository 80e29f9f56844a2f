"""Set-points by hand: no thread, no bus, the clock in the test's hands."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tristage_ros.devices.arm.config import ControllerConfig
from tristage_ros.devices.arm.following import Ended, Following, Tolerances
from tristage_ros.devices.arm.guard import LEAST_LEAD, RELIEF_SPEED, RefusedError
from tristage_ros.devices.arm.joint_path import JointPath
from tristage_ros.devices.arm.kinematics import forward, matrix_to_quaternion, tool_pose
from tristage_ros.devices.arm.motion import Motion
from tristage_ros.devices.arm.values import ActionChunk, ArmFeedback, ChunkState, CommandSource, MotorBits, MotorHealth

HOME = np.array([0.0, 1.2, -1.1, 0.0, 0.9, 0.0])
STEP = 0.01


class Bench:
    """A motion and a perfect arm behind it, on a clock of their own."""

    def __init__(self, config: ControllerConfig | None = None, on: bool = True) -> None:
        bits = (int(MotorBits.ENABLED) * on,) * 6
        health = MotorHealth(*(np.full(6, value) for value in (24.0, 0.5, 30.0, 30.0)), bits)
        self.now = 50.0
        self.feedback = ArmFeedback(
            self.now, HOME.copy(), np.zeros(6), np.zeros(6), 0.05, 0.0, 0xC0, health, 1, 0, 0, 3040.0, 0.4
        )
        self.motion = Motion(config or ControllerConfig(), True, self.feedback)
        self.fed = True
        if on:
            self.motion.take(self.feedback)
            self.motion.engage(self.now)

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP)):
            self.now += STEP
            if self.fed:
                self.feedback = replace(self.feedback, stamp=self.now)
                self.motion.take(self.feedback)
            setpoint = self.motion.next_setpoint(self.now)
            if setpoint is None:
                continue
            self.motion.sent = setpoint
            if not self.motion.dry:
                self.feedback = replace(self.feedback, position=setpoint.position + 1e-7 * np.sin(self.now))

    def chunk(self, *translations: tuple[float, float, float], **changes: object) -> ActionChunk:
        rotation = tool_pose(forward(self.feedback.position))[:3, :3]
        n = len(translations)
        given = {
            "stamp": self.now,
            "time_step": 0.0,
            "translation": np.array(translations, dtype=float),
            "orientation": np.tile(matrix_to_quaternion(rotation), (n, 1)),
            "gripper": np.ones(n),
        }
        return ActionChunk(**{**given, **changes})

    def submit(self, *translations: tuple[float, float, float], **changes: object) -> None:
        self.give(self.chunk(*translations, **changes))

    def give(self, chunk: ActionChunk, objection: str = "") -> None:
        """Do at once what a controller does in two steps."""
        motion = self.motion
        try:
            motion.begin_chunk(chunk, motion.plan(motion.open_chunk(chunk, self.now, objection)), self.now)
        except ValueError as error:
            motion.refuse(chunk, str(error))
            raise

    def follow(self, path: JointPath) -> Following:
        return self.motion.begin_path(path, self.motion.plan(self.motion.open_path(path, self.now)), self.now)


def test_after_a_gap_only_a_newer_observation_moves_the_arm() -> None:
    bench = Bench()
    bench.run(0.1)
    bench.submit((0.0, 0.25, 0.0))
    bench.run(0.3)
    before = bench.chunk((0.0, 0.1, 0.0))
    bench.fed = False
    bench.run(0.2)
    assert bench.motion.chunk.state is ChunkState.EXECUTING  # slowed down, no more
    bench.run(0.2)
    assert bench.motion.chunk.state is ChunkState.ABORTED
    assert "no joint feedback for 0.2" in bench.motion.chunk.reason
    bench.fed = True
    bench.run(0.1)
    with pytest.raises(RefusedError, match="before a gap ended"):
        bench.give(replace(before, stamp=bench.now - 0.2))
    bench.submit((0.0, -0.02, 0.0))
    bench.run(3.0)
    assert bench.motion.chunk.state is ChunkState.REACHED
    assert not bench.motion.guard.fault


def test_a_gap_of_more_than_a_second_latches() -> None:
    bench = Bench()
    bench.run(0.1)
    bench.fed = False
    bench.run(1.1)
    assert "no joint feedback for 1.0" in bench.motion.guard.fault
    bench.fed = True
    bench.run(0.5)
    with pytest.raises(RefusedError, match="in fault"):
        bench.submit((0.0, 0.02, 0.0))


def test_nothing_begins_within_a_gap() -> None:
    """What was observed just before feedback fell silent is still young when it arrives."""
    bench = Bench()
    bench.run(0.1)
    bench.submit((0.0, 0.25, 0.0))
    bench.run(0.3)
    before = bench.chunk((0.0, 0.2, 0.0))
    path = JointPath(bench.now, np.array([2.0]), HOME[None] + 0.3)
    bench.fed = False
    bench.run(0.35)
    with pytest.raises(RefusedError, match=r"no joint feedback for 0\.3.* after this gap"):
        bench.give(before)
    with pytest.raises(RefusedError, match="gap"):
        bench.motion.go_home(bench.now)
    bench.motion.give_to(CommandSource.TRAJECTORY)
    with pytest.raises(RefusedError, match="gap"):
        bench.follow(path)
    bench.run(0.3)
    target = bench.motion.sent.position
    bench.fed = True
    bench.run(1.0)
    np.testing.assert_allclose(bench.motion.sent.position, target, atol=0.1)  # the end of slowing down


def test_nothing_begins_right_after_this_computer_stood_still() -> None:
    bench = Bench()
    bench.run(0.1)
    chunk = bench.chunk((0.0, 0.1, 0.0))
    bench.now += 0.4
    bench.motion.take(replace(bench.feedback, stamp=bench.now))
    with pytest.raises(RefusedError, match=r"no set-point for 0\.40 s"):
        bench.give(replace(chunk, stamp=bench.now - 0.3))


def jump_of(bench: Bench, offset: float, seconds: float) -> list[np.ndarray]:
    """Let joint 1 be reported `offset` rad away for some time; return the set-points meanwhile and for 0.2 s more."""
    targets = []
    for step in range(round((seconds + 0.2) / STEP)):
        away = np.array([offset if step * STEP < seconds else 0.0, 0, 0, 0, 0, 0]) + 1e-7 * np.sin(bench.now)
        bench.now += STEP
        bench.motion.take(replace(bench.feedback, stamp=bench.now, position=HOME + away))
        bench.motion.sent = bench.motion.next_setpoint(bench.now)
        targets.append(bench.motion.sent.position)
    return targets


def test_a_jump_of_one_sample_that_no_joint_can_make_moves_nothing() -> None:
    bench = Bench()
    bench.run(0.1)
    np.testing.assert_allclose(jump_of(bench, 1.5, STEP), HOME[None].repeat(21, 0), atol=1e-3)
    assert not bench.motion.guard.fault


def test_a_jump_that_stays_is_a_fault() -> None:
    bench = Bench()
    bench.run(0.1)
    targets = jump_of(bench, 1.2, 0.5)
    np.testing.assert_allclose(targets[:15], HOME[None].repeat(15, 0), atol=1e-3)
    assert bench.motion.guard.fault.startswith("joint 1 is 1.20 rad from where it was 0.")


def test_a_rival_of_the_policy_does_not_stop_a_person() -> None:
    bench = Bench()
    bench.run(0.1)
    bench.motion.give_to(CommandSource.TRAJECTORY)
    bench.follow(JointPath(bench.now, np.array([1.0]), HOME[None] + 0.1))
    bench.run(0.3)
    with pytest.raises(RefusedError, match="two policies"):
        bench.give(bench.chunk((0.0, 0.1, 0.0)), "two policies")
    bench.run(1.5)
    np.testing.assert_allclose(bench.motion.sent.position, HOME + 0.1, atol=1e-3)


def watched(timeout: float = 1.0) -> Bench:
    """Return a moving arm whose policy was heard a moment ago."""
    bench = Bench(ControllerConfig(link_timeout=timeout))
    bench.run(0.1)
    bench.submit((0.0, 0.25, 0.0))
    bench.motion.link.heard(bench.now, bench.now)
    return bench


def test_a_policy_that_falls_silent_is_a_fault_that_stays_when_it_comes_back() -> None:
    bench = watched()
    bench.run(0.9)
    assert not bench.motion.guard.fault and bench.motion.chunk.state is ChunkState.EXECUTING
    bench.run(0.2)
    assert "no word from the policy for 1.0" in bench.motion.guard.fault
    assert bench.motion.chunk.state is ChunkState.ABORTED
    bench.run(0.5)
    target = bench.motion.sent.position.copy()
    bench.motion.link.heard(bench.now, bench.now)
    bench.run(1.0)
    with pytest.raises(RefusedError, match="in fault"):
        bench.submit((0.0, 0.02, 0.0))
    np.testing.assert_array_equal(bench.motion.sent.position, target)
    bench.motion.restart()
    with pytest.raises(RefusedError, match="enable the arm"):
        bench.submit((0.0, 0.02, 0.0))


def test_a_policy_that_is_heard_in_time_is_no_fault() -> None:
    bench = watched()
    for _ in range(6):
        bench.run(0.8)
        bench.motion.link.heard(bench.now - 0.1, bench.now)
    assert not bench.motion.guard.fault


def test_an_old_stamp_is_no_word() -> None:
    bench = watched()
    bench.run(0.8)
    bench.motion.link.heard(bench.now - 0.7, bench.now)  # a replay, or what lay in a queue
    bench.run(0.3)
    assert not bench.motion.guard.fault
    bench.run(0.1)
    bench.motion.link.heard(bench.now - 0.7, bench.now)
    bench.run(0.7)
    assert bench.motion.guard.fault


def test_a_stamp_from_the_future_buys_no_time() -> None:
    bench = watched()
    bench.motion.link.heard(bench.now + 100.0, bench.now)
    bench.run(1.1)
    assert bench.motion.guard.fault


def test_only_a_policy_that_owns_the_arm_is_watched() -> None:
    bench = watched(0.0)
    bench.run(5.0)
    assert not bench.motion.guard.fault
    bench = watched()
    bench.motion.give_to(CommandSource.TRAJECTORY)
    bench.run(5.0)
    assert not bench.motion.guard.fault


@pytest.mark.parametrize(("pause", "fault"), [(0.5, ""), (1.5, "this computer stood still")])
def test_a_computer_that_stood_still_does_not_go_on(pause: float, fault: str) -> None:
    bench = Bench()
    bench.run(0.1)
    bench.submit((0.0, 0.25, 0.0))
    bench.run(0.4)
    there = bench.motion.sent.position.copy()
    bench.now += pause
    bench.run(0.5)
    assert bench.motion.chunk.state is ChunkState.ABORTED
    assert fault in bench.motion.guard.fault
    assert bool(bench.motion.guard.fault) == bool(fault)
    assert np.abs(bench.motion.sent.position - there).max() < 0.02


def test_after_a_gap_a_target_far_from_the_arm_is_taken_back_to_it_without_a_jump() -> None:
    bench = Bench()
    bench.run(0.1)
    bench.now += 0.5
    pushed = HOME + np.array([0.12, 0, 0, 0, 0, 0])
    bench.feedback = replace(bench.feedback, position=pushed)
    targets = [bench.motion.sent.position]
    for _ in range(100):
        bench.now += STEP
        bench.motion.take(replace(bench.feedback, stamp=bench.now, position=pushed + 1e-7 * np.sin(bench.now)))
        bench.motion.sent = bench.motion.next_setpoint(bench.now)
        targets.append(bench.motion.sent.position)
    np.testing.assert_allclose(targets[-1], pushed, atol=1e-3)
    assert np.abs(np.diff(targets, axis=0)).max() <= 2.0 * STEP


def test_actions_that_are_more_than_a_second_late_are_given_up() -> None:
    bench = Bench(ControllerConfig(speed_scale=0.02))
    bench.run(0.1)
    bench.submit(*((0.0, 0.02 * i, 0.0) for i in range(1, 6)), time_step=0.1)
    bench.run(1.4)
    assert bench.motion.chunk.state is ChunkState.EXECUTING
    bench.run(0.3)
    assert bench.motion.chunk.state is ChunkState.ABORTED
    assert bench.motion.chunk.reason == "its horizon has passed"
    bench.run(0.5)
    assert not bench.motion.moving


def test_a_refused_chunk_gives_the_one_before_it_no_more_time() -> None:
    bench = Bench(ControllerConfig(speed_scale=0.02))
    bench.run(0.1)
    bench.submit(*((0.0, 0.02 * i, 0.0) for i in range(1, 6)), time_step=0.1)
    bench.run(0.5)
    with pytest.raises(ValueError, match="finite"):
        bench.submit((0.0, np.nan, 0.0))
    bench.run(0.9)
    assert bench.motion.moving
    bench.run(0.8)
    assert not bench.motion.moving
    assert bench.motion.chunk.state is ChunkState.REFUSED  # the newest one


@pytest.mark.parametrize("late", [0.0, 0.05])
def test_observations_must_become_newer(late: float) -> None:
    bench = Bench()
    bench.run(0.2)
    bench.submit((0.0, 0.02, 0.0))
    with pytest.raises(RefusedError, match="that of the chunk before"):
        bench.submit((0.0, 0.03, 0.0), stamp=bench.now - late)


def test_one_source_owns_the_arm_and_a_person_takes_it() -> None:
    bench = Bench()
    bench.run(0.1)
    path = JointPath(bench.now, np.array([1.0]), HOME[None] + 0.1)
    with pytest.raises(RefusedError, match="belongs to the policy"):
        bench.follow(path)
    bench.submit((0.0, 0.2, 0.0))
    bench.run(0.3)
    bench.motion.go_home(bench.now)
    assert bench.motion.chunk.reason == "the arm was given to an operator"
    with pytest.raises(RefusedError, match="belongs to an operator"):
        bench.submit((0.0, 0.02, 0.0))
    bench.run(3.0)
    np.testing.assert_allclose(bench.motion.sent.position, ControllerConfig().home, atol=1e-9)
    bench.motion.give_to(CommandSource.TRAJECTORY)
    assert bench.follow(replace(path, start=bench.now)).points == 1
    bench.run(2.0)
    np.testing.assert_allclose(bench.motion.sent.position, HOME + 0.1, atol=1e-9)


def test_a_policy_is_watched_from_when_the_arm_is_enabled() -> None:
    bench = Bench(ControllerConfig(link_timeout=1.0))
    bench.run(0.9)
    assert not bench.motion.guard.fault
    bench.run(0.3)
    assert bench.motion.guard.fault.startswith("no word from the policy")


def test_after_a_stop_nothing_moves_the_arm_before_it_is_enabled_not_even_home() -> None:
    bench = Bench()
    bench.run(0.1)
    bench.motion.held = "stopped by an operator"
    with pytest.raises(RefusedError, match="holding: stopped by an operator"):
        bench.motion.go_home(bench.now)
    with pytest.raises(RefusedError, match="holding: stopped by an operator"):
        bench.submit((0.0, 0.02, 0.0))
    assert bench.motion.source is CommandSource.POLICY


def test_a_dry_run_begins_each_way_at_the_arm_as_it_is() -> None:
    bench = Bench(ControllerConfig(dry_run=True), on=False)
    bench.run(0.1)
    for _ in range(2):
        bench.submit((0.0, 0.1, 0.0))
        bench.run(3.0)
        assert bench.motion.chunk.state is ChunkState.REACHED
        moved = tool_pose(forward(bench.motion.sent.position)) - tool_pose(forward(HOME))
        np.testing.assert_allclose(moved[:3, 3], (0.0, 0.1, 0.0), atol=1e-3)


def test_once_a_fault_is_cleared_a_target_that_is_far_ahead_comes_back_without_a_leap() -> None:
    bench = Bench(ControllerConfig(speed_scale=0.01))
    bench.run(2.5)  # until no more lead is allowed than belongs to that
    motion, ahead = bench.motion, HOME + 0.09 * np.eye(6)[3]
    motion.guard.latch("a test")
    motion.guard.rest(ahead)
    motion.sent = replace(motion.sent, position=ahead)
    motion.restart()
    motion.held = ""
    with pytest.raises(RefusedError, match="letting go of what it pressed on"):
        bench.submit((0.0, 0.01, 0.0))
    rows = [ahead]
    for _ in range(50):
        bench.now += STEP
        still, effort = HOME + 1e-7 * np.sin(bench.now), 100.0 * (motion.sent.position - HOME)
        bench.feedback = replace(bench.feedback, stamp=bench.now, position=still, effort=effort)
        motion.take(bench.feedback)
        motion.sent = motion.next_setpoint(bench.now)
        rows.append(motion.sent.position)
    assert np.abs(np.diff(rows, axis=0)).max() <= RELIEF_SPEED * STEP + 1e-9
    assert np.abs(rows[-1] - HOME).max() < 0.02


def test_back_off_ends_where_something_is_in_the_way_there_too() -> None:
    bench = Bench()
    bench.run(0.5)
    bench.submit((0.0, 0.25, 0.0))
    bench.run(1.0)
    motion = bench.motion
    motion.guard.latch("a test")
    bench.run(0.5)
    stood = bench.feedback.position
    assert motion.back_off() > 0
    for _ in range(400):  # it cannot move
        bench.now += STEP
        bench.feedback = replace(bench.feedback, stamp=bench.now, position=stood + 1e-7 * np.sin(bench.now))
        motion.take(bench.feedback)
        motion.sent = motion.next_setpoint(bench.now)
        assert np.abs(motion.sent.position - stood).max() <= LEAST_LEAD + 1e-6
    assert np.abs(motion.sent.position - stood).max() < 0.02


def given_to_trajectories() -> Bench:
    bench = Bench()
    bench.run(0.1)
    bench.motion.give_to(CommandSource.TRAJECTORY)
    return bench


@pytest.mark.parametrize(
    ("happens", "words"),
    [
        (lambda b: b.motion.hold("stopped by an operator"), "stopped by an operator"),
        (lambda b: b.motion.go_home(b.now), "the arm was given to an operator"),
        (lambda b: b.follow(JointPath(b.now, np.array([1.0]), HOME[None])), "a newer trajectory took over"),
        (lambda b: b.motion.guard.latch("a fault"), "a fault"),
        (lambda b: b.motion.release("reset"), "reset"),
        (lambda b: setattr(b, "fed", False), "no joint feedback for 0.2"),
    ],
)
def test_a_joint_path_tells_what_ended_it(happens, words: str) -> None:
    bench = given_to_trajectories()
    following = bench.follow(JointPath(bench.now, np.array([2.0]), HOME[None] + 0.2))
    bench.run(0.5)
    assert following.ended is None and following.newest is not None
    happens(bench)
    bench.run(0.4)
    assert following.ended is Ended.ABORTED and words in following.reason


def test_a_joint_path_is_reached_when_the_joints_are_there() -> None:
    bench = given_to_trajectories()
    following = bench.follow(JointPath(bench.now, np.array([1.0]), HOME[None] + 0.2))
    bench.run(0.95)
    assert following.ended is None
    bench.run(0.3)
    assert following.ended is Ended.REACHED


def test_an_arm_that_leaves_its_joint_path_slows_down_and_holds() -> None:
    bench = given_to_trajectories()
    close = Tolerances(path=np.full(6, 0.02))
    following = bench.follow(JointPath(bench.now, np.array([1.0]), HOME[None] + 0.3, tolerances=close))
    bench.run(0.5)
    bench.feedback = replace(bench.feedback, position=bench.feedback.position - 0.03)
    bench.run(STEP)
    assert following.ended is Ended.OFF_PATH and bench.motion.halting
    bench.run(1.0)
    assert not bench.motion.moving and not bench.motion.guard.fault
    assert np.abs(bench.motion.sent.position - HOME).max() < 0.28


def test_what_may_not_be_begun_has_a_reason() -> None:
    bench = Bench()
    bench.run(0.1)
    assert "belongs to the policy" in bench.motion.objection(CommandSource.TRAJECTORY, bench.now)
    assert bench.motion.objection(CommandSource.POLICY, bench.now) == ""
    bench.motion.held = "stopped"
    assert bench.motion.objection(CommandSource.POLICY, bench.now) == "the arm is holding: stopped"
