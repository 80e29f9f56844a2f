from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tristage_ros.devices.arm.body import Body
from tristage_ros.devices.arm.guard import Guard, GuardConfig, RefusedError
from tristage_ros.devices.arm.kinematics import JOINT_LIMITS, forward, link_poses
from tristage_ros.devices.arm.tool import Tool
from tristage_ros.devices.arm.workspace import Box, Workspace

HOME = np.array([0.0, 1.2, -1.0, 0.0, 0.6, 0.0])
STEP = 0.01
ANYWHERE = Workspace((-9.0, -9.0, -9.0), (9.0, 9.0, 9.0), table_height=-9.0)
OPEN_SPACE = GuardConfig(workspace=ANYWHERE)
OPEN_SPACE_ON_A_TABLE = GuardConfig(workspace=Workspace((-9.0, -9.0, -9.0), (9.0, 9.0, 9.0), table_height=0.0))

NUMBER = st.one_of(st.floats(-10, 10), st.floats(allow_nan=True, allow_infinity=True))
PROPOSAL = st.one_of(
    st.none(),
    st.lists(NUMBER, min_size=6, max_size=6),
    st.lists(st.floats(-3, 3), min_size=6, max_size=6),
    st.lists(NUMBER, max_size=8),
)


@st.composite
def arms(draw: st.DrawFn) -> np.ndarray:
    shares = np.array(draw(st.lists(st.floats(0, 1), min_size=6, max_size=6)))
    return JOINT_LIMITS[:, 0] + shares * np.ptp(JOINT_LIMITS, 1)


def engaged(config: GuardConfig = OPEN_SPACE, at: np.ndarray = HOME) -> Guard:
    guard = Guard(config)
    guard.engage(at, 0.05, at)
    return guard


@st.composite
def disturbances(draw: st.DrawFn) -> tuple:
    """Draw what may happen between two set-points; mostly it is little, so that sequences stay long."""
    kind = draw(st.integers(0, 9))
    proposal = draw(PROPOSAL) if kind < 5 else draw(st.lists(st.floats(-3, 3), min_size=6, max_size=6))
    push = draw(st.one_of(st.lists(st.floats(-0.1, 0.1), min_size=6, max_size=6), arms())) if kind == 0 else None
    return (
        proposal,
        draw(NUMBER) if kind == 1 else 0.05,
        draw(st.floats(1e-4, 0.05)) if kind == 2 else STEP,
        push,
        draw(st.sampled_from([0.0, 0.1, 0.3, 5.0, math.nan])) if kind == 3 else 0.0,  # age of the feedback
        draw(st.sampled_from([0.1, 0.5, 1.0])) if kind == 4 else None,  # speed scale
        kind == 9 and draw(st.booleans()),
    )


@settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    start=arms(),
    steps=st.lists(disturbances(), max_size=12),
    workspace=st.sampled_from([ANYWHERE, Workspace()]),
)
@pytest.mark.timeout(600)
def test_whatever_comes_in_what_goes_out_is_bounded(start: np.ndarray, steps: list, workspace: Workspace) -> None:
    config = GuardConfig(workspace=workspace)
    guard = engaged(config, start)
    last, arm, now = start, start, 0.0
    for proposed, gripper, step, move, age, scale, fault in steps:
        now += step
        guard.speed_scale = scale or guard.speed_scale
        if fault:
            guard.latch("a test")
        assert 0.0 <= guard.allowance(now, now - age, arm) <= 1.0
        if move is not None:  # the arm is pushed a little, or teleports
            arm = np.clip(arm + move, *JOINT_LIMITS.T) if isinstance(move, list) else move
        out = guard.filter(now, step, proposed, gripper, arm)
        assert np.isfinite(out.position).all()
        assert (out.position >= JOINT_LIMITS[:, 0]).all()
        assert (out.position <= JOINT_LIMITS[:, 1]).all()
        assert guard.fault or np.abs(out.position - arm).max() <= config.max_lead + 1e-9
        followed = np.abs(last - np.clip(last, arm - config.max_lead, arm + config.max_lead))
        followed = np.zeros(6) if guard.fault else followed  # in a fault it does not follow an arm that moves
        assert (np.abs(out.position - last) <= config.max_velocity * step + followed + 1e-9).all()
        assert config.gripper_range[0] <= out.gripper <= config.gripper_range[1]
        last = out.position


