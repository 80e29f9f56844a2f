"""What `meta/info.json` says of a LeRobotDataset: its version, its features, and where its files are."""

from __future__ import annotations

import json
import string
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from tristage_ros.datasets.values import DatasetError
from tristage_ros.json_text import parse
from tristage_ros.words import one_line, shown

V30, V21 = "v3.0", "v2.1"
INFO, STATS, TASKS = "meta/info.json", "meta/stats.json", "meta/tasks.parquet"
EPISODES = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEOS = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
OLD_EPISODES, OLD_TASKS = "meta/episodes.jsonl", "meta/tasks.jsonl"  # of v2.1
CHUNK = 1000  # files in a folder
LARGEST_FPS, MOST, LONGEST_NAME = 1000.0, 2**40, 100
VIDEO, IMAGE = "video", "image"
NUMBERS = {"timestamp": "float32", "frame_index": "int64", "episode_index": "int64", "index": "int64",
           "task_index": "int64"}  # fmt: skip
_FIELDS = {"chunk_index", "file_index", "video_key", "episode_chunk", "episode_index"}


class LerobotError(DatasetError):
    """Say which file or episode of a LeRobot dataset is wrong, and how; the message is one line for a person."""


@dataclass(frozen=True)
class Feature:
    """Describe one column or one camera."""

    dtype: str
    shape: tuple[int, ...]  # of a camera: height, width, channels
    names: tuple[str, ...] = ()  # of the numbers
    info: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_camera(self) -> bool:
        """Return whether it holds images, as a video or one by one."""
        return self.dtype in (VIDEO, IMAGE)

    @property
    def is_depth(self) -> bool:
        """Return whether its images are depth; older datasets say so under another key."""
        return any(self.info.get(key) is True for key in ("is_depth_map", "video.is_depth_map"))

    @property
    def size(self) -> tuple[int, int]:
        """Return rows and columns of a camera's images."""
        return self.shape[0], self.shape[1]

    def described(self) -> dict[str, Any]:
        """Return it as the file has it."""
        names: Any = ["height", "width", "channels"] if self.is_camera else list(self.names) or None
        told = {"dtype": self.dtype, "shape": list(self.shape), "names": names}
        return told | ({"info": dict(self.info)} if self.info else {})


OWN = {name: Feature(dtype, (1,)) for name, dtype in NUMBERS.items()}  # which every dataset has


@dataclass(frozen=True)
class Info:
    """Hold the file."""

    fps: float
    features: Mapping[str, Feature]
    robot_type: str = ""
    version: str = V30
    episodes: int = 0
    frames: int = 0
    tasks: int = 0
    chunk: int = CHUNK  # files, in v2.1 episodes, in a folder
    data_path: str = DATA
    video_path: str = VIDEOS

    @property
    def cameras(self) -> dict[str, Feature]:
        """Return the features with images."""
        return {key: feature for key, feature in self.features.items() if feature.is_camera}

    def text(self) -> str:
        """Return the file of a v3.0 dataset."""
        video_path = self.video_path if any(f.dtype == VIDEO for f in self.features.values()) else None
        content = {
            "codebase_version": V30,
            "fps": int(self.fps),
            "features": {key: feature.described() for key, feature in self.features.items()},
            "total_episodes": self.episodes,
            "total_frames": self.frames,
            "total_tasks": self.tasks,
            "chunks_size": self.chunk,
            "data_files_size_in_mb": 100,
            "video_files_size_in_mb": 200,
            "data_path": self.data_path,
            "video_path": video_path,
            "robot_type": self.robot_type or None,
            "splits": {"train": f"0:{self.episodes}"},
        }
        return json.dumps(content, indent=4, ensure_ascii=False) + "\n"


def read_info(root: Path) -> Info:
    """Return what the dataset in `root` says of itself.

    Raises:
        LerobotError: there is none, it is damaged, of another version, or half converted from one to the other.
    """
    path = root / INFO
    try:
        info = _info(parse(path.read_bytes()))
    except FileNotFoundError:
        raise LerobotError(f"{path} is not there; give the folder that has meta, data and videos in it") from None
    except (OSError, ValueError) as error:
        raise LerobotError(f"{path}: {one_line(error)}") from error
    old, new = (root / OLD_EPISODES).exists(), (root / TASKS).exists()
    if old if info.version == V30 else not old and new:
        raise LerobotError(
            f"{path} says {info.version}, but {OLD_EPISODES if old else TASKS} is of {V21 if old else V30}: converting "
            "it ended half way; convert it again, from the copy that the converter kept"
        )
    return info


