from __future__ import annotations

import math
import re

import numpy as np
import pytest

from tristage_ros.devices.arm.following import Ended, Following, Tolerances, Tracked
from tristage_ros.devices.arm.trajectory import Waypoint

GOAL, OPENING = np.array([0.1, 0.2, -0.3, 0.0, 0.5, 0.6]), 0.03
STEP = 0.01


class Follower:
    """A path that is being followed, and what the arm does meanwhile."""

    def __init__(self, **tolerances: object) -> None:
        self.following = Following(100.0, [Waypoint(GOAL, OPENING, 101.0)], Tolerances(**tolerances), 3)
        self.now = 100.0

    def look(self, off: float = 0.0, turns: float = 0.0, opening: float = OPENING, busy: bool = True) -> str:
        """Go on by a step, joint 3 `off` rad from its target and faster by `turns` rad/s."""
        self.now += STEP
        third = np.eye(6)[2]
        target = (GOAL, np.zeros(6), OPENING)
        return self.following.look(Tracked(self.now, 2, *target, GOAL + off * third, turns * third, opening), busy)

    def rest(self, seconds: float, **measured: float) -> str:
        """Stand with the targets at the end; return the last complaint."""
        return [self.look(busy=False, **measured) for _ in range(round(seconds / STEP))][-1]


def third(value: float) -> np.ndarray:
    return np.where(np.arange(6) == 2, value, math.inf)


@pytest.mark.parametrize(
    ("tolerances", "inside", "outside", "words"),
    [
        ({"path": third(0.1)}, {"off": -0.09}, {"off": -0.12}, r"joint 3 is at -0\.420 rad .* -0\.300, off by 0\.120"),
        ({"path_velocity": third(0.5)}, {"turns": 0.4}, {"turns": 0.6}, r"joint 3 turns at 0\.600 rad/s .* 0\.5 of"),
        ({}, {"off": 9.0, "turns": 9.0}, None, ""),
    ],
)  # fmt: skip
def test_a_path_is_given_up_once_a_joint_is_too_far_off(tolerances, inside, outside, words) -> None:
    follower = Follower(**tolerances)
    assert follower.look(**inside) == "" and follower.following.ended is None
    if outside:
        assert follower.look(**outside) == follower.following.reason
        assert follower.following.ended is Ended.OFF_PATH
        assert re.match(words, follower.following.reason), follower.following.reason
        assert follower.look(**outside) == "", "it is said once"


def test_an_arm_is_there_once_it_is_near_and_at_rest() -> None:
    follower = Follower()
    follower.rest(0.05, off=0.2)
    assert follower.following.ended is None
    for off in np.arange(0.04, 0.01, -0.003):  # near, and going on
        follower.rest(STEP, off=float(off))
    assert follower.following.ended is None
    follower.rest(0.15, off=0.01)
    assert follower.following.ended is Ended.REACHED and follower.following.reason == ""


def test_one_that_never_rests_is_there_when_its_time_is_over() -> None:
    follower = Follower(leeway=0.5)
    for i in range(60):
        follower.rest(STEP, off=0.01 * (-1) ** i)
    assert follower.following.ended is Ended.REACHED


@pytest.mark.parametrize(
    ("tolerances", "measured", "words"),
    [
        ({}, {"off": 0.06}, "joint 3 is at -0.240 rad instead of -0.300, off by 0.060, more than 0.05 of"),
        ({"goal_velocity": third(0.1)}, {"turns": 0.2}, "joint 3 turns at 0.200 rad/s instead of 0.000"),
        ({"goal_gripper": 0.005}, {"opening": 0.05}, "gripper is at 0.0500 m instead of 0.0300, off by 0.0200"),
    ],
)  # fmt: skip
def test_one_that_stays_away_is_short_of_its_goal_after_its_time(tolerances, measured, words) -> None:
    follower = Follower(leeway=0.5, **tolerances)
    follower.rest(0.45, **measured)
    assert follower.following.ended is None
    follower.rest(0.1, **measured)
    assert follower.following.ended is Ended.SHORT_OF_GOAL and words in follower.following.reason
    patient = Follower(**{**tolerances, "leeway": math.inf})
    patient.rest(20.0, **measured)
    assert patient.following.ended is None
    patient.rest(0.2)
    assert patient.following.ended is Ended.REACHED


def test_the_time_a_slow_path_takes_is_not_counted() -> None:
    follower = Follower(leeway=0.5)
    for _ in range(500):
        follower.look()
    follower.rest(0.2)
    assert follower.following.ended is Ended.REACHED


def test_how_it_ended_first_is_how_it_ended() -> None:
    follower = Follower(path=third(0.1))
    follower.look(off=0.2)
    follower.following.end(Ended.ABORTED, "held")
    assert follower.following.ended is Ended.OFF_PATH
    assert "path_tolerance" in follower.following.reason
