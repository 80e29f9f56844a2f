"""Joint states of other devices: what fits is taken by name, and of what does not the joint and the remedy are told."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tristage_ros.devices.arm.named_joints import NamedJoints
from tristage_ros.devices.arm.twist import check_twist

GELLO = NamedJoints(
    names=("base", "shoulder", "elbow", "roll", "pitch", "wrist"),
    units="deg",
    signs=(1.0, -1.0, 1.0, 1.0, 1.0, -1.0),
    offsets=(0.0, math.pi / 2, 0.0, 0.0, 0.0, 0.0),
    gripper="trigger",
    closed=100.0,
    opened=0.0,
)
OURS = [f"joint{k}" for k in range(1, 7)]


def test_joints_are_taken_by_name_with_units_signs_and_offsets() -> None:
    names = ["trigger", "wrist", "pitch", "roll", "elbow", "shoulder", "base", "something else"]
    led = GELLO.led(7.0, names, [25.0, 60.0, 50.0, 40.0, -30.0, 20.0, 10.0, 1e9])
    assert np.allclose(np.degrees(led.position), [10.0, 70.0, -30.0, 40.0, 50.0, -60.0])
    assert led.gripper == pytest.approx(0.0525) and led.stamp == 7.0


@pytest.mark.parametrize(
    ("names", "positions", "words"),
    [
        (OURS[:5], [0.0] * 5, r"no joint6 in the joint states \(joint1, .*set leader_joint_names"),
        (["a", "b", "c", "d", "e", "f"], [0.0] * 6, "no joint1, joint2"),
        ([], [0.0] * 6, r"6 positions for the names \(none\)"),
        ([*OURS[:5], "joint1"], [0.0] * 6, "one each"),
        (OURS, [0.0, math.nan, 0.0, 0.0, 0.0, 0.0], "joint2 is nan, not a number to follow"),
        (OURS, [0.0, 68.4, 0.0, 0.0, 0.0, 0.0], "joint2 is 68.4 rad, farther.*is it in degrees"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(names: list[str], positions: list[float], words: str) -> None:
    with pytest.raises(ValueError, match=words) as told:
        NamedJoints().led(0.0, names, positions)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"names": ("a",) * 6}, "leader_joint_names are six different"),
        ({"units": "grad"}, "leader_joint_units is one of rad, deg"),
        ({"signs": (1.0, 2.0, 1.0, 1.0, 1.0, 1.0)}, "leader_joint_signs"),
        ({"offsets": (math.nan,) * 6}, "leader_joint_offsets"),
        ({"closed": 0.5, "opened": 0.5}, "two different numbers"),
        ({"gripper": "joint3"}, "which is a joint, too"),
    ],
)
def test_a_declaration_that_describes_no_six_joints_is_refused(wrong: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        NamedJoints(**wrong)


@pytest.mark.parametrize(
    ("linear", "angular", "words"),
    [
        ([math.nan, 0.0, 0.0], [0.0] * 3, "not finite"),
        ([250.0, 0.0, 0.0], [0.0] * 3, "250 m/s.*in mm/s"),
        ([0.0] * 3, [0.0, 45.0, 0.0], "45 rad/s.*in degrees"),
    ],
)
def test_a_twist_in_another_unit_is_refused(linear: list[float], angular: list[float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_twist(np.array(linear), np.array(angular))
