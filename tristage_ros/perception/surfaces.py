"""What depth images say about where the arm and the table should be: surfaces that are there, missing or hidden.

The arm's surfaces are cast from its shells at the joints that it reports; the table is a level plane in the base frame.
Something nearer than the predicted surface hides it and tells nothing; something farther away means that the surface is
not where it should be.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from tristage_ros.perception.camera import CameraModel, project
from tristage_ros.perception.cloud import RgbdFrame, Workspace
from tristage_ros.perception.raycast import NOTHING, Cast, Solids, cast

Floats = NDArray[np.float64]
TABLE = -1  # in the place of a link's number

GATE = 0.03  # m along the ray: nearer than that is something else, farther is free space
EDGE = 0.03  # m: where the predicted depth changes by more from pixel to pixel nothing is judged
SLANT = 0.25  # cosine between ray and normal: what is seen flatter is not judged
CELL = 0.02  # m, of the map of the bare table
BARE = 0.008  # m: what is nearer to the table than that, is table


@dataclass(frozen=True)
class ArmShape:
    """Say where every part of the arm is, and about which axes it turns; base frame, m."""

    solids: Solids
    link: NDArray[np.int64]  # [K] of every solid: 0 the base, 1 to 6 the links, the gripper is the last one's
    origins: Floats  # [6, 3] a point on every joint's axis
    axes: Floats  # [6, 3] unit vectors along it

    def turned(self, by: Floats) -> tuple[ArmShape, Floats]:
        """Return the arm with its joints turned by [6] rad, and how that moves what is on the flange, [4, 4]."""
        moved = [np.eye(4)]  # by link, the base first
        for origin, axis, angle in zip(self.origins, self.axes, by, strict=True):
            turn = np.eye(4)
            turn[:3, :3] = Rotation.from_rotvec(angle * axis).as_matrix()
            turn[:3, 3] = origin - turn[:3, :3] @ origin
            moved.append(moved[-1] @ turn)
        links = np.stack(moved)
        origins = np.einsum("kij,kj->ki", links[:-1, :3, :3], self.origins) + links[:-1, :3, 3]
        axes = np.einsum("kij,kj->ki", links[:-1, :3, :3], self.axes)
        solids = replace(self.solids, poses=links[self.link] @ self.solids.poses)
        return ArmShape(solids, self.link, origins, axes), links[-1]


@dataclass(frozen=True)
class Table:
    """The part of a level table that the workspace stands on."""

    height: float  # m, base frame
    lower: tuple[float, float]  # m, x and y
    upper: tuple[float, float]  # m, x and y

    @classmethod
    def under(cls, workspace: Workspace, height: float) -> Table:
        """Return the table below a box."""
        return cls(height, workspace.lower[:2], workspace.upper[:2])


@dataclass(frozen=True)
class Sight:
    """Compare one depth image with what was predicted, pixel by pixel where both can be judged."""

    points: Floats  # [N, 3] predicted, base frame, m
    normals: Floats  # [N, 3] of the predicted surface
    errors: Floats  # [N] m by which the measured surface lies outside the predicted one, along the normal
    beyond: Floats  # [N] m by which the measured depth is farther along the ray, in units of length and not of depth
    link: NDArray[np.int64]  # [N] TABLE, 0 the base, 1 to 6 the links

    def of(self, chosen: NDArray[np.bool_]) -> Sight:
        """Return only the `chosen` [N] pixels."""
        points, normals, errors = self.points[chosen], self.normals[chosen], self.errors[chosen]
        return Sight(points, normals, errors, self.beyond[chosen], self.link[chosen])

    @property
    def hidden(self) -> NDArray[np.bool_]:
        """Tell [N] where something stands in front."""
        return self.beyond < -GATE

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Tell [N] where space is free that should not be."""
        return self.beyond > GATE


