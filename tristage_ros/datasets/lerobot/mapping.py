"""How the columns of somebody else's dataset are those of this arm: a file that a person writes; nothing is guessed.

Joints become the pose of the tool by the arm's own kinematics; an action that is joint positions becomes the pose that
they command, relative to the measured one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tristage_ros.datasets.lerobot.layout import INFO, Feature, Info, LerobotError, is_name
from tristage_ros.datasets.lerobot.reader import Entry
from tristage_ros.datasets.values import Calibration, Frame
from tristage_ros.devices.arm.kinematics import (
    GRIPPER_RANGE,
    JOINT_LIMITS,
    forward,
    matrix_to_quaternion,
    matrix_to_rpy,
    tool_pose,
)
from tristage_ros.devices.arm.values import ActionChunk
from tristage_ros.perception.camera import CameraModel
from tristage_ros.perception.extrinsics import load_extrinsics
from tristage_ros.resources import read_text
from tristage_ros.words import one_line, shown
from tristage_ros.yaml_text import parse

ANGLES = {"rad": 1.0, "deg": np.pi / 180.0, "mdeg": np.pi / 180e3}
OPENINGS = {"m": (1.0, 0.0), "mm": (1e-3, 0.0), "um": (1e-6, 0.0),
            "open": (GRIPPER_RANGE[1], 0.0), "closed": (-GRIPPER_RANGE[1], GRIPPER_RANGE[1])}  # fmt: skip
BEYOND = 0.2  # rad beyond the limits that an arm of other firmware, or an offset, may be
WIDEST = 0.12  # m of any gripper for this arm
Rows = Mapping[str, NDArray[Any]]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Columns:
    """Name numbers in a column, and their unit."""

    column: str
    names: tuple[str | int, ...]  # as the dataset calls them, or their places from 0 where it does not
    unit: str


@dataclass(frozen=True)
class MappedCamera:
    """Name the images of a camera, and say what nobody's dataset says."""

    color: str
    depth: str  # empty: none
    intrinsics: tuple[float, float, float, float]  # fx, fy, cx, cy, px


@dataclass(frozen=True)
class Mapped:
    """Hold the file."""

    path: Path
    robots: tuple[str, ...]  # what the dataset may call its robot
    joints: Columns
    gripper: Columns
    action_joints: Columns
    action_gripper: Columns
    cameras: Mapping[str, MappedCamera]
    dh_is_offset: bool


def read_mapping(path: Path) -> Mapped:
    """Read a mapping.

    Raises:
        LerobotError: it is missing or wrong; the message names the key.
    """
    try:
        content = parse(read_text(path))
        return _mapped(path, _section(content, "the file"))
    except (OSError, ValueError) as error:
        raise LerobotError(f"{path}: {one_line(error)}") from error


