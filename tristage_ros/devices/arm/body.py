"""The arm's body, part by part, and how deep it is in what it must not touch.

Every part from the upper arm to the fingertips is a capsule or a box in the frame of its link, about the size of the
arm's shells; the fingers are as wide open as they go. Against table and walls, which are planes, the parts are exact;
against what has edges (keep-out boxes, the arm's own base) each is covered by balls, which err outwards by 3 % of a
capsule's radius or 6 mm of a box. Lengths in m.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from tristage_ros.devices.arm.kinematics import quaternion_to_matrix
from tristage_ros.devices.arm.tool import Tool, WristCamera
from tristage_ros.devices.arm.workspace import Box

Floats = NDArray[np.float64]
Indices = NDArray[np.int_]

# name, link (0..5), ends of its axis in the link's frame, radius
_CAPSULES: tuple[tuple[str, int, tuple[float, float, float], tuple[float, float, float], float], ...] = (
    ("the upper arm", 1, (0.045, 0.0, 0.0), (0.250, 0.0, 0.0), 0.035),
    ("the elbow", 2, (0.0, 0.0, -0.035), (0.0, 0.0, 0.035), 0.050),
    ("the forearm", 2, (-0.010, -0.030, 0.0), (-0.021, -0.185, 0.0), 0.035),
    ("the wrist", 3, (0.0, 0.0, -0.050), (0.0, 0.0, 0.0), 0.040),
    ("the wrist", 4, (0.0, -0.045, 0.0), (0.0, -0.020, 0.0), 0.028),
    ("the wrist", 5, (0.0, 0.0, -0.030), (0.0, 0.0, 0.0), 0.030),
)
_GRIPPER = (0.0, 0.0, 0.030), (0.024, 0.048, 0.022)  # centre and half size, in the frame of the flange
_CLEAR = 0.05  # m, beyond which it does not matter how far away something with edges is
_CELL = 0.016  # m, of the cells that cover a box
_BASE_RADIUS = 0.06
_BASE_HEIGHT = 0.11  # of the capsule's upper centre


@dataclass(frozen=True)
class _Balls:
    """Hold balls in the frames of their links: `part` [n], `link` [n], `centre` [n, 4] (homogeneous), `radius` [n]."""

    part: Indices
    link: Indices
    centre: Floats
    radius: Floats

    def at(self, links: Floats) -> Floats:
        """Return the centres [..., n, 3] in the base frame for link poses [..., 6, 4, 4]."""
        centres: Floats = np.einsum("...pij,pj->...pi", links[..., self.link, :3, :], self.centre)
        return centres

    def worst(self, depth: Floats) -> Floats:
        """Return of depths [..., n] of the balls the greatest of each part, [..., parts]."""
        return np.maximum.reduceat(depth, np.flatnonzero(np.diff(self.part, prepend=-1)), axis=-1)


@dataclass(frozen=True)
class Body:
    """Say how deep the parts of an arm are in the table or in its own base, out of its box or in a keep-out box."""

    cameras: tuple[WristCamera, ...] = (WristCamera(),)
    tool: Tool = field(default_factory=Tool)
    box: Box | None = None  # that no part may leave; None: no such box
    keep_out: tuple[Box, ...] = ()  # that no part may enter

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """Return the names of the parts; several may have the same."""
        capsules = [name for name, *_ in _CAPSULES]
        return (*capsules, "the gripper", *("a finger" for _ in range(2)), *("the wrist camera" for _ in self.cameras))

    @cached_property
    def obstacles(self) -> tuple[str, ...]:
        """Return what each column group of `depths` is about, in words behind a length."""
        walls = () if self.box is None else (f"outside {self.box.name}",)
        kept_free = (f"deep in {box.name}" for box in self.keep_out)
        return ("deep in the table", *walls, "deep in the arm's base", *kept_free)

    def depths(self, links: Floats, table_height: float) -> Floats:
        """Return how deep, m, every part is in every obstacle: [..., obstacles * parts], below 0 where it is clear.

        Args:
            links: poses [..., 6, 4, 4] of the link frames.
            table_height: m.
        """
        hull = self._hull
        corners = hull.at(links)
        columns = [hull.worst(table_height - corners[..., 2] + hull.radius)]
        if self.box is not None:
            columns.append(hull.worst(self.box.outside(corners) + hull.radius))
        columns.append(self._covered(links, _base_depth))
        columns += [self._covered(links, partial(_box_depth, box)) for box in self.keep_out]
        return np.concatenate(columns, axis=-1)

    def _covered(self, links: Floats, depth: Callable[[_Balls, Floats], Floats]) -> Floats:
        """Return how deep every part is in what has edges, [..., parts]; -_CLEAR where it is farther away than that.

        Balls are looked at one by one only where the ball around a whole part is near.
        """
        rows = links.reshape(-1, 6, 4, 4)
        bounds, cover = self._bounds, self._cover
        near = (depth(bounds, bounds.at(rows)) > -_CLEAR).any(-1)
        result = np.full((len(rows), len(self.parts)), -_CLEAR)
        if near.any():
            result[near] = np.maximum(cover.worst(depth(cover, cover.at(rows[near]))), -_CLEAR)
        return result.reshape(*links.shape[:-3], -1)

    def depth(self, links: Floats, table_height: float) -> tuple[Floats, Indices]:
        """Return how many metres [...] the worst part is in an obstacle (0: none is) and which [...] of `depths`."""
        depths = self.depths(links, table_height)
        return np.maximum(depths.max(-1), 0.0), depths.argmax(-1)

    def describe(self, which: int, depth: float) -> str:
        """Put a column of `depths` and what stands there, m, in words."""
        obstacle, part = divmod(which, len(self.parts))
        return f"{self.parts[part]} would be {depth:.3f} m {self.obstacles[obstacle]}"

    def fast_points(self, links: Floats) -> Floats:
        """Return where grasp centre, tips, cameras and elbow are, whose speed counts: [..., k, 3] in the base frame."""
        at_flange = [(0.0, 0.0, self.tool.tcp), (0.0, 0.0, self.tool.fingertips)]
        at_flange += [camera.position for camera in self.cameras]
        flange = links[..., 5, :3, :]
        points = np.einsum("...ij,pj->...pi", flange, np.array([[*point, 1.0] for point in at_flange]))
        return np.concatenate([points, links[..., 2:3, :3, 3]], axis=-2)

    def _boxes(self) -> list[tuple[Floats, Floats, Floats]]:
        """Return the boxes on the flange: axes [3, 3], centre [3] and half size [3], in the order of their names."""
        centres, halves = self.tool.fingers()
        plain = [(np.array(_GRIPPER[0]), np.array(_GRIPPER[1])), *zip(centres, halves, strict=True)]
        boxes = [(np.eye(3), centre, half) for centre, half in plain]
        for camera in self.cameras:
            axes, (centre, half) = quaternion_to_matrix(np.array(camera.rotation)), camera.box()
            boxes.append((axes, axes @ centre + np.array(camera.position), half))
        return boxes

    @cached_property
    def _hull(self) -> _Balls:
        """Return ends of capsules and corners of boxes: what is in a plane first."""
        found = [
            (k, link, np.array(end), radius) for k, (_, link, *ends, radius) in enumerate(_CAPSULES) for end in ends
        ]
        signs = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=float)
        for part, (axes, centre, half) in enumerate(self._boxes(), len(_CAPSULES)):
            found += [(part, 5, corner, 0.0) for corner in centre + (signs * half) @ axes.T]
        return _balls(found)

    @cached_property
    def _bounds(self) -> _Balls:
        """Return one ball around each part."""
        found, cover = [], self._cover
        for part in range(len(self.parts)):
            mine = cover.part == part
            middle = cover.centre[mine, :3].mean(0)
            away = np.linalg.norm(cover.centre[mine, :3] - middle, axis=-1) + cover.radius[mine]
            found.append((part, int(cover.link[mine][0]), middle, float(away.max())))
        return _balls(found)

    @cached_property
    def _cover(self) -> _Balls:
        """Return balls that cover every part."""
        found = []
        for part, (_, link, start, end, radius) in enumerate(_CAPSULES):
            axis = np.subtract(end, start)
            count = 1 + int(np.ceil(2 * np.linalg.norm(axis) / radius))
            apart = float(np.linalg.norm(axis)) / (count - 1)
            larger = float(np.hypot(radius, apart / 2))
            found += [(part, link, np.add(start, share * axis), larger) for share in np.linspace(0.0, 1.0, count)]
        for part, (axes, centre, half) in enumerate(self._boxes(), len(_CAPSULES)):
            counts = np.ceil(2 * half / _CELL).astype(int)
            cell = half / counts  # half of a cell
            steps = [np.linspace(-h + c, h - c, n) for h, c, n in zip(half, cell, counts, strict=True)]
            grid = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, 3)
            surface = (np.abs(grid) >= half - 1.5 * cell).any(-1)  # nothing gets inside but through it
            radius = float(np.linalg.norm(cell))
            found += [(part, 5, place, radius) for place in centre + grid[surface] @ axes.T]
        return _balls(found)


def _base_depth(balls: _Balls, places: Floats) -> Floats:
    """Return how deep balls at `places` [..., n, 3] are in the arm's base, [..., n]."""
    axis = places.copy()
    axis[..., :2], axis[..., 2] = 0.0, np.clip(places[..., 2], 0.0, _BASE_HEIGHT)
    inside: Floats = balls.radius + _BASE_RADIUS - np.linalg.norm(places - axis, axis=-1)
    inside[..., balls.link < 2] = -_CLEAR  # the upper arm turns on the base
    return inside


def _box_depth(box: Box, balls: _Balls, places: Floats) -> Floats:
    """Return how deep balls at `places` [..., n, 3] are in a box, [..., n]."""
    return balls.radius - box.distance(places)


def _balls(found: list[tuple[int, int, NDArray[np.float64], float]]) -> _Balls:
    part, link, centre, radius = zip(*found, strict=True)
    return _Balls(np.array(part), np.array(link), np.array([[*c, 1.0] for c in centre]), np.array(radius))
