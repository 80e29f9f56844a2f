from __future__ import annotations

import math

import numpy as np
import pytest

from tristage_ros.devices.arm.guard import GuardConfig, RefusedError
from tristage_ros.devices.arm.joint_path import JointPath, waypoints

HOME = np.array([0.0, 1.2, -1.1, 0.0, 0.9, 0.0])
NOW = 100.0


def path(**changes: object) -> JointPath:
    given = {"start": NOW, "times": np.array([0.5, 1.0]), "position": np.stack([HOME, HOME + 0.1])}
    return JointPath(**{**given, **changes})


def goals(of: JointPath) -> list:
    return waypoints(of, NOW, HOME, 0.03, GuardConfig())


def test_points_become_waypoints_with_their_times_and_the_gripper_stays() -> None:
    first, second = goals(path())
    assert (first.due, second.due) == (100.5, 101.0)
    np.testing.assert_array_equal(second.position, HOME + 0.1)
    assert first.gripper == second.gripper == 0.03


def test_past_points_are_left_out_and_an_opening_is_clamped() -> None:
    late = path(start=NOW - 0.4, times=np.array([0.3, 1.0]), gripper=np.array([0.0, 0.2]))
    (last,) = goals(late)
    assert last.due == pytest.approx(100.6)
    assert last.gripper == 0.07


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"start": NOW - 5.0}, r"was to begin 5\.00 s ago"),
        ({"start": NOW - 0.4, "times": np.array([0.1, 0.2])}, r"all 2 points were due before now, the last 0\.20 s"),
        ({"times": np.zeros(0), "position": np.zeros((0, 6))}, "1 to 2000 points, not 0"),
        ({"position": np.zeros((2, 5))}, r"shape \(2, 5\)"),
        ({"gripper": np.zeros(3)}, "six joints"),
        ({"position": np.stack([HOME, HOME * math.nan])}, "not finite"),
        ({"start": math.nan}, "not finite"),
        ({"start": NOW + 60.0}, r"begins 60\.00 s from now"),
        ({"times": np.array([1.0, 1.0])}, "times grow"),
        ({"times": np.array([-1.0, 1.0])}, "times grow"),
        ({"times": np.array([1.0, 500.0])}, "within 120"),
        ({"position": np.stack([HOME + 3.5, HOME])}, r"point 1: joint 5 would turn 3\.50 rad"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict, reason: str) -> None:
    with pytest.raises(RefusedError, match=reason):
        goals(path(**changes))
