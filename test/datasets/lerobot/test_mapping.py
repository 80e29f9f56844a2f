"""Somebody else's dataset becomes frames of this arm by what a person declares, and by nothing else."""

import json

import numpy as np
import pytest
from lerobot_sets import MAPPING, TASKS, degrees, foreign, scene

from tristage_ros.datasets.lerobot.dataset import open_lerobot
from tristage_ros.datasets.lerobot.layout import LerobotError
from tristage_ros.datasets.lerobot.writer import write_dataset
from tristage_ros.devices.arm.kinematics import forward, quaternion_to_matrix, rpy_to_matrix, tool_pose


@pytest.fixture(params=["v3.0", "v2.1"])
def root(request, tmp_path):
    return foreign(tmp_path / "set", request.param)


@pytest.fixture
def mapping(tmp_path):
    path = tmp_path / "mapping.yaml"
    path.write_text(MAPPING)
    return path


def test_both_versions_become_the_same_frames(root, mapping):
    dataset = open_lerobot(root, mapping)
    assert (len(dataset), dataset.rate) == (2, 15.0)
    for number, episode in enumerate(dataset):
        assert (episode.number, episode.task, episode.facts["robot_type"]) == (number, TASKS[number], "agilex_piper")
        rows = degrees(number, (6, 4)[number]).astype(float)
        frames = list(episode.frames())
        assert len(frames) == len(rows)
        for at, (frame, row) in enumerate(zip(frames, rows, strict=True)):
            joints, wanted = np.radians(row[:6]), np.radians((row + 0.5)[:6])
            np.testing.assert_allclose(frame.joints, [*joints, row[6] * 1e-3], atol=1e-6)
            tool, goal = tool_pose(forward(joints)), tool_pose(forward(wanted))
            np.testing.assert_allclose(frame.state[:3], tool[:3, 3], atol=1e-6)
            np.testing.assert_allclose(rpy_to_matrix(frame.state[3:6]), tool[:3, :3], atol=1e-5)
            np.testing.assert_allclose(frame.state[6], row[6] / 70, atol=1e-6)
            np.testing.assert_allclose(frame.action.translation[0], goal[:3, 3] - tool[:3, 3], atol=1e-6)
            np.testing.assert_allclose(quaternion_to_matrix(frame.action.orientation[0]), goal[:3, :3], atol=1e-6)
            np.testing.assert_allclose(frame.action.gripper, [(row[6] + 0.5) / 70], atol=1e-6)
            assert np.abs(frame.images["front"].astype(int) - scene(at, 40 * number)).mean() < 6.0
            assert frame.stamp == pytest.approx(at / 15)


def test_what_was_imported_is_a_dataset_of_ours_from_then_on(root, mapping, tmp_path):
    write_dataset(open_lerobot(root, mapping), tmp_path / "ours")
    for one, other in zip(open_lerobot(root, mapping), open_lerobot(tmp_path / "ours"), strict=True):
        assert (one.task, one.facts, one.trim) == (other.task, other.facts, other.trim)
        for frame, again in zip(one.frames(), other.frames(), strict=True):
            np.testing.assert_allclose(again.joints, frame.joints, atol=1e-6)
            assert np.abs(frame.images["front"].astype(int) - again.images["front"]).mean() < 6.0


def test_without_a_mapping_it_is_refused_with_the_names_that_there_are(root):
    with pytest.raises(
        LerobotError, match=r"--mapping.*'agilex_piper'.*observation\.state: main_joint_1, main_joint_2"
    ):
        open_lerobot(root)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("[piper, agilex_piper]", "[piper]", "robot_type is 'agilex_piper', and .* is for 'piper'"),
        ("[piper, agilex_piper]", "piper", "robot_type is 'piper'; write a list"),
        ("main_joint_3, main", "left_joint_3, main", "no left_joint_3; it has main_joint_1, main_joint_2"),
        ("column: action, names: [main_g", "column: actions, names: [main_g", "called actions; there are: obs"),
        ("observation.images.top", "observation.images.front", "observation.images.front has no colour; .*images.top"),
        ("unit: deg", "unit: degrees", "unit of joints is 'degrees'; write one of rad, deg, mdeg"),
        ("zero: new\n", "", "zero is None; write new"),
        ("[60.0, 60.0, 31.5, 23.5]", "60", "intrinsics of front is 60; write fx, fy, cx, cy"),
        ("parent: base_link", "parent: world", "parent is 'world'"),
        ("main_joint_2,", "main_joint_1,", "one is there twice"),
    ],
)  # fmt: skip
def test_a_mapping_that_does_not_fit_is_refused_by_what_is_wrong(root, mapping, old, new, told):
    assert old in MAPPING
    mapping.write_text(MAPPING.replace(old, new))
    with pytest.raises(LerobotError, match=told) as error:
        open_lerobot(root, mapping)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("6], unit: deg}\ngripper", "6], unit: rad}\ngripper", r"episode 0: main_joint_1 .* is 10 rad in frame 0"),
        ("[main_gripper], unit: mm}\naction", "[main_gripper], unit: m}\naction", r"opens 20 m in frame 0"),
    ],
)  # fmt: skip
def test_another_unit_than_the_declared_one_is_noticed(root, mapping, old, new, told, tmp_path):
    text = MAPPING.replace("\n  main_joint_6", " main_joint_6")
    assert old in text
    mapping.write_text(text.replace(old, new))
    with pytest.raises(LerobotError, match=told):
        write_dataset(open_lerobot(root, mapping), tmp_path / "ours")
    assert not (tmp_path / "ours").exists()


def test_columns_without_names_are_told_by_their_places(root, mapping):
    info = json.loads((root / "meta/info.json").read_text())
    for key in ("observation.state", "action"):
        info["features"][key]["names"] = None
    (root / "meta/info.json").write_text(json.dumps(info))
    text = MAPPING
    for number in range(1, 7):
        text = text.replace(f"main_joint_{number}", str(number - 1))
    mapping.write_text(text.replace("main_gripper", "6"))
    frame = next(next(iter(open_lerobot(root, mapping))).frames())
    np.testing.assert_allclose(frame.joints[:6], np.radians(degrees(0, 1)[0, :6].astype(float)), atol=1e-6)


def test_a_robot_of_another_kind_is_refused_by_its_name(root, mapping):
    info = json.loads((root / "meta/info.json").read_text())
    info["robot_type"] = "so100_follower"
    (root / "meta/info.json").write_text(json.dumps(info))
    with pytest.raises(LerobotError, match="'so100_follower'"):
        open_lerobot(root, mapping)