def path_of(root: Path, template: str, **fields: Any) -> Path:
    """Return the file that a template means.

    Raises:
        LerobotError: the template has other fields, or leads out of `root`.
    """
    try:
        wanted = {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
        if not wanted <= _FIELDS & set(fields):
            raise ValueError(f"{', '.join(sorted(wanted - set(fields)))} is no field of it")
        relative = Path(template.format(**fields))
    except (ValueError, IndexError, KeyError, OverflowError) as error:
        raise LerobotError(f"{root / INFO}: the path {shown(template)} cannot be used: {one_line(error)}") from error
    if relative.is_absolute() or ".." in relative.parts or "\0" in str(relative):
        raise LerobotError(f"{root / INFO}: the path {shown(str(relative))} leads out of the dataset")
    return root / relative


def is_name(value: Any) -> TypeGuard[str]:
    """Return whether something can be a name that a person writes, and reads in a message."""
    return isinstance(value, str) and 0 < len(value) <= LONGEST_NAME and value.isprintable()


def _info(content: dict[str, Any]) -> Info:
    version = content.get("codebase_version")
    if version not in (V30, V21):
        raise ValueError(f"codebase_version is {shown(version)}; {V30} and {V21} can be read")
    features = content.get("features")
    if not isinstance(features, Mapping) or not features:
        raise ValueError(f"features is {shown(features)}, not what there is by name")
    read = {str(key): _feature(str(key), told) for key, told in features.items()}
    old = version == V21
    fps = content.get("fps")
    if not _is_number(fps) or not 0 < fps <= LARGEST_FPS or fps != int(fps):
        raise ValueError(f"fps is {shown(fps)}, not a whole number of frames per second")
    has_video = any(feature.dtype == VIDEO for feature in read.values())
    robot = content.get("robot_type")
    if robot is not None and not isinstance(robot, str):
        raise ValueError(f"robot_type is {shown(robot)}, not a name")
    return Info(
        float(fps),
        read,
        robot or "",
        version,
        _count(content, "total_episodes"),
        _count(content, "total_frames"),
        _count(content, "total_tasks"),
        _count(content, "chunks_size", 1),
        _text(content, "data_path"),
        _text(content, "video_path") if has_video else (VIDEOS if not old else ""),
    )


def _feature(key: str, told: Any) -> Feature:
    if not isinstance(told, Mapping) or not isinstance(told.get("dtype"), str):
        raise ValueError(f"the feature {shown(key)} is {shown(told)}; it has no dtype")
    if not is_name(key) or {"/", "\\"} & set(key) or key in (".", ".."):
        raise ValueError(f"the feature {shown(key)} has a name that is no file name")
    shape = told.get("shape")
    if not isinstance(shape, Sequence) or isinstance(shape, str) or not all(map(_is_count, shape)) or len(shape) > 5:
        raise ValueError(f"the shape of {key} is {shown(shape)}, not a few whole numbers")
    info = told.get("info") or told.get("video_info") or {}
    if not isinstance(info, Mapping):
        raise ValueError(f"the info of {key} is {shown(info)}, not keys and values")
    names = tuple(_names(told.get("names")))
    if unclear := [name for name in names if not is_name(name)]:
        raise ValueError(f"the names of {key} have {shown(unclear[0])}, which nobody can write")
    feature = Feature(told["dtype"], tuple(shape), names, dict(info))
    if feature.is_camera:
        if len(shape) != 3:
            raise ValueError(f"the shape of {key} is {shown(shape)}, not height, width and channels")
        if shape[0] in (1, 3) and shape[2] not in (1, 3):  # some name the channels first
            shape = (*shape[1:], shape[0])
        return Feature(feature.dtype, tuple(shape), (), feature.info)
    return feature


def _names(told: Any) -> list[str]:
    """Return names, which are a list, one list in another, under a word such as "motors", or each with its place."""
    if isinstance(told, Mapping):
        if all(_is_number(place) for place in told.values()):
            return [str(name) for name, _ in sorted(told.items(), key=lambda item: item[1])]
        return [name for part in told.values() for name in _names(part)]
    if isinstance(told, (list, tuple)):
        return [name for part in told for name in (_names(part) if isinstance(part, (list, tuple)) else [str(part)])]
    return []


def _count(content: Mapping[str, Any], key: str, least: int = 0) -> int:
    value = content.get(key)
    if not _is_count(value) or value < least:
        raise ValueError(f"{key} is {shown(value)}, not a whole number from {least}")
    return value


def _text(content: Mapping[str, Any], key: str) -> str:
    value = content.get(key)
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ValueError(f"{key} is {shown(value)}, not a path")
    return value


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