@settings(deadline=None)
@given(start=arms(), proposals=st.lists(PROPOSAL, max_size=40))
def test_acceleration_is_bounded_and_limits_are_kept_with_their_margin(start: np.ndarray, proposals: list) -> None:
    margin, config = OPEN_SPACE.position_margin, OPEN_SPACE
    start = np.clip(start, JOINT_LIMITS[:, 0] + margin, JOINT_LIMITS[:, 1] - margin)
    guard, path = engaged(at=start), [start, start]
    for i, proposed in enumerate(proposals):
        setpoint = guard.filter(i * STEP, STEP, proposed, 0.05, path[-1])
        if "deep" in guard.fault:  # before a part of the arm enters another it stands still at once
            break
        path.append(setpoint.position)
    acceleration = np.diff(path, 2, axis=0) / STEP**2
    assert np.abs(acceleration).max(initial=0.0) <= config.max_acceleration * (1 + 1e-6)
    assert (np.array(path) >= JOINT_LIMITS[:, 0] + margin - 1e-9).all()
    assert (np.array(path) <= JOINT_LIMITS[:, 1] - margin + 1e-9).all()


@settings(max_examples=40, deadline=None)
@given(goals=st.lists(arms(), min_size=1, max_size=4))
def test_no_part_of_the_arm_ever_leaves_the_box_or_gets_into_what_is_kept_free(goals: list[np.ndarray]) -> None:
    cell = Box("the box", (-0.35, -0.60, 0.0), (0.80, 0.60, 0.80))
    config = GuardConfig(body=Body(box=cell, keep_out=(Box("the post", (0.3, 0.1, 0.0), (0.4, 0.2, 0.5)),)))
    guard, arm = engaged(config), HOME
    for goal in goals:
        for i in range(60):
            arm = guard.filter(i * STEP, STEP, goal, 0.05, arm).position
            assert config.workspace.excess(forward(arm)) <= 2e-3
            assert config.body.depth(link_poses(arm), 0.0)[0] <= 2e-3


CELL = Box("the box", (-0.20, -0.30, -1.0), (0.80, 0.30, 0.80))


@pytest.mark.parametrize(
    ("joints", "body", "words"),
    [
        ([0.0, 0.3, -1.1, 0.0, 0.9, 0.0], Body(box=CELL), "the elbow would be .* outside the box"),
        ([1.15, 1.2, -1.1, 0.0, 0.9, 0.0], Body(box=CELL), "(a finger|the wrist camera) would be .* outside"),
        ([0.0, 1.2, -1.1, 1.5, 0.9, 0.0], Body(box=replace(CELL, lower=(-0.2, -0.13, -1.0), upper=(0.8, 0.13, 0.8))),
         "(a finger|the gripper|the wrist camera) would be .* outside the box"),
        ([0.0, 1.2, -1.1, 0.0, 0.9, -1.9],
         Body(tool=Tool(fingers_open=0.01), keep_out=(Box("a lamp", (0.22, 0.09, 0.30), (0.30, 0.2, 0.40)),)),
         "the wrist camera would be .* deep in a lamp"),
    ],
)  # fmt: skip
def test_elbow_fingers_and_camera_are_stopped_before_they_are_where_they_must_not_be(
    joints: list[float], body: Body, words: str
) -> None:
    guard, goal = engaged(GuardConfig(workspace=ANYWHERE, body=body)), np.array(joints)
    with pytest.raises(RefusedError, match=f"on the path {words}"):
        guard.check_path(np.linspace(HOME, goal, 100))
    arm = HOME
    for i in range(600):
        arm = guard.filter(i * STEP, STEP, HOME + min(i / 400, 1.0) * (goal - HOME), 0.0, arm).position
        if guard.fault:
            break
    assert re.search(words, guard.fault)
    assert body.depth(link_poses(arm), -9.0)[0] <= 2e-3


def test_a_part_that_is_outside_the_box_does_not_let_another_into_the_table() -> None:
    box = Box("the box", (-0.35, -0.60, -1.0), (0.80, 0.60, 0.30))  # the elbow is 15 cm outside
    guard = engaged(GuardConfig(body=Body(box=box)))
    with pytest.raises(RefusedError, match=r"a finger would be 0\.0.. m deep in the table"):
        guard.check_path(np.linspace(HOME, HOME + np.array([0, 1.0, 0, 0, 0.4, 0]), 20))


