from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from piper_sdk import C_PiperForwardKinematics

from tristage_ros.devices.arm import kinematics
from tristage_ros.devices.arm.kinematics import (
    JOINT_LIMITS,
    UnreachablePoseError,
    dh_is_offset,
    flange_pose,
    forward,
    inverse,
    matrix_to_quaternion,
    matrix_to_rpy,
    quaternion_to_matrix,
    rpy_to_matrix,
    tool_pose,
)

ANGLE = st.floats(-math.pi, math.pi)
SHARES = st.lists(st.floats(0.0, 1.0), min_size=6, max_size=6)


def joints_at(shares: list[float]) -> np.ndarray:
    return JOINT_LIMITS[:, 0] + np.array(shares) * np.ptp(JOINT_LIMITS, 1)


@pytest.mark.parametrize("offset", [True, False])
@settings(max_examples=50, deadline=None)
@given(shares=SHARES)
def test_forward_equals_the_sdk(offset: bool, shares: list[float]) -> None:
    joints = joints_at(shares)
    expected = C_PiperForwardKinematics(int(offset)).CalFK(joints.tolist())[-1]
    flange = forward(joints, offset)
    np.testing.assert_allclose(flange[:3, 3] * 1000, expected[:3], atol=1e-9)
    np.testing.assert_allclose(rpy_to_matrix(np.radians(expected[3:])), flange[:3, :3], atol=2e-2)
    if abs(flange[2, 0]) < 0.999:
        np.testing.assert_allclose(np.degrees(matrix_to_rpy(flange[:3, :3])), expected[3:], atol=1e-6)


def test_forward_takes_batches() -> None:
    joints = np.random.default_rng(0).uniform(-1, 1, (4, 5, 6))
    np.testing.assert_allclose(forward(joints)[2, 3], forward(joints[2, 3]), atol=1e-15)


def test_firmware_moved_the_zero_by_two_degrees() -> None:
    moved = np.array([0, math.radians(2), math.radians(-2), 0, 0, 0])
    joints = np.array([0.3, 1.0, -1.0, 0.2, 0.4, -0.5])
    np.testing.assert_allclose(forward(joints, True), forward(joints + moved, False), atol=1e-12)


@pytest.mark.parametrize("offset", [True, False])
@settings(deadline=None)
@given(shares=SHARES)
def test_inverse_returns_to_the_pose(offset: bool, shares: list[float]) -> None:
    joints = joints_at(shares)
    found = inverse(forward(joints, offset), joints, offset)
    np.testing.assert_allclose(forward(found, offset), forward(joints, offset), atol=1e-6)
    np.testing.assert_allclose(found, joints, atol=1e-3)  # the seed is itself a solution, so nothing is nearer
    assert (found >= JOINT_LIMITS[:, 0]).all()
    assert (found <= JOINT_LIMITS[:, 1]).all()


@settings(deadline=None)
@given(shares=SHARES, wrist=st.floats(-1.5, 1.5))
def test_inverse_keeps_the_seed_of_free_axes(shares: list[float], wrist: float) -> None:
    joints = joints_at(shares)
    joints[3:] = wrist, 0.0, -wrist / 2
    np.testing.assert_allclose(inverse(forward(joints), joints), joints, atol=1e-5)


def test_inverse_chooses_the_solution_nearest_to_the_seed() -> None:
    joints = np.array([0.2, 1.2, -1.0, 0.5, 0.6, -0.4])
    flipped = joints + np.array([0, 0, 0, -math.pi, -1.2, math.pi])  # the wrist turned over
    wide = np.tile([-2 * math.pi, 2 * math.pi], (6, 1))
    np.testing.assert_allclose(inverse(forward(joints), joints, limits=wide), joints, atol=1e-9)
    found = inverse(forward(joints), flipped, limits=wide)
    np.testing.assert_allclose(found[3:5], flipped[3:5], atol=1e-9)


@pytest.mark.parametrize(
    ("position", "rpy", "reason"),
    [
        ((1.2, 0.0, 0.2), (0.0, math.pi / 2, 0.0), "farther away than the arm reaches"),
        ((-0.3, 0.0, 0.3), (0.0, 0.0, 0.0), "needs joints beyond their limits"),
        ((0.3, 0.0, 0.15), (math.pi, 0.0, 0.0), "needs joints beyond their limits"),  # straight down: J5 turns 70 deg
    ],
)
def test_inverse_says_why_a_pose_is_unreachable(position: tuple, rpy: tuple, reason: str) -> None:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rpy_to_matrix(rpy), position
    with pytest.raises(UnreachablePoseError, match=reason):
        inverse(flange_pose(pose), np.zeros(6))


