"""The arm's site as markers for RViz and Foxglove: boxes, table, keep-out boxes and home."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product

import numpy as np
from geometry_msgs.msg import Point, Vector3
from numpy.typing import ArrayLike, NDArray
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from tristage_ros.devices.arm.kinematics import link_poses, tool_pose
from tristage_ros.devices.arm.site import Site
from tristage_ros.devices.arm.values import BASE_FRAME
from tristage_ros.devices.arm.workspace import Box

_BOX, _TOOL, _TABLE = (0.30, 0.65, 1.0, 0.9), (0.30, 0.85, 0.45, 0.7), (0.66, 0.54, 0.41, 0.35)
_KEEP_OUT, _HOME, _TEXT = (0.95, 0.25, 0.20, 0.45), (1.0, 0.80, 0.20, 0.9), (0.95, 0.95, 0.95, 1.0)
_LINE, _THIN, _LETTERS = 0.004, 0.002, 0.035  # m: width of lines, thickness of the table, height of letters


def site_markers(site: Site, dh_is_offset: bool) -> MarkerArray:
    """Return the markers; `dh_is_offset`: which zero J2 and J3 have, see `kinematics`."""
    markers = [
        _lines("box", _edges(site.box), _BOX),
        _lines("tool box", _edges(site.tool_box), _TOOL),
        _cube("table", _table(site), _TABLE),
        *(_cube(f"keep-out: {box.name}", box, _KEEP_OUT) for box in site.keep_out),
        *(_text(f"name: {box.name}", box.name, _above(box)) for box in site.keep_out),
        _home(site, dh_is_offset),
        _text("site", f"{site.path.stem}: {site.tool_speed:g} m/s", _above(site.box)),
    ]
    return MarkerArray(markers=markers)


def _marker(name: str, kind: int, color: Sequence[float], scale: Sequence[float]) -> Marker:
    marker = Marker(ns=name, type=kind, action=Marker.ADD, frame_locked=True)
    marker.header.frame_id = BASE_FRAME
    marker.pose.orientation.w = 1.0
    marker.scale = Vector3(**dict(zip("xyz", scale, strict=True)))
    marker.color = ColorRGBA(**dict(zip("rgba", color, strict=True)))
    return marker


def _cube(name: str, box: Box, color: Sequence[float]) -> Marker:
    lower, upper = np.array(box.lower), np.array(box.upper)
    marker = _marker(name, Marker.CUBE, color, (upper - lower).tolist())
    marker.pose.position = _point((lower + upper) / 2)
    return marker


def _lines(name: str, points: Iterable[ArrayLike], color: Sequence[float]) -> Marker:
    marker = _marker(name, Marker.LINE_LIST, color, (_LINE, 0.0, 0.0))
    marker.points = [_point(point) for point in points]
    return marker


def _text(name: str, words: str, place: ArrayLike) -> Marker:
    marker = _marker(name, Marker.TEXT_VIEW_FACING, _TEXT, (0.0, 0.0, _LETTERS))
    marker.pose.position, marker.text = _point(place), words
    return marker


def _home(site: Site, dh_is_offset: bool) -> Marker:
    """Return the arm's axis at home, from the base over its links to the grasp centre."""
    links = link_poses(np.array(site.home), dh_is_offset)
    places = [np.zeros(3), *links[:, :3, 3], tool_pose(links[5], site.tool.tcp)[:3, 3]]
    marker = _marker("home", Marker.LINE_STRIP, _HOME, (2 * _LINE, 0.0, 0.0))
    marker.points = [_point(place) for place in places]
    return marker


def _table(site: Site) -> Box:
    (x, y, _), (far_x, far_y, _), top = site.box.lower, site.box.upper, site.table_height
    return Box("table", (x, y, top - _THIN), (far_x, far_y, top))


def _above(box: Box) -> NDArray[np.float64]:
    (x, y, _), (far_x, far_y, top) = box.lower, box.upper
    return np.array([(x + far_x) / 2, (y + far_y) / 2, top + _LETTERS])


def _edges(box: Box) -> list[NDArray[np.float64]]:
    """Return the ends of the twelve edges, two after two."""
    corners = np.array(list(product(*zip(box.lower, box.upper, strict=True))))
    pairs = [(a, b) for a in range(8) for b in range(a + 1, 8) if (a ^ b).bit_count() == 1]
    return [corners[end] for pair in pairs for end in pair]


def _point(place: ArrayLike) -> Point:
    x, y, z = np.asarray(place, dtype=float).tolist()
    return Point(x=x, y=y, z=z)
