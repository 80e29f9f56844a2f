from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tristage_ros.devices.arm.guard import Guard, GuardConfig, RefusedError
from tristage_ros.devices.arm.kinematics import JOINT_LIMITS, forward, tool_pose
from tristage_ros.devices.arm.site import SiteError, load_site
from tristage_ros.perception.extrinsics import load_extrinsics
from tristage_ros.resources import resource

SHIPPED = resource("config", "site.yaml")
SITES = sorted(resource("config", "sites").glob("*.yaml"))
MOUNTS = load_extrinsics(resource("config", "cameras.yaml")).values()
POST = {"name": "the post", "lower": [0.3, 0.1, 0.0], "upper": [0.4, 0.2, 0.5]}
NAN = float("nan")


def written(folder: Path, *changes: tuple[str, Any]) -> Path:
    """Write the shipped file with the values at dotted keys changed; `...` leaves a key out."""
    content: dict[str, Any] = copy.deepcopy(yaml.safe_load(SHIPPED.read_text(encoding="utf-8")))
    for key, value in changes:
        *above, last = key.split(".")
        place = content
        for name in above:
            place = place[name]
        if value is ...:
            del place[last]
        else:
            place[last] = value
    path = folder / "site.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def test_the_shipped_site_is_what_the_arm_had() -> None:
    site = load_site()
    guard, before = site.guard(MOUNTS), GuardConfig()
    np.testing.assert_allclose(guard.joint_limits, JOINT_LIMITS)
    assert guard.workspace == before.workspace
    assert guard.gripper_range == before.gripper_range
    (camera,), (known,) = guard.body.cameras, before.body.cameras
    np.testing.assert_allclose(camera.position, known.position)
    np.testing.assert_allclose(
        np.outer(camera.rotation, camera.rotation), np.outer(known.rotation, known.rotation), atol=1e-6
    )
    assert (camera.size, camera.lens) == (known.size, known.lens)
    assert guard.tool_speed == 0.25
    assert site.home == (0.0, 1.2, -1.1, 0.0, 0.9, 0.0)


def test_an_arm_folded_away_is_within_the_shipped_box() -> None:
    guard = Guard(load_site().guard(MOUNTS))
    guard.check_path(np.linspace(np.array(load_site().home), [0.0, 0.011, -0.011, 0.0, 0.0, 0.0], 200))


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ([("tabel_height", 0.0)], "tabel_height is unknown, its value 0.0; there are: box, tool_box"),
        ([("tool.tcpp", 0.1)], "tool: tcpp is unknown, its value 0.1; there are: tcp,"),
        ([("tool_speed", ...)], "tool_speed is missing; write it as config/site.yaml has it"),
        ([("box.upper", ...)], "box: upper is missing; write it"),
        ([("box", [0, 1])], r"box is [0, 1]; write lower, upper with their values"),
        ([("table_height", NAN)], "table_height is nan; write a number from -2 to 0.74"),
        ([("table_height", "low")], "table_height is low; write a number from -2 to 0.74"),
        ([("table_height", True)], "table_height is True; write a number"),
        ([("table_height", 0.05), ("home", [0.0, 1.9, -1.2, 0.0, 0.9, 0.0])], "table_height is 0.05; at home"),
        ([("table_height", 5.0)], "table_height is 5.0; write a number from -2 to 0.74, m, below the top of tool_box"),
        ([("box.lower", [0.0, 0.0])], "box.lower is [0.0, 0.0]; write three finite numbers"),
        ([("box.lower", [0.0, NAN, 0.0])], "box.lower is [0.0, nan, 0.0]; write three finite numbers"),
        ([("box.upper", [-0.35, 0.6, 0.8])], "box is [-0.35, -0.6, 0.0] to [-0.35, 0.6, 0.8]; write a lower that is"),
        ([("box.upper", [0.30, 0.6, 0.8])], "box is [-0.35, -0.6, 0.0] to [0.3, 0.6, 0.8]; at home"),
        ([("tool_box.lower", [0.5, -0.5, 0.0])], "tool_box is [0.5, -0.5, 0.0] to [0.75, 0.55, 0.75]; at home"),
        ([("keep_out", [{**POST, "lower": [0.2, -0.2, 0.0]}])], "m deep in the post: write another home, or move that"),
        ([("keep_out", {"name": 1})], "keep_out is {'name': 1}; write a list of boxes"),
        ([("keep_out", [POST, POST])], "keep_out[1].name is the post; write a name that no other"),
        ([("keep_out", [{**POST, "upper": [0.3, 0.2, 0.5]}])], "keep_out[0] is [0.3, 0.1, 0.0] to [0.3, 0.2, 0.5]"),
        ([("joint_limits", [[0, 1]])], "joint_limits is [[0, 1]]; write six pairs"),
        ([("joint_limits", [[-3.0, 1.0]] * 6)], "joint_limits[0] (J1) is [-3.0, 1.0]; write lower and upper at least"),
        ([("joint_limits", [[1.0, -1.0]] * 6)], "joint_limits[0] (J1) is [1.0, -1.0]; write lower"),
        ([("home", [0.0] * 5)], "home is [0.0, 0.0, 0.0, 0.0, 0.0]; write six joint positions"),
        ([("home", [0.0, -0.5, -1.0, 0.0, 0.0, 0.0])], "home[1] (J2) is -0.5; write a position from 0.01 to 3.13"),
        ([("tool.tcp", -0.1)], "tool.tcp is -0.1 m; write its distance from the flange"),
        ([("tool.fingertips", 0.1)], "tool.fingertips is 0.1 m; write the distance from the flange, at least"),
        ([("tool.fingers_open", 0.2)], "tool.fingers_open is 0.2 m; write what the gripper may open to, at most 0.07"),
        ([("tool.camera_size", [90, 25, 25])], "tool.camera_size is [90.0, 25.0, 25.0] m; write width, height, depth"),
        ([("tool.camera_lens", [1, 0, 0])], "tool.camera_lens is [1.0, 0.0, 0.0] m; write x, y, z"),
        ([("payload.mass", 1.6)], "payload.mass is 1.6; write a number from 0 to 1.5, kg"),
        ([("payload.mass", -0.1)], "payload.mass is -0.1; write a number from 0 to 1.5, kg"),
        ([("payload.centre", [0, 0, "a"])], "payload.centre is [0, 0, 'a']; write three finite numbers"),
        ([("tool_speed", 0.0)], "tool_speed is 0.0; write a number from 0.001 to 2.5, m/s"),
        ([("tool_speed", float("inf"))], "tool_speed is inf; write a number from 0.001 to 2.5, m/s"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(tmp_path: Path, changes: list, line: str) -> None:
    path = written(tmp_path, *changes)
    with pytest.raises(SiteError) as raised:
        load_site(path)
    text = str(raised.value)
    assert text.startswith(f"{path}: ")
    assert line in text
    assert "\n" not in text
    assert " write " in text or "unknown" in text


@pytest.mark.parametrize("text", ["", "- 1", "a: [\n", "\x00", "root:x:0\n" * 99])
def test_a_file_that_is_none_is_told_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SiteError, match=re.escape(str(path))) as raised:
        load_site(path)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 400


