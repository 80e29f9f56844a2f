from __future__ import annotations

import numpy as np
import pytest

from tristage_ros.devices.arm.body import Body
from tristage_ros.devices.arm.kinematics import FINGERTIP_OFFSET, JOINT_LIMITS, link_poses, rpy_to_matrix
from tristage_ros.devices.arm.tool import Tool, WristCamera
from tristage_ros.devices.arm.workspace import Box

FOLDED = np.zeros(6)
HOME = np.array([0.0, 1.2, -1.1, 0.0, 0.9, 0.0])
LOW = np.array([0.0, 2.4, -1.0, 0.0, 0.0, 0.0])  # the elbow in front
FAR_DOWN = -1.0  # m, of a table that nothing reaches


def flange_at(position: tuple[float, float, float], rpy: tuple[float, float, float]) -> np.ndarray:
    """All frames far away but the flange's."""
    pose = np.tile(np.eye(4), (6, 1, 1))
    pose[:, :3, 3] = (0.4, 0.0, 5.0)
    pose[5, :3, 3], pose[5, :3, :3] = position, rpy_to_matrix(rpy)
    return pose


def found(body: Body, links: np.ndarray, table: float = FAR_DOWN) -> tuple[float, str]:
    depth, which = body.depth(links, table)
    part, _, where = body.describe(int(which), float(depth)).partition(" would be ")
    return float(depth), f"{part} {where.split(' m ', 1)[1].replace('deep ', '')}"


@pytest.mark.parametrize("joints", [FOLDED, HOME])
def test_where_the_arm_rests_it_touches_nothing(joints: np.ndarray) -> None:
    assert Body().depth(link_poses(joints), 0.0)[0] == 0.0


def test_a_table_under_the_elbow_is_met_by_the_elbow() -> None:
    links = link_poses(LOW)
    elbow = links[2].copy()
    links[[1, 3, 4, 5], 2, 3] += 1.0  # and nothing else is near
    links[2, :3, :3] = np.diag([1.0, -1.0, -1.0])[[0, 2, 1]]  # the forearm goes up from it
    depth, what = found(Body(()), links, float(elbow[2, 3]) - 0.02)
    assert what == "the elbow in the table"
    assert depth == pytest.approx(0.05 - 0.02)


@pytest.mark.parametrize("opening", [0.02, 0.07])
def test_open_fingers_reach_down_beside_a_tool_that_leans(opening: float) -> None:
    lean = 1.0
    tool = Tool(fingers_open=opening)
    links = flange_at((0.3, 0.0, 0.2), (np.pi + lean, 0.0, 0.0))  # leans the way the fingers open
    lowest = 0.2 - FINGERTIP_OFFSET * np.cos(lean) - (opening / 2 + 0.010) * np.sin(lean)
    depth, what = found(Body((), tool), links, lowest + 0.004)
    assert what == "a finger in the table"
    assert depth == pytest.approx(0.004, abs=1e-3)  # of tips and what carries them the lower counts
    assert depth >= 0.004 - 1e-9


def test_the_fingertips_count_as_the_workspace_has_them() -> None:
    links = flange_at((0.3, 0.0, FINGERTIP_OFFSET - 0.004), (np.pi, 0.0, 0.0))
    depth, what = found(Body(()), links, 0.0)
    assert what == "a finger in the table"
    assert depth == pytest.approx(0.004)


def test_every_camera_on_the_wrist_counts_with_its_whole_housing() -> None:
    links = flange_at((0.3, 0.0, 0.3), (np.pi, 0.0, 0.0))
    level = (0.0, 0.0, 0.0, 1.0)  # looks along the tool, its image's x along the flange's
    cameras = WristCamera((0.0, 0.0, 0.0), level), WristCamera((-0.2, 0.0, 0.2), level)
    depth, what = found(Body(cameras), links, 0.12)
    assert what == "the wrist camera in the table"
    assert depth == pytest.approx(0.12 - (0.3 - 0.2))
    assert found(Body(()), links, 0.12)[0] == 0.0
    upright = WristCamera((0.0, -0.2, 0.1), (0.0, np.sqrt(0.5), 0.0, np.sqrt(0.5)))  # the wide side along the tool
    assert found(Body((upright,)), links, 0.2)[0] == pytest.approx(0.2 - (0.3 - 0.1 - 0.045 + 0.0325), abs=0.066)
    wide = found(Body((WristCamera((0.0, -0.2, 0.1), upright.rotation, lens=(0.0, 0.0, 0.0)),)), links, 0.2)
    assert wide[0] == pytest.approx(0.2 - (0.3 - 0.1 - 0.045))