class Conversion:
    """Convert the rows of a dataset."""

    def __init__(self, root: Path, info: Info, mapped: Mapped) -> None:
        """Check that the mapping fits the dataset.

        Raises:
            LerobotError: the robot is another one, or a name is not there; the message says which there are.
        """
        self.mapped = mapped
        where = str(root / INFO)
        if info.robot_type not in mapped.robots:
            raise LerobotError(
                f"{where}: robot_type is {shown(info.robot_type)}, and {mapped.path} is for "
                f"{', '.join(map(shown, mapped.robots))}"
            )
        self._fps = info.fps
        parts = (mapped.joints, mapped.gripper, mapped.action_joints, mapped.action_gripper)
        self.columns = [*dict.fromkeys(part.column for part in parts)]
        self._places = {part: _places(where, info.features, part) for part in parts}
        self.colors = {name: camera.color for name, camera in mapped.cameras.items()}
        self.depths = {name: camera.depth for name, camera in mapped.cameras.items() if camera.depth}
        for keys, is_depth in ((self.colors, False), (self.depths, True)):
            for key in keys.values():
                feature = info.features.get(key)
                if feature is None or not feature.is_camera or feature.is_depth != is_depth:
                    what = "depth" if is_depth else "colour"
                    there = [k for k, f in info.features.items() if f.is_camera and f.is_depth == is_depth]
                    raise LerobotError(
                        f"{where}: {key} has no {what}; there are: {one_line(', '.join(there), 600) or 'none'}"
                    )
        self.calibration = self._calibration(info)

    def frames(self, entry: Entry, rows: Rows) -> Iterator[Callable[..., Frame]]:
        """Yield what makes the frames of an episode, each of its images and its depths.

        Raises:
            LerobotError: a joint is where it cannot be in the unit that the mapping says.
        """
        mapped = self.mapped
        joints = self._joints(entry, rows, mapped.joints)
        wanted = self._joints(entry, rows, mapped.action_joints)
        opening = self._opening(entry, rows, mapped.gripper)
        closing = self._opening(entry, rows, mapped.action_gripper)
        tools = tool_pose(forward(joints, mapped.dh_is_offset))
        goals = tool_pose(forward(wanted, mapped.dh_is_offset))
        for at in range(entry.length):
            stamp, share = at / self._fps, np.clip(np.array([opening[at], closing[at]]) / GRIPPER_RANGE[1], 0.0, 1.0)
            chunk = ActionChunk(
                stamp,
                1.0 / self._fps,
                (goals[at, :3, 3] - tools[at, :3, 3])[None],
                matrix_to_quaternion(goals[at, :3, :3])[None],
                share[1:],
            )
            state = np.concatenate([tools[at, :3, 3], matrix_to_rpy(tools[at, :3, :3]), share[:1]]).astype(np.float32)
            measured = np.append(joints[at], opening[at])
            yield partial(Frame, stamp, state=state, joints=measured, action=chunk)

    def _joints(self, entry: Entry, rows: Rows, part: Columns) -> Floats:
        joints = self._picked(rows, part) * ANGLES[part.unit]
        beyond = (joints < JOINT_LIMITS[:, 0] - BEYOND) | (joints > JOINT_LIMITS[:, 1] + BEYOND)
        if beyond.any():
            frame, joint = np.argwhere(beyond)[0]
            raise LerobotError(
                f"{entry.where}: {part.names[joint]} of {part.column} is {joints[frame, joint]:.4g} rad in frame "
                f"{frame}, where joint{joint + 1} cannot be; {self.mapped.path} says that it is in {part.unit}"
            )
        return joints

    def _opening(self, entry: Entry, rows: Rows, part: Columns) -> Floats:
        factor, offset = OPENINGS[part.unit]
        opening: Floats = self._picked(rows, part)[:, 0] * factor + offset
        beyond = (opening < -0.01) | (opening > WIDEST)
        if beyond.any():
            frame = int(beyond.argmax())
            raise LerobotError(
                f"{entry.where}: {part.names[0]} of {part.column} opens {opening[frame]:.4g} m in frame {frame}, which "
                f"no gripper does; {self.mapped.path} says that it is in {part.unit}"
            )
        return opening

    def _picked(self, rows: Rows, part: Columns) -> Floats:
        values = np.asarray(rows[part.column], np.float64)
        return values.reshape(len(values), -1)[:, self._places[part]]

    def _calibration(self, info: Info) -> dict[str, Calibration]:
        try:
            mounts = load_extrinsics(self.mapped.path)
        except (OSError, ValueError) as error:
            raise LerobotError(one_line(error)) from error
        found = {}
        for name, camera in self.mapped.cameras.items():
            height, width = info.features[camera.color].shape[:2]
            if camera.depth and info.features[camera.depth].shape[:2] != (height, width):
                raise LerobotError(
                    f"{self.mapped.path}: depth of {name} has another size than its colour: it is not aligned"
                )
            found[name] = Calibration(CameraModel(width, height, *camera.intrinsics), mounts[name])
        return found


