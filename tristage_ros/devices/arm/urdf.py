"""The Piper as URDF, generated from the kinematics' Denavit-Hartenberg table for the firmware in use.

Frames: `base_link`, `link1` to `link6`, `flange` (the last link) and `tool` (the grasp centre). Joints are named as in
/joint_states; `gripper` is the total opening in m, which both fingers share. Shapes are primitives about the size of
the arm's shells, for looking at only: there is no collision geometry and no inertia.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET

import numpy as np
from numpy.typing import NDArray

from tristage_ros.devices.arm.kinematics import (
    GRIPPER_RANGE,
    JOINT_LIMITS,
    JOINT_MAX_VELOCITY,
    TOOL_OFFSET,
    link_poses,
    matrix_to_rpy,
)
from tristage_ros.devices.arm.values import BASE_FRAME

COLORS = {"shell": "0.90 0.90 0.92 1", "joint": "0.20 0.20 0.22 1"}
# By link, in its own frame: ends of a cylinder and its radius, m.
CYLINDERS: dict[str, tuple[tuple[tuple[float, ...], tuple[float, ...], float, str], ...]] = {
    BASE_FRAME: (((0, 0, 0), (0, 0, 0.065), 0.056, "joint"),),
    "link1": (((0, 0, -0.060), (0, 0, -0.012), 0.046, "shell"), ((0, -0.060, 0), (0, 0.060, 0), 0.044, "shell")),
    "link2": (((0.030, 0, 0), (0.255, 0, 0), 0.031, "shell"), ((0.285, 0, -0.050), (0.285, 0, 0.050), 0.037, "joint")),
    "link3": (((-0.010, -0.030, 0), (-0.021, -0.185, 0), 0.030, "shell"),),
    "link4": (((0, 0, -0.070), (0, 0, -0.025), 0.030, "joint"), ((0, -0.030, 0), (0, 0.030, 0), 0.028, "shell")),
    "link5": (((0, -0.055, 0), (0, -0.020, 0), 0.026, "joint"),),
    "link6": (((0, 0, -0.036), (0, 0, 0.008), 0.028, "shell"),),
}
BOXES = {  # centre and size, m
    "flange": ((0.0, 0.0, 0.030), (0.048, 0.096, 0.044), "shell"),
    "finger_left": ((0.0, 0.006, 0.095), (0.020, 0.012, 0.080), "joint"),
    "finger_right": ((0.0, -0.006, 0.095), (0.020, 0.012, 0.080), "joint"),
}
_EFFORT = {"joint": 100.0, "gripper": 50.0}  # N m and N; the format asks for them, nothing here uses them
_GRIPPER_SPEED = 0.1  # m/s


def urdf(dh_is_offset: bool, tcp: float = TOOL_OFFSET) -> str:
    """Return the arm as URDF.

    Args:
        dh_is_offset: which zero the firmware gives J2 and J3, see `kinematics`.
        tcp: m from the flange to the grasp centre.
    """
    robot = ET.Element("robot", name="piper")
    for name, color in COLORS.items():
        ET.SubElement(ET.SubElement(robot, "material", name=name), "color", rgba=color)
    arm = [BASE_FRAME, *(f"link{k}" for k in range(1, 7))]
    for name in (*arm, "flange", "tool", "gripper_opening", "finger_left", "finger_right"):
        _add_link(robot, name)
    before = np.eye(4)
    for k, pose in enumerate(link_poses(np.zeros(6), dh_is_offset)):
        joint = _add_joint(robot, f"joint{k + 1}", "revolute", (arm[k], arm[k + 1]), np.linalg.inv(before) @ pose)
        _limit(joint, (0, 0, 1), JOINT_LIMITS[k], _EFFORT["joint"], JOINT_MAX_VELOCITY)
        before = pose
    _add_joint(robot, "flange", "fixed", ("link6", "flange"), np.eye(4))
    tool = np.eye(4)
    tool[2, 3] = tcp
    _add_joint(robot, "tool", "fixed", ("flange", "tool"), tool)
    _add_gripper(robot)
    ET.indent(robot)
    return ET.tostring(robot, encoding="unicode", xml_declaration=True) + "\n"


def _add_gripper(robot: ET.Element) -> None:
    """Add the opening, a joint without a shape, and the two fingers that each go half of it."""
    limits = np.array(GRIPPER_RANGE)
    opening = _add_joint(robot, "gripper", "prismatic", ("flange", "gripper_opening"), np.eye(4))
    _limit(opening, (0, 1, 0), limits, _EFFORT["gripper"], _GRIPPER_SPEED)
    for side, sign in (("left", 1), ("right", -1)):
        joint = _add_joint(robot, f"finger_{side}", "prismatic", ("flange", f"finger_{side}"), np.eye(4))
        _limit(joint, (0, sign, 0), limits / 2, _EFFORT["gripper"], _GRIPPER_SPEED / 2)
        ET.SubElement(joint, "mimic", joint="gripper", multiplier="0.5", offset="0")


def _add_link(robot: ET.Element, name: str) -> None:
    link = ET.SubElement(robot, "link", name=name)
    for start, end, radius, material in CYLINDERS.get(name, ()):
        axis = np.subtract(end, start)
        length = float(np.linalg.norm(axis))
        # A cylinder of URDF stands along z: pitch and yaw turn z to where the axis points.
        angles = np.array([0.0, math.acos(axis[2] / length), math.atan2(axis[1], axis[0])])
        shape = _add_visual(link, np.add(start, end) / 2, angles, material)
        ET.SubElement(shape, "cylinder", radius=f"{radius:g}", length=f"{length:.6g}")
    if name in BOXES:
        centre, size, material = BOXES[name]
        shape = _add_visual(link, np.array(centre), np.zeros(3), material)
        ET.SubElement(shape, "box", size=_numbers(np.array(size)))


def _add_visual(link: ET.Element, centre: NDArray[np.float64], rpy: NDArray[np.float64], material: str) -> ET.Element:
    visual = ET.SubElement(link, "visual")
    ET.SubElement(visual, "origin", xyz=_numbers(centre), rpy=_numbers(rpy))
    geometry = ET.SubElement(visual, "geometry")
    ET.SubElement(visual, "material", name=material)
    return geometry


def _add_joint(
    robot: ET.Element, name: str, kind: str, links: tuple[str, str], origin: NDArray[np.float64]
) -> ET.Element:
    joint = ET.SubElement(robot, "joint", name=name, type=kind)
    ET.SubElement(joint, "parent", link=links[0])
    ET.SubElement(joint, "child", link=links[1])
    ET.SubElement(joint, "origin", xyz=_numbers(origin[:3, 3]), rpy=_numbers(matrix_to_rpy(origin[:3, :3])))
    return joint


def _limit(
    joint: ET.Element, axis: tuple[int, int, int], limits: NDArray[np.float64], effort: float, velocity: float
) -> None:
    ET.SubElement(joint, "axis", xyz=_numbers(np.array(axis)))
    numbers = {"lower": limits[0], "upper": limits[1], "effort": effort, "velocity": velocity}
    ET.SubElement(joint, "limit", {name: f"{value:g}" for name, value in numbers.items()})


def _numbers(values: NDArray[np.float64]) -> str:
    return " ".join(f"{value + 0.0:.12g}" for value in values.astype(float))