def test_narrower_limits_are_kept() -> None:
    joints = np.array([0.5, 1.0, -1.0, 0.0, 0.5, 0.0])
    limits = JOINT_LIMITS.copy()
    limits[0] = -0.4, 0.4
    with pytest.raises(UnreachablePoseError, match="limits"):
        inverse(forward(joints), joints, limits=limits)


def test_tool_is_ahead_of_the_flange() -> None:
    flange = forward([0.1, 1.0, -1.0, 0.2, 0.3, 0.4])
    tool = tool_pose(flange)
    np.testing.assert_allclose(tool[:3, 3] - flange[:3, 3], 0.12 * flange[:3, 2], atol=1e-15)
    np.testing.assert_allclose(flange_pose(tool), flange, atol=1e-15)


@settings(deadline=None)
@given(roll=ANGLE, pitch=st.floats(-1.55, 1.55), yaw=ANGLE)
def test_rotations_agree(roll: float, pitch: float, yaw: float) -> None:
    rotation = rpy_to_matrix([roll, pitch, yaw])
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(rpy_to_matrix(matrix_to_rpy(rotation)), rotation, atol=1e-9)
    quaternion = matrix_to_quaternion(rotation)
    assert quaternion[3] >= 0
    np.testing.assert_allclose(quaternion_to_matrix(3.0 * quaternion), rotation, atol=1e-9)


def test_rotations_have_the_stated_convention() -> None:
    quarter = math.pi / 2
    np.testing.assert_allclose(rpy_to_matrix([0, 0, quarter]) @ [1, 0, 0], [0, 1, 0], atol=1e-15)
    np.testing.assert_allclose(rpy_to_matrix([quarter, 0, quarter]) @ [0, 1, 0], [0, 0, 1], atol=1e-15)  # roll first
    np.testing.assert_allclose(
        matrix_to_quaternion(rpy_to_matrix([0, 0, quarter])), np.sqrt([0, 0, 0.5, 0.5]), atol=1e-9
    )


@pytest.mark.parametrize("quaternion", [(0, 0, 0, 0), (math.nan, 0, 0, 1), (math.inf, 0, 0, 1)])
def test_quaternion_without_direction_is_refused(quaternion: tuple) -> None:
    with pytest.raises(ValueError, match="no direction"):
        quaternion_to_matrix(quaternion)


@pytest.mark.parametrize(
    ("firmware", "offset"),
    [("S-V1.6-3", True), ("S-V1.8-9", True), ("S-V2.0-0", True), ("S-V1.6-2", False), ("S-V1.5-9", False)],
)
def test_zero_follows_from_the_firmware(firmware: str, offset: bool) -> None:
    assert dh_is_offset(firmware) is offset


def test_unknown_firmware_is_refused() -> None:
    with pytest.raises(ValueError, match=r"1\.8"):
        dh_is_offset("1.8")


def test_limits_cannot_be_changed_by_accident() -> None:
    with pytest.raises(ValueError, match="read-only"):
        kinematics.JOINT_LIMITS[0, 0] = -9.0


@pytest.mark.parametrize("offset", [True, False])
def test_the_jacobian_is_how_the_tool_moves(offset: bool) -> None:
    joints, tiny = np.array([0.3, 1.4, -0.9, 0.4, 0.7, -0.5]), 1e-6
    columns = kinematics.jacobian(joints, offset)
    here = kinematics.tool_pose(kinematics.forward(joints, offset))
    for k in range(6):
        there = kinematics.tool_pose(kinematics.forward(joints + tiny * np.eye(6)[k], offset))
        turned = (there[:3, :3] @ here[:3, :3].T - np.eye(3)) / tiny
        assert np.allclose(columns[:3, k], (there[:3, 3] - here[:3, 3]) / tiny, atol=1e-5)
        assert np.allclose(columns[3:, k], [turned[2, 1], turned[0, 2], turned[1, 0]], atol=1e-5)
