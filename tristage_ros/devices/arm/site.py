"""Where the arm stands and what it carries: read from the site file, checked, and put in words.

Lengths in m, angles in rad, in the base frame unless said otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tristage_ros.devices.arm.body import Body
from tristage_ros.devices.arm.guard import GuardConfig
from tristage_ros.devices.arm.kinematics import JOINT_LIMITS, link_poses, tool_pose
from tristage_ros.devices.arm.tool import Tool, WristCamera
from tristage_ros.devices.arm.workspace import Box, Workspace
from tristage_ros.perception.extrinsics import CameraMount, load_extrinsics
from tristage_ros.resources import read_text, resource
from tristage_ros.words import one_line, shown
from tristage_ros.yaml_text import parse

LARGEST = 1e6  # of any number here, whatever its unit
MOST_PAYLOAD = 1.5  # kg: the Piper's, by its data sheet
FASTEST_TOOL = 2.5  # m/s: what the joints' own limits leave
_SECTIONS: dict[str, tuple[str, ...]] = {
    "box": ("lower", "upper"),
    "tool_box": ("lower", "upper"),
    "tool": ("tcp", "fingertips", "fingers_open", "camera_size", "camera_lens"),
    "payload": ("mass", "centre"),
}
_KEYS = (*_SECTIONS, "table_height", "keep_out", "joint_limits", "home", "tool_speed")
Triple = tuple[float, float, float]


class SiteError(ValueError):
    """Say what is wrong with a site file: one line that names file, key and value, and says what to write."""


@dataclass(frozen=True)
class Site:
    """Hold a checked site."""

    path: Path
    box: Box  # that no part of the arm leaves
    tool_box: Box  # that the grasp centre does not leave
    table_height: float
    keep_out: tuple[Box, ...]
    joint_limits: tuple[tuple[float, float], ...]  # six (lower, upper)
    home: tuple[float, float, float, float, float, float]
    tool: Tool
    camera_size: Triple
    camera_lens: Triple
    payload: float  # kg
    payload_centre: Triple  # in the frame of the flange
    tool_speed: float  # m/s

    def guard(self, mounts: Iterable[CameraMount]) -> GuardConfig:
        """Return the guard's limits with the wrist cameras of `mounts`, those whose parent is the flange."""
        return GuardConfig(
            joint_limits=self.joint_limits,
            gripper_range=(0.0, self.tool.fingers_open),
            workspace=Workspace(self.tool_box.lower, self.tool_box.upper, self.table_height),
            body=Body(self.cameras(mounts), self.tool, self.box, self.keep_out),
            tool_speed=self.tool_speed,
        )

    def cameras(self, mounts: Iterable[CameraMount]) -> tuple[WristCamera, ...]:
        """Return the cameras on the flange, each as big as the site says."""
        return tuple(
            WristCamera(
                _triple(mount.pose[:3, 3]), tuple(mount.quaternion.tolist()), self.camera_size, self.camera_lens
            )
            for mount in mounts
            if mount.parent == "flange"
        )

    def in_words(self) -> list[str]:
        """Put it in words, a line each, for a log or a terminal."""
        kept = "; ".join(f"{box.name} {_span(box)}" for box in self.keep_out) or "none"
        tool, joints = self.tool, ", ".join(f"{low:g}..{high:g}" for low, high in self.joint_limits)
        housing = " x ".join(f"{1e3 * size:g}" for size in self.camera_size)
        return [
            f"site {self.path}",
            f"every part of the arm in {_span(self.box)} m, the grasp centre in {_span(self.tool_box)} m",
            f"table {self.table_height:g} m high; keep-out boxes: {kept}",
            f"joints {joints} rad; home {', '.join(f'{joint:g}' for joint in self.home)} rad",
            f"grasp centre {tool.tcp:g} m and fingertips {tool.fingertips:g} m from the flange, fingers up to "
            f"{tool.fingers_open:g} m open; wrist camera {housing} mm",
            f"payload {self.payload:g} kg at {list(self.payload_centre)} m of the flange",
            f"tool at most {self.tool_speed:g} m/s",
        ]


