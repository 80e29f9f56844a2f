from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tristage_ros.devices.arm.chunks import ChunkLimits, check, waypoints
from tristage_ros.devices.arm.guard import GuardConfig, RefusedError
from tristage_ros.devices.arm.kinematics import JOINT_LIMITS, forward, matrix_to_quaternion, rpy_to_matrix, tool_pose
from tristage_ros.devices.arm.values import ActionChunk
from tristage_ros.devices.arm.workspace import Workspace

HOME = np.array([0.0, 1.2, -1.0, 0.0, 0.6, 0.0])
TOOL = tool_pose(forward(HOME))
LIMITS, GUARD = ChunkLimits(), GuardConfig()
NOW, ANYWHERE = 100.0, Workspace((-1.0, -1.0, -1.0), (1.0, 1.0, 1.5), -1.0)


def chunk(*translations: tuple[float, float, float], time_step: float = 0.0) -> ActionChunk:
    n = len(translations)
    orientation = np.tile(matrix_to_quaternion(TOOL[:3, :3]), (n, 1))
    return ActionChunk(100.0, time_step, np.array(translations, dtype=float), orientation, np.linspace(0, 1, n))


GOOD = chunk((0.02, 0, 0), (0.04, 0, 0))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"translation": np.full((2, 3), math.nan)}, "translation of action 1 is not finite"),
        ({"orientation": np.full((2, 4), math.inf)}, "orientation of action 1 is not finite"),
        ({"gripper": np.array([0.0, math.nan])}, "gripper of action 2 is not finite"),
        ({"translation": np.zeros((3, 3))}, r"translation has shape \(3, 3\)"),
        ({"orientation": np.zeros((2, 3))}, r"orientation has shape \(2, 3\)"),
        ({"orientation": np.zeros((2, 4))}, "orientation has length 0.000"),
        ({"gripper": np.zeros(0)}, "shape"),
        ({"time_step": -0.1}, "time_step"),
        ({"time_step": math.nan}, "time_step"),
        ({"stamp": 99.3}, "0.80 s old, more than 0.5"),
        ({"stamp": math.nan}, "nan s old"),
    ],
)
def test_malformed_or_old_chunks_are_refused(change: dict, reason: str) -> None:
    check(GOOD, 100.1, LIMITS)
    with pytest.raises(RefusedError, match=reason):
        check(replace(GOOD, **change), 100.1, LIMITS)


def test_translation_is_relative_to_the_tool_at_the_observation() -> None:
    measured = HOME + 0.05
    for waypoint, wish in zip(waypoints(GOOD, 100.0, HOME, measured, LIMITS, GUARD), (0.02, 0.04), strict=True):
        tool = tool_pose(forward(waypoint.position))
        np.testing.assert_allclose(tool[:3, 3], TOOL[:3, 3] + [wish, 0, 0], atol=1e-6)
        np.testing.assert_allclose(tool[:3, :3], TOOL[:3, :3], atol=1e-6)
        assert waypoint.due is None


def test_gripper_covers_its_range_and_is_clamped() -> None:
    wide = replace(GOOD, gripper=np.array([-0.2, 1.3]))
    assert [w.gripper for w in waypoints(wide, 100.0, HOME, HOME, LIMITS, GUARD)] == [0.0, 0.07]


def test_timed_actions_in_the_past_are_dropped() -> None:
    timed = chunk((0.01, 0, 0), (0.02, 0, 0), (0.03, 0, 0), time_step=0.1)
    kept = waypoints(timed, 100.15, HOME, HOME, LIMITS, GUARD)
    assert [w.due for w in kept] == pytest.approx([100.2, 100.3])
    with pytest.raises(RefusedError, match=r"all 3 actions were due before now, the last 0\.10 s ago"):
        waypoints(timed, 100.4, HOME, HOME, LIMITS, GUARD)


@pytest.mark.parametrize(
    ("translations", "reason"),
    [
        ([(0, 0, 0.03), (0.4, 0.0, -0.1)], "action 2 of 2: .*farther away than the arm reaches"),
        ([(-0.3, 0.0, -0.1)], "action 1 of 1: .*joints beyond their limits"),
        ([(0.0, 0.0, -0.5)], r"action 1 of 1: tool at \(.*\) m is 0.2\d\d m outside the workspace"),
        ([(0.0, -0.53, 0.3)], r"the tool would go 0.609 m, more than 0.6 m at once"),
    ],
)
def test_poses_that_cannot_or_must_not_be_reached_are_refused(translations: list, reason: str) -> None:
    with pytest.raises(RefusedError, match=reason):
        waypoints(chunk(*translations), 100.0, HOME, HOME, LIMITS, GUARD)


def test_a_little_outside_the_workspace_is_moved_in() -> None:
    floor = replace(GUARD, workspace=replace(GUARD.workspace, lower=(0.0, -0.55, TOOL[2, 3] - 0.01)))
    (waypoint,) = waypoints(chunk((0, 0, -0.02)), 100.0, HOME, HOME, LIMITS, floor)
    assert tool_pose(forward(waypoint.position))[2, 3] == pytest.approx(TOOL[2, 3] - 0.01, abs=1e-6)


def test_large_joint_changes_are_refused() -> None:
    with pytest.raises(RefusedError, match=r"joint \d would turn 0\.\d\d rad, more than 0.05"):
        waypoints(chunk((0, 0.1, 0)), 100.0, HOME, HOME, replace(LIMITS, max_joint_change=0.05), GUARD)


def test_old_firmware_has_other_joints_for_the_same_motion() -> None:
    (waypoint,) = waypoints(chunk((0, 0, 0)), 100.0, HOME, HOME, LIMITS, GUARD, dh_is_offset=False)
    tool = tool_pose(forward(waypoint.position, False))
    np.testing.assert_allclose(tool[:3, 3], tool_pose(forward(HOME, False))[:3, 3], atol=1e-6)


@pytest.mark.parametrize("change", [{"max_age": -1.0}, {"max_distance": math.nan}, {"clamp_distance": math.inf}])
def test_impossible_limits_are_refused(change: dict) -> None:
    with pytest.raises(ValueError, match="finite and not negative"):
        ChunkLimits(**change)


def test_no_small_action_that_is_accepted_turns_a_joint_far() -> None:
    """5000 actions of 5 mm and up to 2.7 degrees, half of them near the wrist's singularity."""
    draw = np.random.default_rng(0)
    low, high = JOINT_LIMITS[:, 0] + 0.1, JOINT_LIMITS[:, 1] - 0.1
    accepted, refused = 0, []
    for number in range(5000):
        measured = draw.uniform(low, high)
        if number % 2:
            measured[4] = draw.uniform(-0.1, 0.1)
        tool = tool_pose(forward(measured))
        way, turn = draw.normal(size=3), draw.normal(size=3)
        turned = rpy_to_matrix(turn * np.radians(2.7) * draw.uniform() / np.linalg.norm(turn)) @ tool[:3, :3]
        chunk = ActionChunk(
            NOW, 0.0, (0.005 * way / np.linalg.norm(way))[None], matrix_to_quaternion(turned)[None], np.ones(1)
        )
        guard = GuardConfig(workspace=ANYWHERE)
        try:
            (goal,) = waypoints(chunk, NOW, measured, measured, ChunkLimits(), guard)
        except RefusedError as error:
            refused.append((abs(np.sin(measured[4])), str(error)))
            continue
        accepted += 1
        assert np.abs(goal.position - measured).max() <= 0.3
    flipped = [near for near, reason in refused if "would turn" in reason]
    assert accepted > 2500 and np.mean([near > 0.1 for near in flipped]) < 0.12