def test_allowed_setpoints_pass_unchanged() -> None:
    guard = engaged()
    for i in range(5):
        wish = HOME + 0.5 * 8.0 * (i * STEP) ** 2
        out = guard.filter(i * STEP, STEP, wish, 0.03, wish)
        np.testing.assert_array_equal(out.position, wish)
        assert (out.gripper, out.limited) == (0.03, "")


def test_a_far_setpoint_is_approached_within_the_limits_and_named() -> None:
    guard, wish = engaged(), HOME.copy()
    wish[2] -= 1.0
    out = guard.filter(0.0, STEP, wish, 0.05, HOME)
    assert "joint 3" in out.limited
    assert out.position[2] == pytest.approx(HOME[2] - 10.0 * STEP**2 / 2)  # half a step at rest before


def test_an_arm_that_lags_is_waited_for() -> None:
    guard, wish = engaged(), HOME + 1.0
    for i in range(200):
        out = guard.filter(i * STEP, STEP, wish, 0.05, HOME)
    assert np.abs(out.position - HOME).max() == pytest.approx(0.25)
    assert "waits for the arm" in out.limited


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (Workspace(table_height=float(forward(HOME)[2, 3]) - 0.2), "a finger would be 0.00. m deep in the table"),
        (Workspace(lower=(0.0, -0.55, 0.25)), "the tool would be 0.00. m outside the workspace"),
    ],
)
def test_setpoint_outside_the_workspace_holds_and_latches(space: Workspace, words: str) -> None:
    guard = engaged(GuardConfig(workspace=space))
    arm, wish = HOME, HOME + np.array([0.0, 0.8, 0.0, 0.0, 0.4, 0.0])  # lean forward and down
    for i in range(100):
        out = guard.filter(i * STEP, STEP, wish, 0.05, arm)
        if guard.fault:
            break
        arm = out.position
    assert re.search(words, guard.fault)
    np.testing.assert_array_equal(out.position, arm)


@pytest.mark.parametrize("bad", [None, [math.nan] * 6, [0.0] * 5, [0, 0, 0, 0, 0, math.inf]])
def test_invalid_setpoints_slow_down_hold_and_latch(bad: list | None) -> None:
    guard, path = engaged(), [HOME]
    for i in range(1, 10):
        path.append(guard.filter(i * STEP, STEP, HOME + 0.0005 * i**2, 0.05, path[-1]).position)
    for i in range(10, 40):
        out = guard.filter(i * STEP, STEP, bad, 0.05, path[-1])
        assert out.limited == "no valid set-point"
        assert bool(guard.fault) == (i * STEP - 0.1 >= 0.1 - 1e-9)
        path.append(out.position)
    assert "no valid set-point for 0.10 s" in guard.fault
    speed = np.diff(path, axis=0)[:, 0] / STEP
    assert speed[8] > 0.5
    assert np.diff(speed[8:20]).min() >= -10.0 * STEP * (1 + 1e-6)  # no faster than the acceleration limit
    assert speed[-1] == 0.0


def test_a_fault_stops_whatever_is_asked_for() -> None:
    guard, arm = engaged(), HOME
    for i in range(100):
        if i == 20:
            guard.latch("first")
            guard.latch("second")
        before, arm = arm, guard.filter(i * STEP, STEP, HOME - [1.0, 0, 0, 0, 0, 0], 0.05, arm).position
    assert guard.fault == "first"
    np.testing.assert_array_equal(arm, before)
    assert arm[0] > -0.9
    guard.clear()
    assert guard.filter(2.0, STEP, HOME - [1.0, 0, 0, 0, 0, 0], 0.05, arm).position[0] < arm[0]


def test_a_start_beyond_the_margin_may_only_lead_inwards() -> None:
    folded = np.zeros(6)  # J2 and J3 at their limits, as the arm rests
    guard = engaged(at=folded)
    out = guard.filter(0.0, STEP, [0, -0.5, 0.5, 0, 0, 0], 0.05, folded)
    np.testing.assert_array_equal(out.position, folded)
    out = guard.filter(STEP, STEP, [0, 0.5, -0.5, 0, 0, 0], 0.05, folded)
    assert out.position[1] > 0
    assert out.position[2] < 0