def _places(where: str, features: Mapping[str, Feature], part: Columns) -> list[int]:
    feature = features.get(part.column)
    if feature is None or feature.is_camera or len(feature.shape) != 1:
        there = [key for key, other in features.items() if not other.is_camera and len(other.shape) == 1]
        raise LerobotError(
            f"{where}: there are no numbers called {part.column}; there are: {one_line(', '.join(there), 600)}"
        )
    names: Sequence[str | int] = feature.names or range(feature.shape[0])
    if len(names) != feature.shape[0]:
        raise LerobotError(f"{where}: {part.column} has {feature.shape[0]} numbers, and {len(names)} names")
    if lacking := [name for name in part.names if name not in names]:
        told = one_line(", ".join(map(str, names)), 600)
        raise LerobotError(f"{where}: {part.column} has no {', '.join(map(str, lacking))}; it has {told}")
    return [list(names).index(name) for name in part.names]


def _mapped(path: Path, content: Mapping[str, Any]) -> Mapped:
    action = _section(content.get("action"), "action")
    cameras = _section(content.get("cameras"), "cameras")
    robots = content.get("robot_type")
    if not isinstance(robots, list) or not robots or not all(isinstance(name, str) for name in robots):
        raise ValueError(f"robot_type is {shown(robots)}; write a list of what such a dataset may call its robot")
    zero = content.get("zero")
    if not isinstance(zero, str) or zero not in ("new", "old"):
        raise ValueError(f"zero is {shown(zero)}; write new for joints of firmware S-V1.6-3 and later, else old")
    return Mapped(
        path,
        tuple(robots),
        _columns(content, "joints", 6, ANGLES),
        _columns(content, "gripper", 1, OPENINGS),
        _columns(action, "joints", 6, ANGLES),
        _columns(action, "gripper", 1, OPENINGS),
        {str(name): _camera(str(name), told) for name, told in cameras.items()},
        zero == "new",
    )


def _section(told: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(told, Mapping) or not told:
        raise ValueError(f"{what} is {shown(told)}, not keys and values; docs/lerobot.md has an example")
    return told


def _columns(content: Mapping[str, Any], key: str, count: int, units: Mapping[str, Any]) -> Columns:
    told = _section(content.get(key), key)
    column, names, unit = told.get("column"), told.get("names"), told.get("unit")
    if not is_name(column):
        raise ValueError(f"column of {key} is {shown(column)}; write the name of a feature, as observation.state")
    if not isinstance(names, list) or len(names) != count or not all(is_name(n) or type(n) is int for n in names):
        raise ValueError(f"names of {key} is {shown(names)}; write {count}, as the dataset has them")
    if len(set(names)) != count:
        raise ValueError(f"names of {key} is {shown(names)}; one is there twice")
    if not isinstance(unit, str) or unit not in units:
        raise ValueError(f"unit of {key} is {shown(unit)}; write one of {', '.join(units)}")
    return Columns(column, tuple(names), unit)


def _camera(name: str, told: Any) -> MappedCamera:
    entry = _section(told, f"camera {name}")
    color, depth, intrinsics = entry.get("color"), entry.get("depth", ""), entry.get("intrinsics")
    if not is_name(color) or (depth != "" and not is_name(depth)):
        raise ValueError(f"color of {name} is {shown(color)}, depth {shown(depth)}; write the names of features")
    if (
        not isinstance(intrinsics, list)
        or len(intrinsics) != 4
        or not all(type(number) in (int, float) and abs(number) < 1e6 for number in intrinsics)
        or min(intrinsics[:2]) <= 0
    ):
        raise ValueError(f"intrinsics of {name} is {shown(intrinsics)}; write fx, fy, cx, cy in pixels")
    fx, fy, cx, cy = (float(number) for number in intrinsics)
    return MappedCamera(color, depth, (fx, fy, cx, cy))