def load_site(path: str | Path = "", cameras_file: str | Path = "") -> Site:
    """Read the site file at `path`, that of the package if that is empty, and check it with the cameras' mounts.

    Raises:
        SiteError: it cannot be read, or is wrong.
        OSError, ValueError: so is the cameras file.
    """
    path = Path(path) if path else resource("config", "site.yaml")
    mounts = load_extrinsics(cameras_file or resource("config", "cameras.yaml")).values()
    try:
        text = read_text(path)
    except OSError as error:
        raise SiteError(
            f"site_file is {path}: {error.strerror}; give the path of a copy of config/site.yaml"
        ) from error
    except ValueError as error:
        raise SiteError(f"{path}: {error}") from error
    site = parse_site(text, path)
    _check_home(site, site.guard(mounts))
    return site


def parse_site(text: str, path: Path) -> Site:
    """Return what the `text` of a site file says, without a look at whether the arm's home is possible there.

    Raises:
        SiteError: it is wrong; the message begins with `path`.
    """
    try:
        content = parse(text)
    except ValueError as error:
        raise SiteError(f"{path}: {error}") from error
    return _site(path, content)


# What the file says, key by key.


def _site(path: Path, content: Any) -> Site:
    _check_keys(path, "", content, _KEYS)
    for name, keys in _SECTIONS.items():
        _check_keys(path, name, content[name], keys)
    given = _Reader(path, content)
    limits = tuple((low, high) for low, high in given.joint_limits())
    tool_box = given.box("tool_box", "tool_box")
    size, lens = given.triple("tool.camera_size"), given.triple("tool.camera_lens")
    try:
        tool = Tool(*(given.length(f"tool.{name}") for name in ("tcp", "fingertips", "fingers_open")))
        WristCamera(size=size, lens=lens)
    except SiteError:
        raise
    except ValueError as error:
        raise SiteError(f"{path}: tool.{error}") from error
    mass = given.number("payload.mass", 0.0, MOST_PAYLOAD, "kg, what the gripper carries at most")
    return Site(
        path=path,
        box=given.box("box", "the box"),
        tool_box=tool_box,
        table_height=given.number("table_height", -2.0, tool_box.upper[2] - 0.01, "m, below the top of tool_box"),
        keep_out=given.keep_out(),
        joint_limits=limits,
        home=given.home(limits),
        tool=tool,
        camera_size=size,
        camera_lens=lens,
        payload=mass,
        payload_centre=given.triple("payload.centre"),
        tool_speed=given.number("tool_speed", 1e-3, FASTEST_TOOL, "m/s"),
    )