@pytest.mark.parametrize(
    ("target", "measured", "reason"),
    [
        (HOME + np.array([0, 0.1, 0, 0, 0, 0]), HOME, "0.100 rad from measured joint 2"),
        (HOME, HOME * math.nan, "not finite"),
        (HOME[:5], HOME, "not finite"),
        (
            HOME + np.array([3, 0, 0, 0, 0, 0]),
            HOME + np.array([3, 0, 0, 0, 0, 0]),
            "joint 1 is 0.382 rad beyond its limit",
        ),
    ],
)
def test_first_setpoint_is_refused(target: np.ndarray, measured: np.ndarray, reason: str) -> None:
    guard = Guard(OPEN_SPACE)
    with pytest.raises(RefusedError, match=reason):
        guard.engage(target, 0.05, measured)
    with pytest.raises(RefusedError, match="until the guard is engaged"):
        guard.filter(0.0, STEP, HOME, 0.05, HOME)


def test_latched_guard_does_not_start() -> None:
    guard = Guard(OPEN_SPACE)
    guard.latch("broken")
    with pytest.raises(RefusedError, match="broken"):
        guard.engage(HOME, 0.05, HOME)


def test_released_guard_passes_nothing() -> None:
    guard = engaged()
    guard.release()
    with pytest.raises(RefusedError, match="engaged"):
        guard.filter(0.0, STEP, HOME, 0.05, HOME)


@pytest.mark.parametrize("step", [0.0, -0.01, math.nan, 2.0])
def test_unusable_step_is_refused(step: float) -> None:
    with pytest.raises(RefusedError, match="step"):
        engaged().filter(0.0, step, HOME, 0.05, HOME)


@pytest.mark.parametrize(
    ("age", "allowance", "fault"),
    [
        (0.0, 1.0, ""),
        (0.049, 1.0, ""),
        (0.06, 0.0, ""),
        (0.9, 0.0, ""),
        (1.1, 0.0, "no joint feedback for 1.10 s"),
        (math.nan, 0.0, "no"),
    ],
)
def test_stale_feedback_holds_and_lost_feedback_latches(age: float, allowance: float, fault: str) -> None:
    guard = engaged()
    assert guard.allowance(10.0, 10.0 - age, HOME) == allowance
    assert guard.fault[: len(fault)] == fault
    assert bool(guard.fault) == bool(fault)


@pytest.mark.parametrize(("lead", "allowance"), [(0.1, 1.0), (0.125, 1.0), (0.1625, 0.5), (0.2, 0.0), (0.3, 0.0)])
def test_path_slows_down_as_the_lead_grows(lead: float, allowance: float) -> None:
    assert engaged().allowance(0.0, 0.0, HOME + np.array([0, 0, lead, 0, 0, 0])) == pytest.approx(allowance)


def test_a_blocked_arm_latches_after_a_while() -> None:
    guard, blocked = engaged(), HOME + np.array([0, 0, 0, 0.2, 0, 0])
    for now in (0.0, 0.9):
        guard.allowance(now, now, blocked)
    guard.allowance(0.95, 0.95, HOME)  # it moved: begin anew
    for now in (1.0, 1.9):
        guard.allowance(now, now, blocked)
    assert not guard.fault
    guard.allowance(2.0, 2.0, blocked)
    assert "joint 4 is 0.200 rad from its set-point" in guard.fault


def test_path_is_checked_against_joint_limits_and_workspace() -> None:
    guard = engaged(GuardConfig())
    guard.check_path(np.linspace(HOME, HOME + np.array([1.0, 0, 0, 0, 0, 0]), 20))
    with pytest.raises(RefusedError, match=r"joint 5 .* beyond its limit"):
        guard.check_path(np.linspace(HOME, HOME + np.array([0, 0, 0, 0, 0.65, 0]), 20))
    with pytest.raises(RefusedError, match=r"on the path a finger would be .* deep in the table"):
        guard.check_path(np.linspace(HOME, HOME + np.array([0, 1.0, 0, 0, 0.4, 0]), 20))


