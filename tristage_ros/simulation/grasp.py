"""How the tool points: down, leaning outwards as far as the wrist needs it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tristage_ros.devices.arm.kinematics import rpy_to_matrix

Floats = NDArray[np.float64]

LEAST_TILT = math.radians(15.0)
TILT_SLOPE = math.radians(120.0)  # rad per metre of height above TILT_FROM
TILT_FROM = 0.05  # m
WRIST_RANGE = math.radians(110.0)  # of the last joint, to either side, that grasps use
_DOWN = np.diag([-1.0, 1.0, -1.0])  # the tool's frame when it points down: z down, the wrist camera's side to the base


def tilt(height: float) -> float:
    """Return the angle, rad, by which a tool at `height` m leans outwards.

    Joint 5 turns by 70 degrees only, so that a tool can point straight down close to the table and nowhere else. With
    this slope every position up to 0.35 m high and 0.18 to 0.52 m away from the base is within the joint limits.
    """
    return LEAST_TILT + TILT_SLOPE * max(0.0, height - TILT_FROM)


def tool_rotation(position: Floats, yaw: float, lean_by: float | None = None) -> Floats:
    """Return the rotation [3, 3] of a tool at `position` [3] m whose fingers close across the direction `yaw`, rad.

    It leans outwards by `lean_by` rad, by `tilt` of its height when that is None.
    """
    azimuth = azimuth_of(position)
    lean = rpy_to_matrix((0.0, -tilt(float(position[2])) if lean_by is None else -lean_by, 0.0))
    return rpy_to_matrix((0.0, 0.0, azimuth)) @ lean @ rpy_to_matrix((0.0, 0.0, yaw - azimuth)) @ _DOWN


def tool_yaw(pose: Floats) -> float:
    """Return the direction, rad, across which the fingers of a tool at `pose` [4, 4] close: undoes `tool_rotation`."""
    azimuth = azimuth_of(pose[:3, 3])
    upright = rpy_to_matrix((0.0, 0.0, -azimuth)) @ pose[:3, :3] @ _DOWN
    leaning = -math.atan2(upright[0, 2], upright[2, 2])
    level = rpy_to_matrix((0.0, leaning, 0.0)) @ upright
    return azimuth + math.atan2(level[1, 0], level[0, 0])


def nearest_grasp(direction: float, position: Floats, present: float) -> float:
    """Return the yaw, rad, of a grasp across `direction` at `position` [3] that turns the wrist least from `present`.

    The fingers are alike, so that half a turn more is the same grasp; only what the wrist can turn to is considered.
    """
    azimuth = azimuth_of(position)
    turns = [math.remainder(direction - azimuth, math.pi) + k * math.pi for k in (-1, 0, 1)]
    possible = [azimuth + turn for turn in turns if abs(turn) <= WRIST_RANGE]
    return min(possible, key=lambda yaw: abs(yaw - present))


def keep_yaw(present: float, position: Floats) -> float:
    """Return the yaw nearest to `present`, rad, that the wrist can keep at `position` [3] m."""
    azimuth = azimuth_of(position)
    return azimuth + min(WRIST_RANGE, max(-WRIST_RANGE, math.remainder(present - azimuth, 2 * math.pi)))


def azimuth_of(position: Floats) -> float:
    """Return the direction, rad, in which `position` [3] lies from the base: the yaw that leaves the wrist straight."""
    return math.atan2(position[1], position[0])
