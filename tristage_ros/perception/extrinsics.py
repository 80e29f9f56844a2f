"""Where the cameras are mounted, and what their lenses are where camera_info cannot tell: the cameras file."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray

from tristage_ros.perception.lens_models import NAMES
from tristage_ros.resources import read_text
from tristage_ros.words import shown
from tristage_ros.yaml_text import parse

FARTHEST = 1e3  # m, of a camera
PARENTS = ("base_link", "flange")
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")  # of a node, and of a part of a topic
_HEADER = """\
# Where each camera is mounted: the pose of its optical frame (x right, y down, z forward) in `parent`.
# Translation in metres, rotation as a unit quaternion x, y, z, w; the error is that of the board's corners.
"""


@dataclass(frozen=True)
class CameraMount:
    """Say what a camera is fixed to and where, and what its lens is."""

    name: str
    parent: Literal["base_link", "flange"]
    pose: NDArray[np.float64]  # [4, 4] optical frame (x right, y down, z forward) in the parent frame, m
    lens: str = ""  # one of lens.NAMES; empty: what camera_info says

    @property
    def quaternion(self) -> NDArray[np.float64]:
        """Return the rotation as a unit quaternion [4], x, y, z, w."""
        from scipy.spatial.transform import Rotation  # only for who writes a pose: see _matrix

        # A copy: before scipy 1.15, Rotation refuses arrays that may not be written, and a pose that was read is one.
        quaternion: NDArray[np.float64] = Rotation.from_matrix(np.array(self.pose[:3, :3])).as_quat()
        return quaternion


def load_extrinsics(path: str | Path) -> dict[str, CameraMount]:
    """Read every camera's mount from a YAML file, by camera name.

    Under `cameras`, the file maps each name to `parent` (base_link or flange), `translation` [x, y, z] in metres and
    `rotation` [x, y, z, w], a unit quaternion, of the optical frame in the parent, and, where camera_info cannot tell,
    `lens`; further keys are for others.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not such a file; the message names the file, the camera and the key.
    """
    try:
        text = read_text(path)
    except ValueError as error:
        raise ValueError(f"{path}: not YAML: {error}") from error
    return parse_extrinsics(text, path)


def parse_extrinsics(text: str, path: str | Path) -> dict[str, CameraMount]:
    """Return what `load_extrinsics` reads, from the text of a file that was at `path`.

    Raises:
        ValueError: it is not such a file; the message names the file, the camera and the key.
    """
    try:
        content = parse(text)
    except ValueError as error:
        raise ValueError(f"{path}: not YAML: {error}") from error
    cameras = content.get("cameras") if isinstance(content, dict) else None
    if not isinstance(cameras, dict) or not cameras:
        what = f"cameras is {shown(cameras)}" if isinstance(content, dict) else f"the file is {shown(content)}"
        raise ValueError(f"{path}: {what}; write cameras by their names, as config/cameras.yaml has them")
    require_names(f"{path}: cameras", list(cameras))
    return {name: _mount(f"{path}: camera {name!r}", name, entry) for name, entry in cameras.items()}


def mount_of(name: str, path: str | Path) -> CameraMount:
    """Read the mount of the camera `name` from the cameras file.

    Raises:
        OSError, ValueError: as `load_extrinsics`, and where there is no such camera.
    """
    mounts = load_extrinsics(path)
    if name not in mounts:
        raise ValueError(f"{path}: no camera is called {name}, which is needed; there are: {', '.join(mounts)}")
    return mounts[name]


def require_names(where: str, names: Sequence[str]) -> None:
    """Check that cameras can be called like this: their nodes, and their topics, have these names.

    Raises:
        ValueError: ROS does not take a name, or two are alike; the message begins with `where`.
    """
    for name in names:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            written = shown("~" if name is None else str(name))
            raise ValueError(
                f"{where}: a camera cannot be called {written}, its node and topics would be called so; "
                "write letters, digits and _, a letter first"
            )
        if names.count(name) > 1:
            raise ValueError(f"{where}: two cameras are called {name!r}; give each a name of its own")


def save_extrinsics(
    path: str | Path, source: str | Path, mounts: Mapping[str, CameraMount], notes: Mapping[str, Mapping[str, Any]]
) -> None:
    """Write the file `source` to `path` with the given cameras' mounts; `notes` go below `calibration` of each camera.

    What else `source` says of a camera is kept, its comments are not.
    """
    content = yaml.safe_load(Path(source).read_text(encoding="utf-8"))
    for name, mount in mounts.items():
        entry = content["cameras"].setdefault(name, {})
        entry["parent"] = mount.parent
        entry["translation"] = [round(float(value), 6) for value in mount.pose[:3, 3]]
        entry["rotation"] = [round(float(value), 8) for value in mount.quaternion]
        entry["calibration"] = dict(notes[name])
    text = yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=120)
    Path(path).write_text(_HEADER + text, encoding="utf-8")


def _mount(where: str, name: str, entry: Any) -> CameraMount:
    if not isinstance(entry, dict):
        raise ValueError(f"{where}: expected parent, translation and rotation, got {shown(entry)}")
    parent = entry.get("parent")
    if parent not in PARENTS:
        raise ValueError(f"{where}: parent is {shown(parent)}; write one of {', '.join(PARENTS)}")
    lens = entry.get("lens", "")
    if lens not in ("", *NAMES):
        raise ValueError(f"{where}: lens is {shown(lens)}; write one of {', '.join(NAMES)}, or leave it to camera_info")
    rotation = _numbers(where, entry, "rotation", 4)
    length = float(np.linalg.norm(rotation))
    if abs(length - 1) > 1e-3:
        raise ValueError(f"{where}: rotation {rotation.tolist()} has length {length:.4g}; write a unit x, y, z, w")
    pose = np.eye(4)
    pose[:3, :3] = _matrix(rotation)
    pose[:3, 3] = _numbers(where, entry, "translation", 3)
    pose.flags.writeable = False
    return CameraMount(name, parent, pose, lens)


def _matrix(quaternion: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rotation matrix [3, 3] of a quaternion x, y, z, w of any length.

    Bit by bit as scipy's `Rotation` has it, whose import takes a third of a second of every node.
    """
    x, y, z, w = quaternion
    x, y, z, w = quaternion / math.sqrt(x * x + y * y + z * z + w * w)
    return np.array(
        [
            [x * x - y * y - z * z + w * w, 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), -x * x + y * y - z * z + w * w, 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), -x * x - y * y + z * z + w * w],
        ]
    )


def _numbers(where: str, entry: dict[str, Any], key: str, count: int) -> NDArray[np.float64]:
    value = entry.get(key)
    if not isinstance(value, list) or len(value) != count or not all(type(number) in (int, float) for number in value):
        raise ValueError(f"{where}: {key} is {shown(value)}; write {count} numbers")
    if not all(abs(number) <= FARTHEST for number in value):  # and not NaN
        raise ValueError(f"{where}: {key} is {shown(value)}; write finite numbers")
    return np.array(value, np.float64)