def test_a_number_with_an_exponent_is_one_and_a_cap_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, ("tool_speed", ...))
    text = path.read_text(encoding="utf-8")
    path.write_text(f"{text}tool_speed: 2e-1\n", encoding="utf-8")
    assert load_site(path).tool_speed == 0.2
    path.write_text(f"{text}tool_speed: 0.2\ntool_speed: 0.9\n", encoding="utf-8")
    with pytest.raises(SiteError, match="tool_speed is there twice, again in line"):
        load_site(path)


def test_a_missing_file_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match=r"site_file is .*none\.yaml: No such file or directory; give the path"):
        load_site(tmp_path / "none.yaml")


def test_a_path_through_a_keep_out_box_is_refused_by_its_name(tmp_path: Path) -> None:
    site = load_site(written(tmp_path, ("keep_out", [POST])))
    guard, home = Guard(site.guard(MOUNTS)), np.array(site.home)
    with pytest.raises(RefusedError, match=r"on the path .* would be 0\.\d+ m deep in the post"):
        guard.check_path(np.linspace(home, home + np.array([0.9, 0.4, 0.0, 0.0, 0.0, 0.0]), 60))
    guard.check_path(np.linspace(home, home - np.array([0.9, -0.4, 0.0, 0.0, 0.0, 0.0]), 60))


def test_every_value_reaches_the_guard(tmp_path: Path) -> None:
    changes = [
        ("table_height", -0.1),
        ("box.lower", [-0.4, -0.7, -0.1]),
        ("tool_box.upper", [0.6, 0.5, 0.7]),
        ("joint_limits", [[-1.0, 1.0], *JOINT_LIMITS[1:].tolist()]),
        ("tool", {"tcp": 0.1, "fingertips": 0.12, "fingers_open": 0.05, "camera_size": [0.1, 0.03, 0.02],
                  "camera_lens": [0.0, 0.0, 0.0]}),
        ("tool_speed", 0.1),
    ]  # fmt: skip
    guard = load_site(written(tmp_path, *changes)).guard(MOUNTS)
    assert guard.workspace.table_height == -0.1
    assert guard.body.box is not None
    assert guard.body.box.lower == (-0.4, -0.7, -0.1)
    assert guard.workspace.upper == (0.6, 0.5, 0.7)
    assert guard.joint_limits[0] == (-1.0, 1.0)
    assert (guard.body.tool.tcp, guard.gripper_range) == (0.1, (0.0, 0.05))
    assert guard.body.cameras[0].size == (0.1, 0.03, 0.02)
    assert guard.tool_speed == 0.1


@pytest.mark.parametrize("path", SITES, ids=[path.stem for path in SITES])
def test_shipped_examples_are_right(path: Path) -> None:
    site = load_site(path)
    tool = tool_pose(forward(site.home), site.tool.tcp)[:3, 3]
    assert tool[2] > site.table_height + 0.1