@pytest.mark.parametrize(
    ("lower", "upper", "joints", "what", "by"),
    [
        ((-0.30, -1.0, -1.0), (1.0, 1.0, 1.0), FOLDED, "the elbow", 0.032),
        ((-1.0, -1.0, -1.0), (0.31, 1.0, 1.0), HOME, "a finger", 0.021),
        ((-1.0, -0.07, -1.0), (1.0, 0.07, 1.0), HOME, "the elbow", 0.015),
        ((-1.0, -1.0, 0.25), (1.0, 1.0, 1.0), HOME, "the upper arm", 0.118),
        ((-1.0, -1.0, -1.0), (1.0, 1.0, 0.40), HOME, "the wrist", 0.0596),
    ],
)
def test_every_part_has_to_stay_in_the_box(
    lower: tuple, upper: tuple, joints: np.ndarray, what: str, by: float
) -> None:
    depth, found_what = found(Body(box=Box("the box", lower, upper)), link_poses(joints))
    assert found_what == f"{what} outside the box"
    assert depth == pytest.approx(by, abs=2e-3)


def test_a_keep_out_box_is_met_by_name_and_nothing_passes_through_it() -> None:
    post = Box("the post", (0.28, -0.05, 0.0), (0.32, -0.01, 0.30))
    body = Body(keep_out=(post,))
    turned = np.linspace(0.0, -0.6, 60)
    path = np.stack([np.array([j1, 1.7, -1.2, 0.0, 0.9, 0.0]) for j1 in turned])
    depth, which = body.depth(link_poses(path), FAR_DOWN)
    assert depth.max() > 0.02
    assert body.describe(int(which[depth.argmax()]), 0.02).endswith("would be 0.020 m deep in the post")


def test_balls_cover_every_part() -> None:
    rng = np.random.default_rng(0)
    joints = rng.uniform(*JOINT_LIMITS.T, size=(40, 6))
    body = Body()
    links = link_poses(joints)
    corners = body._hull.at(links)
    for k in range(len(joints)):
        corner = int(rng.integers(corners.shape[1]))
        place = corners[k, corner]
        box = Box("it", tuple(place - 0.004), tuple(place + 0.5))
        column = Body(keep_out=(box,)).depths(links[k], FAR_DOWN)
        part = body._hull.part[corner]
        assert column[2 * len(body.parts) + part] >= 0.004 + body._hull.radius[corner] * 0.5 - 1e-9


def test_a_tool_that_reaches_for_its_own_base_is_in_it() -> None:
    pose = np.tile(np.eye(4), (6, 1, 1))
    pose[:, :3, 3] = (0.3, 0.0, 0.3)
    pose[5, :3, 3] = (0.0, 0.0, 0.05 - FINGERTIP_OFFSET)
    depth, what = found(Body(()), pose)
    assert "in the arm's base" in what
    assert depth > 0.05


def test_the_depths_never_jump_along_a_path() -> None:
    rng = np.random.default_rng(0)
    start, end = rng.uniform(*JOINT_LIMITS.T, size=(2, 20, 6))
    shares = np.linspace(0.0, 1.0, 400)[:, None, None]
    path = start + shares * (end - start)
    body = Body(
        box=Box("the box", (-0.3, -0.3, 0.0), (0.4, 0.3, 0.6)), keep_out=(Box("it", (0.2, 0.0, 0.0), (0.3, 0.3, 0.3)),)
    )
    depths = body.depths(link_poses(path), 0.0)
    reach = 0.95  # m, of the farthest part from any joint axis
    step = np.abs(np.diff(path, axis=0)).sum(-1)
    assert (np.abs(np.diff(depths, axis=0)) <= reach * step[..., None] + 1e-9).all()


@pytest.mark.parametrize("camera", [(0.5, 0.0, 0.0), (np.nan, 0.0, 0.0)])
def test_a_camera_that_is_not_on_the_arm_is_refused(camera: tuple) -> None:
    with pytest.raises(ValueError, match=r"within 0\.3 m of the flange"):
        WristCamera(camera)