class _Reader:
    """Read numbers from the content of a site file; what is wrong raises SiteError."""

    def __init__(self, path: Path, content: dict[str, Any]) -> None:
        self._path, self._content = path, content

    def number(self, key: str, low: float, high: float, meaning: str) -> float:
        value = self._at(key)
        if not _is_number(value) or not low <= value <= high:
            raise self._wrong(key, value, f"a number from {low:g} to {high:g}, {meaning}")
        return float(value)

    def length(self, key: str) -> float:
        value = self._at(key)
        if not _is_number(value):
            raise self._wrong(key, value, "a length in m")
        return float(value)

    def triple(self, key: str, value: Any = None) -> Triple:
        value = self._at(key) if value is None else value
        if not isinstance(value, list) or len(value) != 3 or not all(map(_is_number, value)):
            raise self._wrong(key, value, "three finite numbers, x, y, z in m")
        return _triple(value)

    def box(self, key: str, name: str, entry: Any = None) -> Box:
        entry = self._at(key) if entry is None else entry
        lower, upper = (self.triple(f"{key}.{end}", entry[end]) for end in ("lower", "upper"))
        if not np.less(lower, upper).all():
            raise self._wrong(key, f"{list(lower)} to {list(upper)}", "a lower that is below upper in x, y and z")
        return Box(name, lower, upper)

    def keep_out(self) -> tuple[Box, ...]:
        entries = self._at("keep_out")
        if not isinstance(entries, list):
            raise self._wrong("keep_out", entries, "a list of boxes, [] where there are none")
        boxes: list[Box] = []
        for index, entry in enumerate(entries):
            key = f"keep_out[{index}]"
            _check_keys(self._path, key, entry, ("name", "lower", "upper"))
            name = entry["name"]
            if not isinstance(name, str) or not name.strip() or name in (box.name for box in boxes):
                raise self._wrong(f"{key}.name", name, "a name that no other keep-out box has")
            boxes.append(self.box(key, name, entry))
        return tuple(boxes)

    def joint_limits(self) -> list[tuple[float, float]]:
        value = self._at("joint_limits")
        if not isinstance(value, list) or len(value) != 6:
            raise self._wrong("joint_limits", value, "six pairs of lower and upper in rad, J1 to J6")
        for joint, (pair, (low, high)) in enumerate(zip(value, JOINT_LIMITS.tolist(), strict=True)):
            key = f"joint_limits[{joint}] (J{joint + 1})"
            if not isinstance(pair, list) or len(pair) != 2 or not all(map(_is_number, pair)):
                raise self._wrong(key, pair, "lower and upper in rad")
            if not low <= pair[0] < pair[1] <= high or pair[1] - pair[0] < 0.05:
                raise self._wrong(
                    key, pair, f"lower and upper at least 0.05 apart, within the arm's own {low} to {high}"
                )
        return [(float(low), float(high)) for low, high in value]

    def home(self, limits: Iterable[tuple[float, float]]) -> tuple[float, float, float, float, float, float]:
        value = self._at("home")
        if not isinstance(value, list) or len(value) != 6 or not all(map(_is_number, value)):
            raise self._wrong("home", value, "six joint positions in rad, J1 to J6")
        margin = GuardConfig.position_margin
        for joint, (position, (low, high)) in enumerate(zip(value, limits, strict=True)):
            if not low + margin <= position <= high - margin:
                wish = (
                    f"a position from {low + margin:.4g} to {high - margin:.4g}, within joint_limits less {margin} rad"
                )
                raise self._wrong(f"home[{joint}] (J{joint + 1})", position, wish)
        a, b, c, d, e, f = map(float, value)
        return a, b, c, d, e, f

    def _at(self, key: str) -> Any:
        value: Any = self._content
        for name in key.split("."):
            value = value[name]
        return value

    def _wrong(self, key: str, value: Any, wish: str) -> SiteError:
        return SiteError(f"{self._path}: {key} is {one_line(value)}; write {wish}")


def _check_home(site: Site, guard: GuardConfig) -> None:
    """Refuse a home pose that the site does not allow; the firmware's zero moves it by no more than 2 degrees."""
    links = link_poses(np.array(site.home))
    table, where = site.table_height, f"at home {list(site.home)}"
    depths = guard.body.depths(links, table)
    worst = int(depths.argmax())
    if depths[worst] > 0.0:
        what = guard.body.describe(worst, float(depths[worst]))
        wish = f"home is {list(site.home)}", "another home, or move that box"
        if "table" in what:
            wish = f"table_height is {table}", "a lower one, or another home"
        elif worst // len(guard.body.parts) == 1:
            wish = f"box is {_span(site.box)}", "a larger one, or another home"
        raise SiteError(f"{site.path}: {wish[0]}; {where} {what}: write {wish[1]}")
    tool = tool_pose(links[5], site.tool.tcp)[:3, 3]
    if (beyond := float(site.tool_box.outside(tool))) > 0.0:
        raise SiteError(
            f"{site.path}: tool_box is {_span(site.tool_box)}; {where} the grasp centre is {beyond:.3f} m outside: "
            "write a larger one, or another home"
        )


def _check_keys(path: Path, where: str, entry: Any, keys: tuple[str, ...]) -> None:
    name = f"{where}: " if where else ""
    if not isinstance(entry, dict):
        raise SiteError(f"{path}: {where or 'the file'} is {shown(entry)}; write {', '.join(keys)} with their values")
    for key in entry:
        if key not in keys:
            raise SiteError(
                f"{path}: {name}{one_line(key)} is unknown, its value {shown(entry[key])}; there are: {', '.join(keys)}"
            )
    for key in keys:
        if key not in entry:
            raise SiteError(f"{path}: {name}{key} is missing; write it as config/site.yaml has it")


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < LARGEST  # and not NaN


def _triple(values: Iterable[float]) -> Triple:
    x, y, z = (float(value) for value in values)
    return x, y, z


def _span(box: Box) -> str:
    return f"{list(box.lower)} to {list(box.upper)}"
