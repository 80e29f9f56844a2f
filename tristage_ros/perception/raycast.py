"""Which solid a depth camera should see at a pixel, how far away, and how its surface is inclined.

Solids are cylinders and boxes anywhere in the base frame; the nearest one along a pixel's ray hides the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tristage_ros.perception.camera import CameraModel

Floats = NDArray[np.float64]
NOTHING = -1  # in the place of a solid's number


@dataclass(frozen=True)
class Solids:
    """Cylinders and boxes, one row each; a cylinder stands along its own z."""

    poses: Floats  # [K, 4, 4] of the centres in the base frame, m
    halves: Floats  # [K, 3] half of a box's edges; of a cylinder its radius, its radius, half of its length, m
    round: NDArray[np.bool_]  # [K] a cylinder


@dataclass(frozen=True)
class Cast:
    """What is seen through every n-th pixel of every n-th row."""

    rays: Floats  # [H, W, 3] base frame, of length 1 along the optical axis
    depth: Floats  # [H, W] m along the optical axis, inf where no solid is
    normals: Floats  # [H, W, 3] unit vectors out of the surface, base frame; 0 where no solid is
    solid: NDArray[np.int64]  # [H, W] which one, NOTHING where there is none


def cast(solids: Solids, camera: CameraModel, stride: int) -> Cast:
    """Look at `solids` through every `stride`-th pixel of every `stride`-th row of `camera`."""
    x, y = camera.rays(stride)
    rays = np.stack([x, y, np.ones_like(x)], axis=-1)
    rotation, place = camera.pose[:3, :3], camera.pose[:3, 3]
    shape = rays.shape[:2]
    depth, solid = np.full(shape, np.inf), np.full(shape, NOTHING)
    normals = np.zeros((*shape, 3))
    for number, (pose, half, is_round) in enumerate(zip(solids.poses, solids.halves, solids.round, strict=True)):
        window = _window((pose[:3, 3] - place) @ rotation, float(np.linalg.norm(half)), camera, stride, shape)
        if window is None:
            continue
        turn = rotation.T @ pose[:3, :3]  # from the optical frame to the solid's own
        origin = (place - pose[:3, 3]) @ pose[:3, :3]
        meet = _cylinder if is_round else _box
        distance, normal = meet(origin, rays[window] @ turn, half)
        nearer = distance < depth[window]
        depth[window][nearer], solid[window][nearer] = distance[nearer], number
        normals[window][nearer] = normal[nearer] @ pose[:3, :3].T
    return Cast(rays @ rotation.T, depth, normals, solid)


def _window(
    centre: Floats, radius: float, camera: CameraModel, stride: int, shape: tuple[int, ...]
) -> tuple[slice, slice] | None:
    """Return the rows and columns in which a ball at `centre` ([3] m, optical frame) can be seen, None if nowhere."""
    if centre[2] <= -radius:
        return None
    if centre[2] <= 1.5 * radius:  # the camera is in or beside it
        return slice(0, shape[0]), slice(0, shape[1])
    reach = radius / (centre[2] - radius)
    if camera.lens is not None:
        return _window_of(camera.rays(stride), centre[:2] / centre[2], reach)
    spans = []
    for middle, focal, first, size in (
        (centre[1] / centre[2], camera.fy, camera.cy, shape[0]),
        (centre[0] / centre[2], camera.fx, camera.cx, shape[1]),
    ):
        half = reach * (1.0 + abs(middle))
        low, high = (first + focal * (middle - half)) / stride, (first + focal * (middle + half)) / stride
        spans.append(slice(max(0, int(low)), min(size, int(high) + 2)))
    return None if any(span.start >= span.stop for span in spans) else (spans[0], spans[1])


def _window_of(rays: Floats, middle: Floats, reach: float) -> tuple[slice, slice] | None:
    """Return the rows and columns of the rays [2, H, W] that are no farther from `middle`, [2], than a ball reaches."""
    half = reach * (1.0 + np.abs(middle))
    near = (np.abs(rays[0] - middle[0]) <= half[0]) & (np.abs(rays[1] - middle[1]) <= half[1])
    rows, columns = np.flatnonzero(near.any(axis=1)), np.flatnonzero(near.any(axis=0))
    if not len(rows):
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _box(origin: Floats, rays: Floats, half: Floats) -> tuple[Floats, Floats]:
    """Return distance [...] (inf: missed) and normal [..., 3] of rays [..., 3] in the frame of a box."""
    with np.errstate(divide="ignore", invalid="ignore"):
        one, other = (-half - origin) / rays, (half - origin) / rays
    near, far = np.minimum(one, other), np.maximum(one, other)
    enter, leave = near.max(-1), far.min(-1)
    axis = near.argmax(-1)
    normal = np.zeros(rays.shape)
    along = np.take_along_axis(rays, axis[..., None], -1)
    np.put_along_axis(normal, axis[..., None], -np.sign(along), -1)
    return np.where((enter <= leave) & (enter > 0), enter, np.inf), normal


def _cylinder(origin: Floats, rays: Floats, half: Floats) -> tuple[Floats, Floats]:
    """Return distance [...] (inf: missed) and normal [..., 3] of rays [..., 3] in the frame of a cylinder."""
    radius, top = half[0], half[2]
    across = rays[..., :2]
    a, b = (across**2).sum(-1), across @ origin[:2]
    c = origin[:2] @ origin[:2] - radius**2
    with np.errstate(divide="ignore", invalid="ignore"):
        side = (-b - np.sqrt(b**2 - a * c)) / a
        end = (np.copysign(top, -rays[..., 2]) - origin[2]) / rays[..., 2]
        on_side = (side > 0) & (np.abs(origin[2] + side * rays[..., 2]) <= top)
        foot = origin[:2] + end[..., None] * across
        on_end = (end > 0) & ((foot**2).sum(-1) <= radius**2)
        side_normal = np.concatenate([origin[:2] + side[..., None] * across, np.zeros((*side.shape, 1))], -1) / radius
    end_normal = np.zeros(rays.shape)
    end_normal[..., 2] = -np.sign(rays[..., 2])
    distance = np.where(on_end, end, np.where(on_side, side, np.inf))
    return distance, np.where(on_end[..., None], end_normal, side_normal)
