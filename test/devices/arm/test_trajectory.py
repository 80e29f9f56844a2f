from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tristage_ros.devices.arm.trajectory import MotionLimits, Trajectory, Waypoint

STEP = 0.01
LIMITS = MotionLimits()
JOINTS = st.lists(st.floats(-1.5, 1.5), min_size=6, max_size=6).map(np.array)


def key_frames(*positions: np.ndarray) -> list[Waypoint]:
    return [Waypoint(np.array(position, dtype=float), 0.07, None) for position in positions]


def timed(start: float, time_step: float, positions: np.ndarray) -> list[Waypoint]:
    return [Waypoint(position, 0.07, start + (i + 1) * time_step) for i, position in enumerate(positions)]


def go(trajectory: Trajectory, waypoints: list[Waypoint], feed: float = 1.0, now: float = 0.0) -> None:
    trajectory.follow(trajectory.plan(waypoints, now, feed))


def run(trajectory: Trajectory, steps: int, feed: float = 1.0) -> np.ndarray:
    positions = []
    for _ in range(steps):
        trajectory.advance(STEP, feed)
        trajectory.proceed()
        positions.append(trajectory.position)
    return np.array(positions)


EVENTS = st.lists(
    st.tuples(
        st.integers(1, 30),  # steps until the event
        st.floats(0.0, 1.0),  # feed rate from here on
        st.one_of(st.none(), st.lists(JOINTS, min_size=1, max_size=4)),  # new goals
        st.one_of(st.none(), st.floats(0.02, 0.5)),  # their time step; None: key frames
    ),
    max_size=10,
)


@settings(deadline=None)
@given(start=JOINTS, events=EVENTS)
def test_every_step_keeps_the_limits(start: np.ndarray, events: list) -> None:
    trajectory, path, now = Trajectory(LIMITS, start), [start, start], 0.0
    for steps, feed, goals, time_step in events:
        if goals is not None:
            waypoints = key_frames(*goals) if time_step is None else timed(now, time_step, np.array(goals))
            before = trajectory.position.copy(), trajectory.velocity.copy()
            go(trajectory, waypoints, feed, now)
            np.testing.assert_array_equal((trajectory.position, trajectory.velocity), before)
        path.extend(run(trajectory, steps, feed))
        now += steps * STEP
    velocity = np.diff(path, axis=0) / STEP
    assert np.abs(velocity).max() <= LIMITS.velocity * (1 + 1e-6)
    assert np.abs(np.diff(velocity, axis=0)).max(initial=0.0) / STEP <= LIMITS.total_acceleration * 1.05


@settings(deadline=None)
@given(start=JOINTS, goal=JOINTS)
def test_rest_to_rest_is_straight_and_arrives(start: np.ndarray, goal: np.ndarray) -> None:
    trajectory = Trajectory(LIMITS, start)
    go(trajectory, key_frames(goal))
    path = run(trajectory, 400)
    assert not trajectory.moving
    np.testing.assert_allclose(path[-1], goal, atol=1e-9)
    distance = goal - start
    if np.abs(distance).max() > 1e-3:
        share = (path - start) @ distance / (distance @ distance)
        np.testing.assert_allclose(path, start + share[:, None] * distance, atol=1e-6)


@pytest.mark.parametrize("change", [0.0, 0.3, 0.6])
def test_lower_feed_rate_follows_the_same_path(change: float) -> None:
    goals = np.array([[0.5, -0.4, 0.3, 0.2, -0.1, 0.6], [0.1, 0.5, 0.3, -0.2, 0.3, 0.0]])
    reference, slowed = Trajectory(LIMITS, np.zeros(6)), Trajectory(LIMITS, np.zeros(6))
    go(reference, timed(0.0, 0.5, goals))
    go(slowed, timed(0.0, 0.5, goals))
    path = np.array([reference.position, *run(reference, 300)])
    slow = np.concatenate([run(slowed, 40), run(slowed, 60, change), run(slowed, 400)])
    distances = np.linalg.norm(slow[:, None] - path[None], axis=2).min(1)
    assert distances.max() < 0.01  # half the distance between two positions of the reference
    np.testing.assert_allclose(slow[-1], goals[-1], atol=1e-9)


