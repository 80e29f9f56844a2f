"""The URDF: read by MuJoCo, an implementation of its own, it must put every frame where the kinematics does."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import mujoco
import numpy as np
import pytest

from tristage_ros.devices.arm.kinematics import GRIPPER_RANGE, JOINT_LIMITS, forward, tool_pose
from tristage_ros.devices.arm.urdf import urdf

JOINTS = [f"joint{k}" for k in range(1, 7)]


def loaded(dh_is_offset: bool) -> mujoco.MjModel:
    """Return the model as MuJoCo reads it; a mass for every link and the fixed frames kept, which it asks for."""
    text = urdf(dh_is_offset)
    inertia = '<inertial><mass value="1"/><inertia ixx="1" iyy="1" izz="1" ixy="0" ixz="0" iyz="0"/></inertial>'
    text = re.sub(r'<link name="(\w+)" ?/>', rf'<link name="\1">{inertia}</link>', text)
    text = re.sub(r'<link name="(\w+)">(?!<inertial>)', rf'<link name="\1">{inertia}', text)
    options = '<mujoco><compiler fusestatic="false" discardvisual="false"/></mujoco>'
    return mujoco.MjModel.from_xml_string(text.replace('<robot name="piper">', f'<robot name="piper">{options}'))


def pose(data: mujoco.MjData, body: str) -> np.ndarray:
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = data.body(body).xmat.reshape(3, 3), data.body(body).xpos
    return result


@pytest.mark.parametrize("dh_is_offset", [True, False])
def test_flange_and_tool_are_where_the_kinematics_puts_them(dh_is_offset: bool) -> None:
    model = loaded(dh_is_offset)
    data = mujoco.MjData(model)
    draw = np.random.default_rng(3)
    for _ in range(50):
        joints = draw.uniform(*JOINT_LIMITS.T)
        for name, position in zip(JOINTS, joints, strict=True):
            data.joint(name).qpos = position
        mujoco.mj_kinematics(model, data)
        flange = forward(joints, dh_is_offset)
        np.testing.assert_allclose(pose(data, "flange"), flange, atol=1e-9)
        np.testing.assert_allclose(pose(data, "tool"), tool_pose(flange), atol=1e-9)


def test_joints_and_limits_are_those_of_joint_states() -> None:
    robot = ET.fromstring(urdf(True))
    limits = {j.get("name"): j.find("limit") for j in robot.iter("joint") if j.get("type") != "fixed"}
    for name, (low, high) in zip([*JOINTS, "gripper"], [*JOINT_LIMITS, GRIPPER_RANGE], strict=True):
        assert float(limits[name].get("lower")) == pytest.approx(low)
        assert float(limits[name].get("upper")) == pytest.approx(high)
    assert limits.keys() == {*JOINTS, "gripper", "finger_left", "finger_right"}


def test_the_fingers_part_by_the_opening() -> None:
    robot = ET.fromstring(urdf(True))
    share = 0.0
    for side in ("left", "right"):
        joint = robot.find(f"joint[@name='finger_{side}']")
        assert joint is not None and joint.find("mimic").get("joint") == "gripper"
        along = float(joint.find("axis").get("xyz").split()[1])
        share += abs(along) * float(joint.find("mimic").get("multiplier"))
    assert share == pytest.approx(1.0)


def test_every_link_hangs_in_one_tree_and_is_in_sight() -> None:
    robot = ET.fromstring(urdf(True))
    links = {link.get("name") for link in robot.findall("link")}
    children = [joint.find("child").get("link") for joint in robot.findall("joint")]
    assert sorted(children) == sorted(links - {"base_link"})
    shown = {link.get("name") for link in robot.findall("link") if link.find("visual") is not None}
    assert links - shown == {"tool", "gripper_opening"}
