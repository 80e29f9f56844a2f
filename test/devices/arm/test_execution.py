from __future__ import annotations

import math

import numpy as np
import pytest

from tristage_ros.devices.arm.trajectory import Execution, GripperTiming, MotionLimits, Waypoint

STEP = 0.01
OPEN, CLOSED = 0.07, 0.0
NEAR, FAR = np.full(6, 0.1), np.full(6, 0.3)


def execution_of(*waypoints: Waypoint) -> Execution:
    execution = Execution(MotionLimits(), GripperTiming(settle=0.5, travel=0.6), np.zeros(6), OPEN)
    execution.start(execution.trajectory.plan(waypoints, 0.0, 1.0))
    return execution


def run(execution: Execution, seconds: float, lag: float = 0.0, opening: float | None = None) -> list[tuple]:
    """Return (position of joint 1, gripper target) of every step; None: the gripper is at its target at once."""
    rows = []
    for _ in range(round(seconds / STEP)):
        measured = execution.trajectory.position - lag
        execution.advance(STEP, 1.0, measured, execution.gripper if opening is None else opening)
        rows.append((float(execution.trajectory.position[0]), execution.gripper))
    return rows


def test_gripper_acts_on_arrival_and_the_path_goes_on_when_it_is_done() -> None:
    execution = execution_of(Waypoint(NEAR, CLOSED, None), Waypoint(FAR, CLOSED, None))
    rows = run(execution, 2.0)
    closing = next(i for i, row in enumerate(rows) if row[1] == CLOSED)
    assert rows[closing][0] == 0.1
    assert all(row == (0.1, CLOSED) for row in rows[closing : closing + 2])
    assert rows[-1] == (0.3, CLOSED)
    assert not execution.busy


def test_a_gripper_that_holds_something_gets_its_time() -> None:
    execution = execution_of(Waypoint(NEAR, CLOSED, None), Waypoint(FAR, CLOSED, None))
    rows = run(execution, 2.0, opening=0.03)
    held = [row for row in rows if row == (0.1, CLOSED)]
    assert len(held) * STEP == pytest.approx(0.6, abs=0.03)


def test_a_key_frame_without_gripper_motion_does_not_wait() -> None:
    execution = execution_of(Waypoint(NEAR, OPEN, None), Waypoint(FAR, OPEN, None))
    rows = run(execution, 2.0, opening=0.03)
    assert sum(row[0] == 0.1 for row in rows) <= 2


@pytest.mark.parametrize("lag", [0.004, 0.015])
def test_gripper_acts_once_the_arm_is_near_and_at_rest(lag: float) -> None:
    execution = execution_of(Waypoint(NEAR, CLOSED, None))
    rows = run(execution, 2.0, lag=lag)
    waiting = [row for row in rows if row == (0.1, OPEN)]
    assert len(waiting) * STEP <= 0.13
    assert rows[-1][1] == CLOSED and not execution.short


def test_the_gripper_does_nothing_where_the_arm_comes_to_rest_elsewhere() -> None:
    execution = execution_of(Waypoint(NEAR, CLOSED, None), Waypoint(FAR, CLOSED, None))
    rows = run(execution, 3.0, lag=0.05)
    assert {row[1] for row in rows} == {OPEN}
    assert execution.short == "not reached, joint 1 0.050 rad short" and not execution.busy


def test_gripper_acts_in_passing_at_timed_waypoints() -> None:
    execution = execution_of(*(Waypoint(np.full(6, 0.05 * i), OPEN if i < 3 else CLOSED, 0.2 * i) for i in range(1, 6)))
    rows = run(execution, 1.5)
    closing = next(i for i, row in enumerate(rows) if row[1] == CLOSED)
    assert rows[closing][0] == pytest.approx(0.15, abs=0.01)
    assert rows[closing + 1][0] > rows[closing][0]
    assert not execution.busy


def test_no_feed_means_no_gripper_motion() -> None:
    execution = execution_of(Waypoint(np.zeros(6), CLOSED, None))
    for _ in range(100):
        execution.advance(STEP, 0.0, np.zeros(6), OPEN)
    assert execution.gripper == OPEN
    assert execution.busy


@pytest.mark.parametrize("change", [{"settle": -1.0}, {"travel": math.nan}])
def test_impossible_timing_is_refused(change: dict) -> None:
    with pytest.raises(ValueError, match="finite and not negative"):
        GripperTiming(**change)
