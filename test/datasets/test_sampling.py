"""Which moments become frames: rates, gaps, idle ends, pauses, grasps and corners."""

import numpy as np
import pytest

from tristage_ros.datasets.sampling import LEAD, TAIL, at_key_frames, at_rate, busy, key_moments
from tristage_ros.datasets.track import Track
from tristage_ros.devices.arm.kinematics import flange_pose, forward, inverse, quaternion_to_matrix, tool_pose

START = np.array([0.0, 1.3, -1.2, 0.0, 0.9, 0.0])
RATE = 100.0  # Hz


def track_of(*legs, opening=0.07):
    """Return the track of a tool that goes legs: (s, m to go [3], gripper's opening); nothing but these moves."""
    joints, tool = START, tool_pose(forward(START))
    measured, told = [], []
    fingers = opening
    for seconds, way, opening in legs:
        for share in np.arange(1, round(seconds * RATE) + 1) / round(seconds * RATE):
            pose = tool.copy()
            pose[:3, 3] += share * np.array(way)
            joints = inverse(flange_pose(pose), joints)
            fingers += float(np.clip(opening - fingers, -0.1 / RATE, 0.1 / RATE))
            measured.append([*joints, fingers])
            told.append([*joints, opening])
        tool = pose
    stamps = 100.0 + np.arange(len(measured)) / RATE
    return Track(stamps, np.array(measured), stamps, np.array(told), ["policy"] * len(stamps), True)


STAY = (0.0, 0.0, 0.0)


def test_a_rate_takes_the_nearest_frames_in_equal_steps():
    stamps = 50.0 + np.arange(60) / 30.0 + np.random.default_rng(0).normal(0, 0.002, 60)
    chosen = at_rate(stamps, 10.0)
    assert len(chosen) == len(set(chosen)) and chosen[0] == 0
    assert np.diff(stamps[chosen]) == pytest.approx(0.1, abs=0.03) and stamps[chosen[-1]] > 51.8
    assert at_rate(stamps, 30.0) == list(range(60)) and at_rate(stamps[:1], 5.0) == [0]


def test_a_camera_that_is_slower_than_the_rate_and_a_gap_are_told_with_their_figures():
    with pytest.raises(ValueError, match=r"frames come at 5\.0 Hz, not at the 10 Hz"):
        at_rate(50.0 + np.arange(20) / 5.0, 10.0)
    stamps = 50.0 + np.arange(40) / 20.0
    with pytest.raises(ValueError, match=r"no whole frame for 0\.75 s after 0\.50 s"):
        at_rate(np.delete(stamps, np.arange(11, 25)), 10.0)


def test_idle_ends_are_left_away_but_for_a_little():
    track = track_of((3.0, STAY, 0.07), (1.0, (0.0, 0.1, 0.0), 0.07), (2.0, STAY, 0.07))
    begin, end = busy(track, 100.0, 106.0)
    assert begin == pytest.approx(103.0 - LEAD, abs=0.15) and end == pytest.approx(104.0 + TAIL, abs=0.15)
    begin, end = busy(track_of((3.0, STAY, 0.07), (2.0, STAY, 0.0)), 100.0, 105.0)
    assert begin == pytest.approx(103.0 - LEAD, abs=0.15) and end < 104.6, "the fingers move, too"
    with pytest.raises(ValueError, match=r"never moves from 100\.00 to 102\.00 s"):
        busy(track, 100.0, 102.0)


def test_key_frames_are_where_the_tool_pauses_the_gripper_has_acted_and_the_way_breaks():
    track = track_of(
        (1.0, (0.0, 0.1, 0.0), 0.07),  # ends in a corner at 1 s
        (1.0, (0.0, 0.0, -0.1), 0.07),  # ends in a pause at 2 s
        (0.5, STAY, 0.07),
        (1.2, STAY, 0.0),  # the fingers are closed at 3.2 s
        (1.0, (0.0, 0.0, 0.1), 0.0),  # ends at 4.7 s
        (0.6, STAY, 0.0),
    )
    moments = np.array(key_moments(track, 100.0, 105.2)) - 100.0
    assert moments == pytest.approx([1.0, 2.1, 3.3, 4.8, 5.2], abs=0.2)
    stamps = 100.0 + np.arange(0, 5.2, 0.1)
    chosen, goal = at_key_frames(stamps, track, 100.0, 105.2)
    assert stamps[chosen] - 100.0 == pytest.approx([0.0, *moments[:-1]], abs=0.11) and goal == pytest.approx(105.2)
    assert all(stamps[index] >= moment - 0.03 for index, moment in zip(chosen[1:], moments + 100.0, strict=False))


def test_a_straight_way_and_a_slow_bend_have_no_key_frames_but_their_end():
    angles = np.linspace(0, np.pi / 2, 20)
    bend = [(0.15, 0.02 * np.array([np.sin(a), np.cos(a), 0.0]) * 0.5, 0.07) for a in angles]
    assert key_moments(track_of(*bend), 100.0, 103.0) == [pytest.approx(103.0)]


def test_an_action_is_what_was_commanded_for_the_next_frame_seen_from_where_the_tool_was():
    track = track_of((1.0, (0.0, 0.1, 0.0), 0.07), (1.0, STAY, 0.0))
    behind = Track(track.stamps + 0.1, track.measured, track.told_at, track.told, track.sources, True)
    action = behind.action(behind.at(100.5), 100.5, 100.7, 0.2)
    assert action.translation[0] == pytest.approx([0.0, 0.03, 0.0], abs=2e-3), "20 mm to go, and 10 mm behind"
    turned = quaternion_to_matrix(action.orientation[0])
    assert turned == pytest.approx(tool_pose(forward(START))[:3, :3], abs=1e-6)
    assert (action.stamp, action.time_step, action.gripper[0]) == (100.5, 0.2, 1.0)
    assert behind.action(behind.at(100.9), 100.9, 101.1, 0.2).gripper[0] == 0.0