def test_feed_rate_zero_decelerates_and_holds() -> None:
    trajectory = Trajectory(LIMITS, np.zeros(6))
    go(trajectory, key_frames(np.ones(6)))
    run(trajectory, 40)
    assert np.abs(trajectory.velocity).max() == pytest.approx(1.5, abs=0.1)
    path = run(trajectory, 50, feed=0.0)
    speed = np.diff(path, axis=0)[:, 0] / STEP
    assert (np.diff(speed) < 1e-9).all()
    assert speed[-1] == 0.0
    assert trajectory.moving
    trajectory.drop()
    np.testing.assert_array_equal(run(trajectory, 10), np.tile(path[-1], (10, 1)))


def test_waypoints_with_due_times_are_met_in_time() -> None:
    times = 0.1 * np.arange(1, 11)
    positions = np.sin(times)[:, None] * np.linspace(0.1, 0.6, 6)
    trajectory = Trajectory(LIMITS, np.zeros(6))
    go(trajectory, timed(0.0, 0.1, positions))
    path = run(trajectory, 130)
    lag = np.abs(path[9:100:10] - positions).max(1)
    assert lag[4:].max() < 0.02  # after accelerating from rest
    np.testing.assert_allclose(path[-1], positions[-1], atol=1e-9)
    middle = np.abs(np.diff(path[20:90], axis=0)).min(0)
    assert (middle > 1e-4).all()  # waypoints are passed, not stopped at


def test_due_times_are_met_at_a_lower_feed_rate_where_the_limits_allow() -> None:
    positions = np.linspace(0.05, 0.5, 10)[:, None] * np.ones(6)
    trajectory = Trajectory(LIMITS, np.zeros(6))
    go(trajectory, timed(0.0, 0.1, positions), feed=0.5)
    path = run(trajectory, 160, feed=0.5)
    assert np.abs(path[99] - positions[-1]).max() < 0.15  # late by the acceleration from rest only
    np.testing.assert_allclose(path[-1], positions[-1], atol=1e-9)


@settings(deadline=None)
@given(goals=st.lists(JOINTS, min_size=2, max_size=6), time_step=st.floats(0.02, 1.0))
def test_no_joint_makes_a_detour_from_rest(goals: list[np.ndarray], time_step: float) -> None:
    goals = np.array(goals)
    trajectory = Trajectory(LIMITS, goals[0])
    path = trajectory.plan(timed(0.0, time_step, goals[1:]), 0.0, 1.0).positions()
    braking = LIMITS.velocity**2 / (2 * LIMITS.acceleration)
    assert (path >= goals.min(0) - braking).all()
    assert (path <= goals.max(0) + braking).all()
    first = path[: np.abs(path - goals[1]).max(1).argmin()]
    assert (first >= np.minimum(goals[0], goals[1]) - 2e-3).all()
    assert (first <= np.maximum(goals[0], goals[1]) + 2e-3).all()


def test_key_frames_wait_to_be_let_go() -> None:
    goals = [np.full(6, 0.2), np.full(6, -0.2)]
    trajectory = Trajectory(LIMITS, np.zeros(6))
    go(trajectory, key_frames(*goals))
    reached = [waypoint for _ in range(200) for waypoint in trajectory.advance(STEP, 1.0)]
    assert [waypoint.position[0] for waypoint in reached] == [0.2]
    assert trajectory.waiting is reached[0]
    np.testing.assert_array_equal(trajectory.position, goals[0])
    trajectory.proceed()
    assert trajectory.waiting is None
    run(trajectory, 200)
    np.testing.assert_array_equal(trajectory.position, goals[1])


def test_pause_goes_on_from_standstill() -> None:
    trajectory = Trajectory(LIMITS, np.zeros(6))
    go(trajectory, key_frames(np.ones(6)))
    run(trajectory, 40)
    here = trajectory.position.copy()
    trajectory.pause()
    path = run(trajectory, 300)
    assert np.abs(path[0] - here).max() < 1e-3
    np.testing.assert_allclose(path[-1], np.ones(6), atol=1e-9)


@pytest.mark.parametrize("waypoints", [[], key_frames(np.full(6, math.nan)), key_frames(np.full(6, math.inf))])
def test_impossible_waypoints_are_refused(waypoints: list[Waypoint]) -> None:
    with pytest.raises(ValueError, match="at least one waypoint, all of them finite"):
        Trajectory(LIMITS, np.zeros(6)).plan(waypoints, 0.0, 1.0)


@pytest.mark.parametrize("change", [{"velocity": 0.0}, {"acceleration": math.inf}, {"feed_slope": math.nan}])
def test_impossible_limits_are_refused(change: dict) -> None:
    with pytest.raises(ValueError, match="positive and finite"):
        MotionLimits(**change)
