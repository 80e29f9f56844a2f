from __future__ import annotations

import math

import numpy as np
import pytest

from tristage_ros.devices.arm.kinematics import flange_pose, rpy_to_matrix
from tristage_ros.devices.arm.workspace import Workspace

DOWN, LEVEL, SIDEWAYS = (math.pi, 0.0, 0.0), (0.0, math.pi / 2, 0.0), (-math.pi / 2, 0.0, math.pi / 2)


def tool_at(position: tuple[float, float, float], rpy: tuple[float, float, float] = LEVEL) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rpy_to_matrix(rpy), position
    return pose


@pytest.mark.parametrize(
    ("position", "rpy", "excess"),
    [
        ((0.3, 0.0, 0.2), LEVEL, 0.0),
        ((0.8, 0.0, 0.2), LEVEL, 0.05),
        ((0.3, -0.6, 0.8), LEVEL, 0.05),
        ((0.3, 0.0, -0.02), LEVEL, 0.03),
        ((0.3, 0.0, 0.012), LEVEL, 0.0),
        ((0.3, 0.0, 0.004), LEVEL, 0.006),  # a finger is 20 mm wide
        ((0.3, 0.0, 0.020), SIDEWAYS, 0.025),  # open, it reaches 45 mm to either side
        ((0.3, 0.0, 0.005), DOWN, 0.01),  # the fingertips reach 15 mm farther down
    ],
)
def test_excess_is_the_distance_to_the_box_or_of_the_fingertips_to_the_table(
    position: tuple, rpy: tuple, excess: float
) -> None:
    space = Workspace()
    tool = tool_at(position, rpy)
    assert space.excess(flange_pose(tool)) == pytest.approx(excess, abs=1e-12)
    nearest = space.nearest(tool)
    assert space.excess(flange_pose(nearest)) == pytest.approx(0.0, abs=1e-12)
    assert np.abs(nearest - tool).max() == pytest.approx(excess, abs=1e-12)


def test_excess_takes_batches() -> None:
    poses = np.stack([flange_pose(tool_at((x, 0.0, 0.2))) for x in (0.3, 0.85)])
    np.testing.assert_allclose(Workspace().excess(poses), [0.0, 0.1], atol=1e-12)


@pytest.mark.parametrize(
    ("lower", "upper", "table"),
    [
        ((0, 0, 0), (1, 0, 1), 0.0),
        ((0, 0, 0), (1, 1, math.inf), 0.0),
        ((0, 0, 0), (1, math.nan, 1), 0.0),
        ((0, 0, 0), (1, 1, 1), 1.0),
    ],
)
def test_impossible_workspace_is_refused(lower: tuple, upper: tuple, table: float) -> None:
    with pytest.raises(ValueError, match=r"empty or not finite|not below"):
        Workspace(lower, upper, table)
