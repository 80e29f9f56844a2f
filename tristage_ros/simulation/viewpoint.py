"""Where the front camera stands: where the cameras file says, beside that or anywhere, and calibrated there."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from tristage_ros.perception.extrinsics import CameraMount

AZIMUTH = math.radians(40.0)  # to either side of the direction that the arm looks in
ELEVATION = (math.radians(26.0), math.radians(56.0))  # above the horizon
DISTANCE = (0.72, 1.04)  # m, from what it looks at
TARGET = (0.28, 0.0, 0.06)  # m, base frame: the middle of what the arm works on
BESIDE = 0.04  # m per axis, by which it looks beside that
ROLL = math.radians(3.0)  # to either side
_STREAM = 0xCA3  # of the generator, so that nothing else that a seed decides depends on the camera


def anywhere(mount: CameraMount, seed: int) -> CameraMount:
    """Return a camera on the base at a pose that `seed` draws, as its calibration would tell it.

    Raises:
        ValueError: it moves with the arm.
    """
    if mount.parent != "base_link":
        raise ValueError(f"camera {mount.name} is on {mount.parent}; one that may stand anywhere is on base_link")
    rng = np.random.default_rng((seed, _STREAM))
    azimuth, elevation = rng.uniform(-AZIMUTH, AZIMUTH), rng.uniform(*ELEVATION)
    away = np.array(
        [math.cos(elevation) * math.cos(azimuth), math.cos(elevation) * math.sin(azimuth), math.sin(elevation)]
    )
    target = np.array(TARGET) + rng.uniform(-BESIDE, BESIDE, 3)
    pose = np.eye(4)
    pose[:3, 3] = target + rng.uniform(*DISTANCE) * away
    pose[:3, :3] = _looking(-away) @ _about_z(rng.uniform(-ROLL, ROLL))
    return replace(mount, pose=pose)


def beside(mount: CameraMount, seed: int, shift: float, turn: float) -> CameraMount:
    """Return a camera that was knocked and calibrated anew: off by `shift` m and `turn` rad, deviations per axis."""
    rng = np.random.default_rng((seed, _STREAM, 1))
    pose = mount.pose.copy()
    pose[:3, 3] += rng.normal(0.0, shift, 3)
    pose[:3, :3] = Rotation.from_rotvec(rng.normal(0.0, turn, 3)).as_matrix() @ pose[:3, :3]
    return replace(mount, pose=pose)


def zoomed(vertical_fov: float, zoom: float) -> float:
    """Return the field of view, degrees, of a lens whose focal length is `zoom` times as long."""
    return math.degrees(2.0 * math.atan(math.tan(math.radians(vertical_fov) / 2.0) / zoom))


def _looking(forward: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rotation [3, 3] of an optical frame that looks along `forward` and stands upright."""
    right = np.cross(forward, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(forward, right), forward], axis=1)


def _about_z(angle: float) -> NDArray[np.float64]:
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
