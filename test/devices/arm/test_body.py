from __future__ import annotations

import numpy as np
import pytest

from tristage_ros.devices.arm.kinematics import FINGERTIP_OFFSET, JOINT_LIMITS, link_poses
from tristage_ros.devices.arm.workspace import Body

FOLDED = np.zeros(6)
HOME = np.array([0.0, 1.2, -1.1, 0.0, 0.9, 0.0])


@pytest.mark.parametrize("joints", [FOLDED, HOME])
def test_where_the_arm_rests_it_touches_nothing(joints: np.ndarray) -> None:
    assert Body().depth(link_poses(joints), 0.0)[0] == 0.0


def test_a_table_under_the_elbow_is_met_by_the_elbow() -> None:
    elbow = link_poses(FOLDED)[2, 2, 3]
    depth, part = Body().depth(link_poses(FOLDED), elbow - 0.02)
    assert Body().describe(int(part)) == "the elbow in the table"
    assert depth == pytest.approx(0.05 - 0.02)


def test_every_camera_on_the_wrist_counts() -> None:
    pose = np.tile(np.diag([1.0, -1.0, -1.0, 1.0]), (6, 1, 1))  # every frame looks down
    pose[:, :3, 3] = (0.3, 0.0, 0.3)
    camera = Body(((0.0, 0.0, 0.0), (-0.2, 0.0, 0.2)))
    depth, part = camera.depth(pose, 0.12)
    assert camera.describe(int(part)) == "the wrist camera in the table"
    assert depth == pytest.approx(0.12 - (0.3 - 0.2 - 0.025))
    assert Body(()).depth(pose, 0.12)[0] == 0.0


def test_the_fingertips_count_as_the_workspace_has_them() -> None:
    pose = np.tile(np.diag([1.0, -1.0, -1.0, 1.0]), (6, 1, 1))
    pose[:, :3, 3] = (0.3, 0.0, FINGERTIP_OFFSET - 0.004)
    depth, part = Body(()).depth(pose, 0.0)
    assert Body(()).describe(int(part)) == "a fingertip in the table"
    assert depth == pytest.approx(0.004)


def test_a_tool_that_reaches_for_its_own_base_is_in_it() -> None:
    pose = np.tile(np.eye(4), (6, 1, 1))
    pose[:, :3, 3] = (0.3, 0.0, 0.3)
    pose[5, :3, 3] = (0.0, 0.0, 0.05 - FINGERTIP_OFFSET)
    depth, part = Body(()).depth(pose, -1.0)
    assert "in the arm's base" in Body(()).describe(int(part))
    assert depth > 0.05


def test_the_depth_never_jumps_along_a_path() -> None:
    rng = np.random.default_rng(0)
    start, end = rng.uniform(*JOINT_LIMITS.T, size=(2, 20, 6))
    shares = np.linspace(0.0, 1.0, 400)[:, None, None]
    path = start + shares * (end - start)
    depth = Body().depth(link_poses(path), 0.0)[0]
    reach = 0.95  # m, of the farthest part from any joint axis
    step = np.abs(np.diff(path, axis=0)).sum(-1)
    assert (np.abs(np.diff(depth, axis=0)) <= reach * step + 1e-9).all()


@pytest.mark.parametrize("camera", [(0.5, 0.0, 0.0), (np.nan, 0.0, 0.0)])
def test_a_camera_that_is_not_on_the_arm_is_refused(camera: tuple) -> None:
    with pytest.raises(ValueError, match=r"within 0\.3 m of the flange"):
        Body((camera,))