def compare(frame: RgbdFrame, shape: ArmShape, table: Table, stride: int) -> Sight:
    """Compare a depth image, on every `stride`-th pixel of every `stride`-th row, with arm and table as predicted."""
    seen = cast(shape.solids, frame.camera, stride)
    link = np.append(shape.link, NOTHING)[seen.solid]
    depth, normals = seen.depth.copy(), seen.normals.copy()
    on_table = _table_depth(seen, frame.camera, table)
    is_table = on_table < depth
    depth[is_table], normals[is_table], link[is_table] = on_table[is_table], (0.0, 0.0, 1.0), TABLE
    measured = frame.depth[::stride, ::stride].astype(np.float64)
    length = np.linalg.norm(seen.rays, axis=-1)
    facing = -np.einsum("hwi,hwi->hw", seen.rays, normals)
    judged = np.isfinite(measured) & _inner(np.where(np.isfinite(seen.depth), seen.depth, depth))
    judged &= np.isfinite(depth) & (facing > SLANT * length)
    rays, behind = seen.rays[judged], measured[judged] - depth[judged]
    points = frame.camera.pose[:3, 3] + depth[judged][:, None] * rays
    errors = -behind * facing[judged]
    return Sight(points, normals[judged], errors, behind * length[judged], link[judged])


def bare_table(sight: Sight, table: Table) -> NDArray[np.bool_]:
    """Return which cells [X, Y] of the table a camera sees, and nothing on them or beside them."""
    on_table = sight.link == TABLE
    flat = on_table & (np.abs(sight.errors) < BARE)
    size = cells(table, np.array([[*table.upper, 0.0]]))[0] + 1
    counts = np.zeros((2, *size), np.int64)
    for count, chosen in zip(counts, (on_table, flat), strict=True):
        np.add.at(count, tuple(cells(table, sight.points[chosen]).T), 1)
    free = ((counts[0] > 0) & (counts[0] == counts[1])).astype(np.uint8)
    bare: NDArray[np.bool_] = cv2.erode(free, np.ones((3, 3), np.uint8), borderValue=0).astype(bool)
    return bare


def cells(table: Table, points: Floats) -> NDArray[np.int64]:
    """Return the cell [N, 2] of the map in which points [N, 3] above or on the table are."""
    return np.floor((points[:, :2] - table.lower) / CELL).astype(np.int64)


def measured_points(frame: RgbdFrame, stride: int) -> Floats:
    """Return what is measured at every `stride`-th pixel of every `stride`-th row, [N, 3] m in the base frame."""
    camera = frame.camera
    depth = frame.depth[::stride, ::stride].astype(np.float64)
    x, y = camera.rays(stride) * depth
    seen = np.isfinite(x)
    points: Floats = np.column_stack([x[seen], y[seen], depth[seen]]) @ camera.pose[:3, :3].T + camera.pose[:3, 3]
    return points


def looked_through(points: Floats, front: RgbdFrame, stride: int) -> NDArray[np.bool_]:
    """Tell, of the points [N, 3] (m, base frame) that another camera measured, where `front` sees free space.

    Only points that `front` can judge are told of, so there may be fewer than N.
    """
    camera = front.camera
    around = np.ones((3, 3), np.uint8)
    nearest = front.depth[::stride, ::stride]
    nearest = cv2.erode(np.where(np.isfinite(nearest), nearest, 0.0), around)  # 0: nothing was measured somewhere there
    uv, depth = project(points, camera)
    inside = (depth > 0) & ((uv >= 0) & (uv <= (camera.width - 1, camera.height - 1))).all(-1)
    column, row = (uv[inside] / stride).astype(np.int64).T
    measured = nearest[row, column]
    judged = measured > 0
    through: NDArray[np.bool_] = measured[judged] - depth[inside][judged] > GATE + BARE
    return through


def _table_depth(seen: Cast, camera: CameraModel, table: Table) -> Floats:
    """Return at which depth [H, W] the rays meet the table, inf where they do not."""
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = (table.height - camera.pose[2, 3]) / seen.rays[..., 2]
        spots = camera.pose[:2, 3] + depth[..., None] * seen.rays[..., :2]
        on_table = (depth > 0) & ((spots > table.lower) & (spots < table.upper)).all(-1)
    return np.where(on_table, depth, np.inf)


def _inner(depth: Floats) -> NDArray[np.bool_]:
    """Tell where the depth [H, W] is much the same all around."""
    around = np.ones((3, 3), np.uint8)
    filled = np.where(np.isfinite(depth), depth, 1e3)
    inner: NDArray[np.bool_] = cv2.dilate(filled, around) - cv2.erode(filled, around) < EDGE
    return inner
