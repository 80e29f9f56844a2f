from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tristage_ros.devices.arm.body import Body
from tristage_ros.devices.arm.guard import Guard, GuardConfig
from tristage_ros.devices.arm.tool_speed import ToolSpeed, eased
from tristage_ros.devices.arm.trajectory import MotionLimits, Trajectory, Waypoint

HOME = np.array([0.0, 1.2, -1.1, 0.0, 0.9, 0.0])
CAP, STEP = 0.25, 0.01
LIMITS = MotionLimits()


def capped(cap: float = CAP) -> ToolSpeed:
    return ToolSpeed(cap, Body())


def follow(trajectory: Trajectory, feed: float) -> np.ndarray:
    """Return the targets [n, 6] until the path ends."""
    path = [trajectory.position.copy()]
    while trajectory.moving and len(path) < 5000:
        trajectory.advance(STEP, feed)
        path.append(trajectory.position.copy())
        if trajectory.waiting:
            trajectory.proceed()
    return np.array(path)


def speeds(path: np.ndarray) -> np.ndarray:
    return capped().fastest(path, STEP * np.arange(len(path)))


@pytest.mark.parametrize("feed", [1.0, 0.5, 0.1])
def test_a_path_keeps_the_cap_whatever_the_share_of_the_joints_speed(feed: float) -> None:
    goals = [HOME + np.array([1.2, 0.3, 0.0, 0.0, -0.3, 0.0]), HOME - np.array([1.0, 0.0, 0.2, 0.0, 0.0, 0.5]), HOME]
    took = {}
    for cap in (CAP, math.inf):
        trajectory = Trajectory(LIMITS, HOME, capped(cap))
        trajectory.follow(trajectory.plan([Waypoint(goal, 0.05, None) for goal in goals], 0.0, feed))
        path = follow(trajectory, feed)
        np.testing.assert_allclose(path[-1], HOME, atol=1e-9)
        took[cap] = len(path)
        acceleration = np.diff(path, 2, axis=0) / STEP**2
        assert np.abs(acceleration).max() <= 1.05 * LIMITS.total_acceleration
        if cap == CAP:
            assert speeds(path).max() <= CAP
    assert took[CAP] > 1.1 * took[math.inf] if feed == 1.0 else took[CAP] >= took[math.inf]
    if feed == 0.1:  # slower than the cap anyway
        assert took[CAP] == took[math.inf]


def test_a_timed_path_is_late_rather_than_too_fast_and_leads_where_it_led() -> None:
    turned = np.linspace(0.1, 1.2, 12)
    points = [Waypoint(HOME + np.array([j, 0, 0, 0, 0, 0]), 0.05, 0.1 * (k + 1)) for k, j in enumerate(turned)]
    trajectory = Trajectory(LIMITS, HOME, capped())
    trajectory.follow(trajectory.plan(points, 0.0, 1.0))
    path = follow(trajectory, 1.0)
    assert speeds(path).max() <= CAP
    assert STEP * len(path) > 1.5
    np.testing.assert_allclose(path[-1], points[-1].position, atol=1e-9)
    assert np.abs(path[:, 1:] - HOME[1:]).max() < 1e-9


def test_a_path_that_was_planned_a_moment_ago_keeps_the_cap_too() -> None:
    trajectory = Trajectory(LIMITS, HOME, capped())
    goals = [Waypoint(HOME + np.array([j, 0, 0, 0, 0, 0]), 0.05, None) for j in (0.8, -0.8)]
    path = trajectory.plan(goals, 0.0, 1.0)
    trajectory.position = HOME + 0.01
    again = trajectory.rebased(path, 0.02, 1.0)
    assert again is not path
    trajectory.follow(again)
    assert speeds(follow(trajectory, 1.0)).max() <= CAP


def test_limits_are_lowered_as_early_as_the_feed_rate_needs() -> None:
    slope = 3.0
    given = [np.full(51, np.inf), np.array([0.2, 0.5, 0.2])]
    first, second = eased(given, [1.0, 0.04], slope)
    assert first[0] > 1.5 > first[40] > first[-1] >= second[0] == 0.2
    profile = np.concatenate([first, second[1:]])
    assert (np.diff(np.square(profile)) >= -2.0 * slope * 0.02).all()  # what a feed rate that falls by `slope` can do
    assert (second <= given[1]).all()
    assert second[1] == pytest.approx(math.sqrt(0.2**2 + 2.0 * 0.7 * slope * 0.02))


@settings(max_examples=25, deadline=None)
@given(goal=st.lists(st.floats(-1.5, 1.5), min_size=6, max_size=6), scale=st.sampled_from([0.3, 1.0]))
def test_the_guard_lets_no_point_go_faster_whatever_is_proposed(goal: list[float], scale: float) -> None:
    guard = Guard(replace(GuardConfig(), tool_speed=CAP))
    guard.speed_scale = scale
    guard.engage(HOME, 0.05, HOME)
    path = [HOME]
    for i in range(80):
        path.append(guard.filter(i * STEP, STEP, HOME + goal, 0.05, path[-1]).position)
    assert speeds(np.array(path)).max() <= CAP * 1.005  # of an arc, whose chord is what is scaled


def test_an_elbow_that_swings_counts_where_the_tool_stands_still() -> None:
    folded = np.array([0.0, 1.2, -1.1, 0.0, 0.9, 0.0])
    turned = folded + np.array([0.0, 0.05, 0.0, 0.0, 0.0, 0.0])
    speed = capped().fastest(np.stack([folded, turned]), np.array([0.0, STEP]))[0]
    assert speed >= 0.285 * 0.05 / STEP * 0.99


@pytest.mark.parametrize("cap", [0.0, -1.0, math.nan])
def test_a_cap_that_is_none_is_refused(cap: float) -> None:
    with pytest.raises(ValueError, match="tool_speed is above 0"):
        GuardConfig(tool_speed=cap)