def test_path_that_begins_outside_may_lead_inwards() -> None:
    config = GuardConfig(workspace=Workspace(upper=(0.75, 0.1, 0.75)))
    outside = HOME + np.array([0.8, 0, 0, 0, 0, 0])
    guard = engaged(config, outside)
    guard.check_path(np.linspace(outside, HOME, 20))
    with pytest.raises(RefusedError, match="outside the workspace"):
        guard.check_path(np.linspace(outside, outside + np.array([0.2, 0, 0, 0, 0, 0]), 20))


@pytest.mark.parametrize(
    "change",
    [
        {"max_velocity": 3.5},
        {"max_velocity": 0.0},
        {"max_lead": -1.0},
        {"max_acceleration": math.inf},
        {"position_margin": -0.1},
        {"stale_after": 0.6},
        {"gripper_range": (0.0, 0.1)},
        {"joint_limits": ((-1.0, 1.0),) * 6},
        {"joint_limits": ((0.0, 0.001),) * 6},
        {"joint_limits": ((-1.0, 1.0),)},
    ],
)
def test_impossible_limits_are_refused(change: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(change)).split("_")[0]):
        replace(GuardConfig(), **change)


def test_the_operators_share_of_the_speed_is_kept() -> None:
    guard, arm, speeds = Guard(OPEN_SPACE), HOME, []
    guard.speed_scale = 0.5
    guard.engage(HOME, 0.05, HOME)
    for i in range(120):
        guard.speed_scale = 0.5 if i < 60 else 0.1
        out = guard.filter(i * STEP, STEP, HOME - [2.0, 0, 0, 0, 0, 0], 0.05, arm).position
        speeds.append(np.abs(out - arm).max() / STEP)
        arm = out
    assert max(speeds[:60]) == pytest.approx(1.0)
    assert speeds[-1] == pytest.approx(0.2)


def test_feedback_that_repeats_itself_latches_only_while_the_setpoint_moves() -> None:
    guard = engaged()
    for i in range(100):
        guard.allowance(i * STEP, i * STEP, HOME)
        guard.filter(i * STEP, STEP, HOME, 0.05, HOME)
    assert not guard.fault
    latched = next(i for i in range(100, 200) if moving_on(guard, i * STEP, i * STEP))
    assert "has not changed" in guard.fault
    assert latched * STEP - 1.0 >= guard.config.frozen_after  # an arm gets its time from standstill, too


def test_feedback_that_does_not_come_is_not_feedback_that_repeats_itself() -> None:
    guard = engaged()
    lost = next(i for i in range(400) if moving_on(guard, i * STEP, min(i * STEP, 0.1)))
    assert "no joint feedback" in guard.fault
    assert lost * STEP > guard.config.lost_after


def moving_on(guard: Guard, now: float, stamp: float) -> str:
    """Let the set-point go on while feedback of time `stamp` says that the arm stands; return the fault."""
    guard.allowance(now, stamp, HOME)
    guard.filter(now, STEP, HOME + 0.2, 0.05, HOME)
    return guard.fault


@pytest.mark.parametrize(
    ("joints", "words"),
    [
        ([0.0, 3.0, -2.3, -0.3, -0.9, 0.3], "the wrist would be .* in the table"),
        ([0.0, 2.9, -2.4, -1.6, -1.0, -1.6], "the wrist camera would be .* in the table"),
        ([0.0, 2.4, -1.0, -0.5, -1.2, 1.6], "(the wrist camera|a finger) would be .* in the table"),
        ([0.0, 0.6, -0.1, -0.7, 1.0, -1.9], "the wrist camera would be .* in the arm's base"),
        ([0.0, 1.3, -0.3, 0.1, 1.1, -1.6], "a finger would be .* in the arm's base"),
    ],
)
def test_no_part_may_go_into_table_or_base(joints: list[float], words: str) -> None:
    guard, goal = engaged(OPEN_SPACE_ON_A_TABLE), np.array(joints)
    with pytest.raises(RefusedError, match=f"on the path {words}"):
        guard.check_path(np.linspace(HOME, goal, 60))
    arm = HOME
    for i in range(600):
        arm = guard.filter(i * STEP, STEP, HOME + min(i / 400, 1.0) * (goal - HOME), 0.05, arm).position
        if guard.fault:
            break
    assert re.search(words, guard.fault)
    inside, _ = guard.config.body.depth(link_poses(arm), 0.0)
    assert inside <= 2e-3
