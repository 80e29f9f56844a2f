"""An observation as a policy server is told it: pictures, numbers and the prompt under the keys of a map."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from tristage_ros.devices.arm.kinematics import GRIPPER_RANGE, TOOL_OFFSET, forward, matrix_to_rpy, tool_pose
from tristage_ros.openpi.mapping import Key, Part, PolicyMap

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Moment:
    """Hold what is known of one moment."""

    stamp: float  # s, ROS time
    images: Mapping[str, NDArray[np.uint8]]  # [H, W, 3] RGB by camera
    joints: Floats  # [7] measured, rad, and the gripper's opening in m
    dh_is_offset: bool = True  # zero of the joints, see `kinematics.dh_is_offset`
    tcp: float = TOOL_OFFSET  # m from the flange to the grasp centre

    @property
    def tool(self) -> Floats:
        """Return the pose [4, 4] of the grasp centre in the base frame."""
        return tool_pose(forward(self.joints[:6], self.dh_is_offset), self.tcp)


def question(mapped: PolicyMap, moment: Moment, prompt: str) -> dict[str, Any]:
    """Return what the server is asked: maps in maps, uint8 images, and vectors.

    Raises:
        KeyError: the moment lacks a camera.
    """
    asked: dict[str, Any] = {}
    for picture in mapped.pictures:
        pixels = padded(moment.images[picture.camera], picture.height, picture.width)
        _put(asked, picture.key, np.ascontiguousarray(pixels.transpose(2, 0, 1)) if picture.channels_first else pixels)
    for vector in mapped.vectors:
        numbers = np.concatenate([_numbers(part, moment) for part in vector.parts])
        _put(asked, vector.key, numbers.astype(vector.dtype))
    _put(asked, mapped.prompt, prompt)
    return asked


def padded(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Return an image [H, W, 3] as large as fits into [height, width], black around it, nothing distorted."""
    rows, columns = image.shape[:2]
    ratio = max(columns / width, rows / height)
    within = (max(1, int(columns / ratio)), max(1, int(rows / ratio)))
    if within != (columns, rows):  # the area smooths what becomes smaller, as openpi's resizing does
        image = np.asarray(cv2.resize(image, within, interpolation=cv2.INTER_AREA if ratio > 1 else cv2.INTER_LINEAR))
    if image.shape[:2] == (height, width):
        return np.ascontiguousarray(image)
    result = np.zeros((height, width, 3), np.uint8)
    top, left = (height - within[1]) // 2, (width - within[0]) // 2
    result[top : top + within[1], left : left + within[0]] = image
    return result


def _numbers(part: Part, moment: Moment) -> Floats:
    if part.kind == "joints":
        return np.asarray(moment.joints[:6] / part.unit)
    if part.kind == "position":
        return np.asarray(moment.tool[:3, 3] / part.unit)
    if part.kind == "rotation":
        return _rotation(moment.tool[:3, :3], part)
    if part.kind == "gripper":
        share = min(1.0, max(0.0, float(moment.joints[6]) / GRIPPER_RANGE[1]))
        return np.array([part.closed + share * (part.opened - part.closed)])
    return np.array(part.values)


def _rotation(matrix: Floats, part: Part) -> Floats:
    if part.form == "rpy":
        return matrix_to_rpy(matrix) / part.unit
    rotation = Rotation.from_matrix(matrix)
    if part.form == "axis_angle":
        return np.asarray(rotation.as_rotvec() / part.unit)
    quaternion = np.asarray(rotation.as_quat())
    quaternion *= np.copysign(1.0, quaternion[3])  # of the two that mean the same, that with w >= 0
    return quaternion if part.form == "quaternion_xyzw" else quaternion[[3, 0, 1, 2]]


def _put(into: dict[str, Any], key: Key, value: Any) -> None:
    for name in key[:-1]:
        into = into.setdefault(name, {})
    into[key[-1]] = value
