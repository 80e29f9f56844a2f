"""Where the arm's shells are at given joints: the cylinders and boxes of its URDF, fingers without what they hold."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tristage_ros.devices.arm.kinematics import GRIPPER_RANGE, link_poses
from tristage_ros.devices.arm.urdf import BOXES, CYLINDERS
from tristage_ros.devices.arm.values import BASE_FRAME
from tristage_ros.perception.raycast import Solids
from tristage_ros.perception.surfaces import ArmShape

_LINKS = (BASE_FRAME, *(f"link{number}" for number in range(1, 7)))  # the gripper is the last one's
_FINGERS = {"finger_left": 1.0, "finger_right": -1.0}  # to which side along y they open


def arm_shape(joints: ArrayLike, dh_is_offset: bool = True) -> ArmShape:
    """Return where the arm's shells are for [7] joint positions (rad) with the gripper opening (m); base frame.

    `dh_is_offset` tells which zero the firmware gives J2 and J3, see `kinematics`.
    """
    values = np.asarray(joints, dtype=float)
    links = np.concatenate([np.eye(4)[None], link_poses(values[:6], dh_is_offset)])
    poses = links[_OF_LINK] @ _POSES
    opening = np.clip(values[6], *GRIPPER_RANGE) / 2
    poses[:, :3, 3] += opening * _OPENS[:, None] * links[_OF_LINK][:, :3, 1]
    return ArmShape(Solids(poses, _HALVES, _ROUND), _OF_LINK, links[1:, :3, 3], links[1:, :3, 2])


def _standing(start: ArrayLike, end: ArrayLike) -> NDArray[np.float64]:
    """Return the pose [4, 4] of a cylinder between two points, its z along it."""
    axis = np.subtract(end, start)
    z = axis / np.linalg.norm(axis)
    x = np.cross(z, np.eye(3)[np.abs(z).argmin()])
    x /= np.linalg.norm(x)
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = np.stack([x, np.cross(z, x), z], axis=1), np.add(start, end) / 2
    return pose


def _rows() -> tuple[
    NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64], NDArray[np.float64]
]:
    """Return poses in the link, half sizes, whether round, the link and the way it opens, of every primitive."""
    rows = []
    for link, name in enumerate(_LINKS):
        for start, end, radius, _ in CYLINDERS[name]:
            length = float(np.linalg.norm(np.subtract(end, start)))
            rows.append((_standing(start, end), (radius, radius, length / 2), True, link, 0.0))
    for name, (centre, size, _) in BOXES.items():
        pose = np.eye(4)
        pose[:3, 3] = centre
        rows.append((pose, (size[0] / 2, size[1] / 2, size[2] / 2), False, len(_LINKS) - 1, _FINGERS.get(name, 0.0)))
    poses, halves, is_round, link_of, opens = zip(*rows, strict=True)
    return np.array(poses), np.array(halves), np.array(is_round), np.array(link_of), np.array(opens)


_POSES, _HALVES, _ROUND, _OF_LINK, _OPENS = _rows()
