"""The arm and its site as entities of Rerun, everything in the base frame.

The shapes are those of the URDF (`devices.arm.urdf`), each in the frame of its link; what moves are the links, by the
kinematics of the firmware in use.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tristage_ros.devices.arm.kinematics import link_poses, matrix_to_quaternion, quaternion_to_matrix, tool_pose
from tristage_ros.devices.arm.site import Site
from tristage_ros.devices.arm.urdf import BOXES, COLORS, CYLINDERS
from tristage_ros.devices.arm.workspace import Box
from tristage_ros.viewing.logger.wire import Record

Floats = NDArray[np.float64]

ARM, SITE, TARGET, KEY_FRAME = "cell/arm", "cell/site", "cell/target", "cell/key_frame"
_AXES = np.array([(230, 60, 60), (60, 190, 75), (70, 120, 240)], np.uint8)  # x, y, z
_TARGET_LENGTH, _KEY_FRAME_LENGTH = 0.05, 0.09  # m
_WAY = (255, 205, 60)  # colour of the way to a key frame
_BOX, _TOOL_BOX, _TABLE, _KEEP_OUT = (77, 166, 255), (77, 217, 115), (168, 138, 105), (242, 64, 51)
_THIN = 0.002  # m


def shapes() -> Iterator[Record]:
    """Yield the shapes of every link, of fingers and of the flange, in its own frame."""
    for link, cylinders in CYLINDERS.items():
        ends = np.array([(start, end) for start, end, _, _ in cylinders], float)
        axes = ends[:, 1] - ends[:, 0]
        fields = {
            "lengths": np.linalg.norm(axes, axis=1),
            "radii": np.array([radius for _, _, radius, _ in cylinders]),
            "centers": ends.mean(axis=1),
            "quaternions": np.array([_from_z(axis) for axis in axes]),
            "colors": np.array([_color(material) for *_, material in cylinders], np.uint8),
            "fill_mode": "solid",
        }
        yield Record(f"{ARM}/{link}/shape", "Cylinders3D", fields)
    for link, (centre, size, material) in BOXES.items():
        fields = {
            "centers": np.array([centre]),
            "half_sizes": np.array([size]) / 2,
            "colors": np.array([_color(material)], np.uint8),
            "fill_mode": "solid",
        }
        yield Record(f"{ARM}/{link}/shape", "Boxes3D", fields)


def at_joints(positions: Floats, dh_is_offset: bool, time: int) -> Iterator[Record]:
    """Yield where the links are at joint positions [7]: rad, the last the gripper's opening in m."""
    links = link_poses(positions[:6], dh_is_offset)
    for number, pose in enumerate(links, 1):
        yield transform(f"{ARM}/link{number}", pose, time)
    flange = links[5]
    yield transform(f"{ARM}/flange", flange, time)
    for side, sign in (("left", 1), ("right", -1)):
        finger = np.eye(4)
        finger[1, 3] = sign * positions[6] / 2
        yield transform(f"{ARM}/finger_{side}", flange @ finger, time)


def target(tool: Floats, time: int) -> Record:
    """Return the pose [4, 4] of the tool at the joints that were asked for last, as axes."""
    return _axes(f"{TARGET}/tool", tool, _TARGET_LENGTH, time)


def key_frame(tool: Floats, chunk: Any, time: int) -> Iterator[Record]:
    """Yield where an ActionChunk, seen from the tool's pose [4, 4] at its observation, leads, and the way there."""
    ways = np.array([(step.x, step.y, step.z) for step in chunk.translation], float).reshape(-1, 3)
    if not len(ways) or not len(chunk.orientation):
        return
    turn = chunk.orientation[-1]
    pose = np.eye(4)
    pose[:3, :3] = quaternion_to_matrix((turn.x, turn.y, turn.z, turn.w))
    pose[:3, 3] = tool[:3, 3] + ways[-1]
    if not np.isfinite(pose).all():
        return
    yield _axes(f"{KEY_FRAME}/tool", pose, _KEY_FRAME_LENGTH, time)
    strip = np.vstack([tool[:3, 3], tool[:3, 3] + ways])[None]
    fields = {"strips": strip, "colors": np.array([_WAY], np.uint8), "radii": np.array([0.002])}
    yield Record(f"{KEY_FRAME}/way", "LineStrips3D", fields, time)


def site_boxes(site: Site) -> Iterator[Record]:
    """Yield the boxes of a site: lines that no part of the arm and the grasp centre do not leave, table, keep-out."""
    yield _boxes(f"{SITE}/box", [site.box], _BOX)
    yield _boxes(f"{SITE}/tool_box", [site.tool_box], _TOOL_BOX)
    (x, y, _), (far_x, far_y, _), top = site.box.lower, site.box.upper, site.table_height
    table = Box("table", (x, y, top - _THIN), (far_x, far_y, top))
    yield _boxes(f"{SITE}/table", [table], (*_TABLE, 90), solid=True)
    if site.keep_out:
        yield _boxes(f"{SITE}/keep_out", site.keep_out, (*_KEEP_OUT, 120), solid=True, named=True)


def tool_at(joints: ArrayLike, dh_is_offset: bool, site: Site) -> Floats:
    """Return the pose [4, 4] of the site's grasp centre at joint positions [6], rad."""
    return tool_pose(link_poses(joints, dh_is_offset)[5], site.tool.tcp)


def transform(path: str, pose: Floats, time: int | None) -> Record:
    """Return where an entity is: `pose` [4, 4] in the base frame."""
    fields = {"translation": pose[:3, 3], "quaternion": matrix_to_quaternion(pose[:3, :3])}
    return Record(path, "Transform3D", fields, time)


def _axes(path: str, pose: Floats, length: float, time: int) -> Record:
    fields = {
        "origins": np.tile(pose[:3, 3], (3, 1)),
        "vectors": pose[:3, :3].T * length,
        "colors": _AXES,
        "radii": np.full(3, 0.003),
    }
    return Record(path, "Arrows3D", fields, time)


def _boxes(
    path: str, boxes: Iterable[Box], color: tuple[int, ...], *, solid: bool = False, named: bool = False
) -> Record:
    lower, upper = (np.array([getattr(box, end) for box in boxes], float) for end in ("lower", "upper"))
    fields: dict[str, Any] = {
        "centers": (lower + upper) / 2,
        "half_sizes": (upper - lower) / 2,
        "colors": np.array([color] * len(lower), np.uint8),
        "fill_mode": "solid" if solid else "majorwireframe",
    }
    if named:
        fields["labels"] = [box.name for box in boxes]
    return Record(path, "Boxes3D", fields)


def _from_z(axis: Floats) -> Floats:
    """Return a quaternion [4], x, y, z, w, that turns z to where `axis` [3] points."""
    x, y, z = axis / np.linalg.norm(axis)
    if z < -1 + 1e-9:
        return np.array([1.0, 0.0, 0.0, 0.0])
    w = math.sqrt((1 + z) / 2)
    return np.array([-y / (2 * w), x / (2 * w), 0.0, w])


def _color(material: str) -> list[int]:
    """Return the RGBA of a material of the URDF."""
    return [round(255 * float(part)) for part in COLORS[material].split()]
