"""What a policy server is told and what its numbers mean, by a file that a person writes: nothing is guessed.

Lengths are m, angles rad, frames the arm's base here; `unit` says how much of that one of theirs is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tristage_ros.devices.arm.values import MAX_ACTIONS
from tristage_ros.resources import read_text, resource, user_path
from tristage_ros.words import one_line, shown
from tristage_ros.yaml_text import parse

FOLDER = ("config", "openpi")
LENGTHS = {"m": 1.0, "mm": 1e-3}
ANGLES = {"rad": 1.0, "deg": math.pi / 180.0}
UNITS = {"joints": ANGLES, "position": LENGTHS, "rotation": ANGLES}
FORMS = {"axis_angle": 3, "rpy": 3, "quaternion_xyzw": 4, "quaternion_wxyz": 4}  # of a rotation, and their numbers
OF = ("absolute", "step", "observation")  # what a number is relative to: nothing, the step before, the observation
DTYPES = ("float32", "float64")
_WIDTH = {"joints": 6, "position": 3, "gripper": 1}
Key = tuple[str, ...]  # of a value in maps in maps


class MapError(ValueError):
    """Say what is wrong with a map; one line that names file and key."""


@dataclass(frozen=True)
class Part:
    """Name consecutive numbers of a vector."""

    kind: str  # joints, position and rotation of the tool, gripper, constant (told), ignored (heard)
    width: int
    unit: float = 1.0  # rad or m that one of theirs is
    form: str = ""  # of a rotation, see FORMS
    closed: float = 0.0  # what they call the gripper closed
    opened: float = 1.0  # and open
    values: tuple[float, ...] = ()  # of a constant
    of: str = "absolute"  # of an action, see OF
    in_tool: bool = False  # what is relative is so in the tool's frame, not in the base frame


@dataclass(frozen=True)
class Picture:
    """Say how the policy sees a camera."""

    key: Key
    camera: str
    height: int  # px
    width: int
    channels_first: bool  # [3, H, W] instead of [H, W, 3]


@dataclass(frozen=True)
class Vector:
    """Say what stands in a vector of numbers that the policy is told."""

    key: Key
    parts: tuple[Part, ...]
    dtype: str


@dataclass(frozen=True)
class PolicyMap:
    """Hold the file."""

    path: Path
    metadata: Mapping[str, Any]  # what the server may not contradict
    pictures: tuple[Picture, ...]
    vectors: tuple[Vector, ...]
    prompt: Key
    actions: Key
    columns: tuple[Part, ...]
    rate: float  # Hz, of the steps of a chunk; 0: key frames, each as soon as the one before is reached
    execute: int  # steps of a chunk that are carried out before the next one is asked for

    @property
    def width(self) -> int:
        """Return how many numbers a step has."""
        return sum(part.width for part in self.columns)

    @property
    def in_joints(self) -> bool:
        """Tell whether steps are joint positions, and not poses of the tool."""
        return any(part.kind == "joints" for part in self.columns)

    @property
    def cameras(self) -> tuple[str, ...]:
        """Return the cameras that the policy sees."""
        return tuple(dict.fromkeys(picture.camera for picture in self.pictures))


def map_file(name: str) -> Path:
    """Return the file of a map given by its name or its path.

    Raises:
        MapError: there is none.
    """
    folder = resource(*FOLDER)
    there = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
    path = user_path(name) if Path(name).suffix in (".yaml", ".yml") else folder / f"{name}.yaml"
    if not path.is_file():
        raise MapError(f"no map of a policy is called {shown(name)}; there are: {there}, or the path of a YAML file")
    return path.resolve()


def read_map(path: Path) -> PolicyMap:
    """Read a map.

    Raises:
        MapError: it is missing or wrong; the message names the key.
    """
    try:
        return parsed_map(read_text(path), path)
    except OSError as error:
        raise MapError(f"{path}: {one_line(error)}") from error


def parsed_map(text: str, path: Path = Path("map.yaml")) -> PolicyMap:
    """Return the map in a text, which is that of `path`.

    Raises:
        MapError: it is wrong; the message names the key.
    """
    try:
        content = _section(parse(text), "the file", ("metadata", "observation", "action"))
        seen = _section(content.get("observation"), "observation", ("images", "state", "prompt"))
        return PolicyMap(
            path,
            _metadata(content.get("metadata", {})),
            tuple(_picture(told) for told in _list(seen.get("images", []), "images")),
            tuple(_vector(told) for told in _list(seen.get("state", []), "state")),
            _key(seen.get("prompt"), "prompt"),
            **_action(_section(content.get("action"), "action", ("key", "rate", "execute", "columns"))),
        )
    except ValueError as error:
        raise MapError(f"{path}: {one_line(error)}") from error


def _section(told: Any, what: str, keys: Sequence[str]) -> Mapping[str, Any]:
    if not isinstance(told, Mapping) or not told:
        raise ValueError(f"{what} is {shown(told)}, not keys and values; docs/any_policy.md has an example")
    if unknown := [key for key in told if key not in keys]:
        raise ValueError(f"{what} has no {shown(unknown[0])}; it has {', '.join(keys)}")
    return told


def _list(told: Any, what: str) -> list[Any]:
    if not isinstance(told, list):
        raise ValueError(f"{what} is {shown(told)}, not a list")
    return told


def _metadata(told: Any) -> Mapping[str, Any]:
    if not isinstance(told, Mapping) or not all(isinstance(key, str) for key in told):
        raise ValueError(f"metadata is {shown(told)}, not names with values; {{}} where nothing is expected")
    return told


def _key(told: Any, what: str) -> Key:
    keys = told if isinstance(told, list) else [told]
    if not keys or not all(isinstance(key, str) and key for key in keys):
        raise ValueError(f"the key of {what} is {shown(told)}; write a text, or a list of texts for a map in a map")
    return tuple(keys)


def _number(told: Any, what: str, low: float = -math.inf, high: float = math.inf) -> float:
    if type(told) not in (int, float) or not math.isfinite(told) or not low <= told <= high:
        between = f" from {low:g} to {high:g}" if math.isfinite(low + high) else ""
        raise ValueError(f"{what} is {shown(told)}; write a number{between}")
    return float(told)


def _choice(told: Any, what: str, choices: Sequence[str]) -> str:
    if not isinstance(told, str) or told not in choices:
        raise ValueError(f"{what} is {shown(told)}; write one of {', '.join(choices)}")
    return told


def _picture(told: Any) -> Picture:
    entry = _section(told, "an image", ("key", "camera", "size", "order"))
    camera, size = entry.get("camera"), entry.get("size")
    if not isinstance(camera, str) or not camera:
        raise ValueError(f"camera of an image is {shown(camera)}; write front, wrist or another name of the cameras")
    if not isinstance(size, list) or len(size) != 2:
        raise ValueError(f"size of the image of {camera} is {shown(size)}; write [height, width] in pixels")
    height, width = (int(_number(n, f"size of the image of {camera}", 1, 4096)) for n in size)
    order = _choice(entry.get("order", "hwc"), f"order of the image of {camera}", ("hwc", "chw"))
    return Picture(_key(entry.get("key"), f"the image of {camera}"), camera, height, width, order == "chw")


def _vector(told: Any) -> Vector:
    entry = _section(told, "a state", ("key", "parts", "dtype"))
    key = _key(entry.get("key"), "a state")
    parts = tuple(_part(part, "/".join(key), heard=False) for part in _list(entry.get("parts"), f"parts of {key[-1]}"))
    return Vector(key, parts, _choice(entry.get("dtype", "float32"), f"dtype of {key[-1]}", DTYPES))


def _action(told: Mapping[str, Any]) -> dict[str, Any]:
    columns = tuple(_part(part, "action", heard=True) for part in _list(told.get("columns"), "columns of action"))
    kinds = [part.kind for part in columns if part.kind != "ignored"]
    if sorted(kinds) not in (["gripper", "joints"], ["gripper", "position", "rotation"]):
        raise ValueError(
            f"columns of action are {', '.join(kinds) or 'none'}; write joints and gripper, or position, rotation and "
            "gripper, each once"
        )
    rate = _number(told.get("rate"), "rate of action, Hz, 0 for key frames", 0.0, 200.0)
    if 0.0 < rate < 0.1:
        raise ValueError(f"rate of action is {rate:g}; write 0.1 Hz or more, or 0 for key frames")
    execute = _number(told.get("execute"), "execute of action, steps", 1, MAX_ACTIONS)
    if execute != int(execute):
        raise ValueError(f"execute of action is {execute:g}; write a whole number of steps")
    return {
        "actions": _key(told.get("key"), "action"),
        "columns": columns,
        "rate": rate,
        "execute": int(execute),
    }


def _part(told: Any, where: str, heard: bool) -> Part:
    """Return a part of what is `heard` of the server, or told to it."""
    if not isinstance(told, Mapping) or len(told) != 1:
        raise ValueError(f"a part of {where} is {shown(told)}; write one such as - gripper: {{closed: 0, open: 1}}")
    (kind, values), relative = next(iter(told.items())), ("of", "frame") if heard else ()
    what = f"{shown(kind).strip(chr(39))} of {where}"
    if kind == "ignored" and heard:
        return Part(kind, int(_number(values, what, 1, 1000)))
    if kind == "constant" and not heard:
        numbers = tuple(_number(value, what) for value in _list(values, what))
        return Part(kind, len(numbers), values=numbers)
    if kind == "gripper":
        entry = _section(values, what, ("closed", "open"))
        closed, opened = (_number(entry.get(end), f"{end} of {what}") for end in ("closed", "open"))
        if closed == opened:
            raise ValueError(f"closed and open of {what} are both {closed:g}; write what the gripper is called then")
        return Part(kind, 1, closed=closed, opened=opened)
    if kind not in UNITS:
        there = ("joints", "position", "rotation", "gripper", "ignored" if heard else "constant")
        raise ValueError(f"there is no {what}; write one of {', '.join(there)}")
    entry = _section(values, what, ("unit", *relative, *(("as",) if kind == "rotation" else ())))
    form = _choice(entry.get("as"), f"as of {what}", tuple(FORMS)) if kind == "rotation" else ""
    return Part(
        kind,
        FORMS[form] if form else _WIDTH[kind],
        unit=_unit(entry.get("unit", "rad" if form.startswith("quaternion") else None), UNITS[kind], what),
        form=form,
        of=_choice(entry.get("of"), f"of of {what}", OF) if heard else "absolute",
        in_tool=_choice(entry.get("frame", "base"), f"frame of {what}", ("base", "tool")) == "tool",
    )


def _unit(told: Any, units: Mapping[str, float], what: str) -> float:
    if isinstance(told, str) and told in units:
        return units[told]
    if type(told) in (int, float) and 0.0 < told < math.inf:
        return float(told)
    raise ValueError(
        f"unit of {what} is {shown(told)}; write {', '.join(units)}, or how many {next(iter(units))} one is"
    )
