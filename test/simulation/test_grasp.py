"""Tool orientations: reachable wherever tasks need them, and told back from the tool's pose."""

import itertools
import math

import numpy as np
import pytest

from tristage_ros.devices.arm import kinematics
from tristage_ros.simulation.scene import HOME
from tristage_ros.simulation.tasks import task

PLACES = list(itertools.product((0.18, 0.26, 0.34, 0.42, 0.50), np.radians((-40, 0, 40)), (0.02, 0.11, 0.20, 0.30)))


def pose(position, yaw):
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = task.tool_rotation(position, yaw), position
    return pose


@pytest.mark.parametrize(("radius", "azimuth", "height"), PLACES)
def test_every_place_can_be_reached_at_every_yaw(radius, azimuth, height):
    position = np.array([radius * math.cos(azimuth), radius * math.sin(azimuth), height])
    limits = kinematics.JOINT_LIMITS + np.array([0.01, -0.01])
    for turn in np.linspace(-task.WRIST_RANGE, task.WRIST_RANGE, 7):
        tool = pose(position, azimuth + turn)
        joints = kinematics.inverse(kinematics.flange_pose(tool), HOME, limits=limits)
        np.testing.assert_allclose(kinematics.tool_pose(kinematics.forward(joints)), tool, atol=1e-9)


@pytest.mark.parametrize("yaw", [-1.9, -0.5, 0.0, 1.2, 2.0])
@pytest.mark.parametrize("place", [(0.3, 0.0, 0.02), (0.25, 0.2, 0.15), (0.4, -0.15, 0.28)])
def test_the_yaw_is_told_back(place, yaw):
    assert math.remainder(task.tool_yaw(pose(np.array(place), yaw)) - yaw, 2 * math.pi) == pytest.approx(0, abs=1e-9)


def test_fingers_close_across_the_yaw():
    rotation = task.tool_rotation(np.array([0.3, 0.0, 0.02]), 0.7)
    assert rotation[:2, 1] @ (math.cos(0.7), math.sin(0.7)) == pytest.approx(0.0, abs=0.03)
    assert rotation[2, 2] < -0.9


@pytest.mark.parametrize("present", np.linspace(-2.0, 2.0, 9))
@pytest.mark.parametrize("direction", np.linspace(-3.1, 3.1, 12))
def test_the_nearest_grasp_is_a_grasp_that_turns_least(direction, present):
    position = np.array([0.3, 0.1, 0.02])
    yaw, azimuth = task.nearest_grasp(direction, position, present), task.azimuth_of(position)
    assert math.remainder(yaw - direction, math.pi) == pytest.approx(0.0, abs=1e-9)
    assert abs(yaw - azimuth) <= task.WRIST_RANGE
    for other in (yaw - math.pi, yaw + math.pi):
        assert abs(other - azimuth) > task.WRIST_RANGE or abs(other - present) >= abs(yaw - present)


def test_a_grasp_that_is_kept_stays_within_the_wrists_range():
    position = np.array([0.3, 0.0, 0.1])
    assert task.keep_yaw(0.4, position) == pytest.approx(0.4)
    assert task.keep_yaw(2.5, position) == pytest.approx(task.WRIST_RANGE)
