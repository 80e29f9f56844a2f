"""Write a dataset as arrays by step, an `.npz` per episode: what a script of one's own reads with numpy alone.

The names and their meaning are RLDS's, so that a builder of tensorflow_datasets needs no more than to yield them.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tristage_ros.bags.episodes.episode import SUCCESS
from tristage_ros.datasets.lerobot.columns import episode_text
from tristage_ros.datasets.lerobot.depth import steps
from tristage_ros.datasets.values import Dataset, DatasetError, Episode, Frame
from tristage_ros.devices.arm.kinematics import matrix_to_rpy, quaternion_to_matrix

FEATURES, EPISODE = "features.json", "episode_{number:06d}.npz"
POINTS = 1024  # of the model's cloud; where there are fewer, they are repeated
UNFINISHED = ".unfinished"
MEANINGS = {
    "observation.state": "tool x, y, z (m), roll, pitch, yaw (rad, about fixed axes) in the base frame, gripper 0..1",
    "observation.points": "the model's cloud, m, base frame",
    "action": "x, y, z (m) relative to the state's, roll, pitch, yaw (rad) absolute, gripper 0 closed .. 1 open",
    "stamp": "s, ROS time of the observation",
    "discount": "1; 0 where the task is done",
    "reward": "0; 1 where the task is done",
}
Told = Callable[[Episode, int], None]


def write_arrays(
    dataset: Dataset, root: Path, *, depth: bool = True, resume: bool = False, told: Told | None = None
) -> tuple[int, int]:
    """Write a dataset into the folder `root`; return how many episodes and frames were written.

    An episode gets its name when it is whole; no more than one frame is in memory. Arguments are those of
    `lerobot.writer.write_dataset`.

    Raises:
        DatasetError: an episode cannot be read, or is not like the others; the folder has something else in it.
        OSError: the disk is full; the episodes before are whole.
    """
    if root.exists() and any(root.iterdir()) and not (resume and (root / FEATURES).exists()):
        raise DatasetError(f"{root} is not empty; give a folder that is not there yet, or --resume one of arrays")
    root.mkdir(parents=True, exist_ok=True)
    features = _features(root) if (root / FEATURES).exists() else {}
    frames = 0
    try:
        for number, episode in enumerate(dataset):
            path, text = root / EPISODE.format(number=number), episode_text(episode)
            if path.exists():
                _require_same(path, text, episode)
                continue
            features, count = _write(episode, path, text, features, depth, told)
            frames += count
            content = {"rate": dataset.rate, "features": features, "meanings": MEANINGS}
            temporary = root / f".{FEATURES}"
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
            temporary.replace(root / FEATURES)
    finally:
        shutil.rmtree(root / UNFINISHED, ignore_errors=True)
        if not any(root.iterdir()):
            root.rmdir()
    return len(dataset), frames


def _features(root: Path) -> dict[str, Any]:
    try:
        features: dict[str, Any] = dict(json.loads((root / FEATURES).read_text(encoding="utf-8"))["features"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{root / FEATURES} cannot be read ({type(error).__name__}); give a folder that is not there yet"
        ) from error
    return features


def _require_same(path: Path, text: str, episode: Episode) -> None:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            same = str(arrays["episode"]) == text
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DatasetError(f"{path} is no whole episode; delete it and --resume again") from error
    if not same:
        raise DatasetError(f"{path} is not {episode.where}; write into another folder")


def _write(
    episode: Episode, path: Path, text: str, wanted: dict[str, Any], depth: bool, told: Told | None
) -> tuple[dict[str, Any], int]:
    """Write an episode; return type and shape of a step of its arrays, and the number of steps.

    Where there are others, `wanted` is what theirs are.
    """
    work = path.parent / UNFINISHED
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    columns: dict[str, _Column] = {}
    count = 0
    with ExitStack() as stack:
        for frame in episode.frames():
            values = _values(frame, episode, depth)
            columns = columns or {key: stack.enter_context(_Column(work / key)) for key in values}
            if values.keys() != columns.keys():
                lacking = ", ".join(sorted(values.keys() ^ columns.keys()))
                raise DatasetError(f"{episode.where}: {lacking} is not in every frame, as frame {count} says")
            for key, column in columns.items():
                column.add(values[key], f"{episode.where}: {key} of frame {count}")
            count += 1
            if told:
                told(episode, count)
    if not count:
        raise DatasetError(f"{episode.where}: it has no frames; leave it out, or trim it less")
    features = {key: [str(column.dtype), list(column.shape)] for key, column in columns.items()}
    if other := [key for key in {**wanted, **features} if wanted and wanted.get(key) != features.get(key)]:
        told_of = f"{other[0]} is {features.get(other[0])}, in the episodes before {wanted.get(other[0])}"
        raise DatasetError(f"{episode.where}: {told_of}")
    last = np.arange(count) == count - 1
    done = last & (episode.outcome == SUCCESS)
    beside = {
        "is_first": np.arange(count) == 0, "is_last": last, "is_terminal": done,
        "reward": done.astype(np.float32), "discount": 1 - done.astype(np.float32),
        "language_instruction": np.array(episode.task), "episode": np.array(text),
    }  # fmt: skip
    whole = work / path.name
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as target:
        for key, column in columns.items():
            with target.open(f"{key}.npy", "w", force_zip64=True) as file:
                column.copy_into(file, count)
        for key, array in beside.items():
            with target.open(f"{key}.npy", "w") as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
    whole.replace(path)
    return features, count


def _values(frame: Frame, episode: Episode, depth: bool) -> dict[str, NDArray[Any]]:
    action = frame.action
    turned = matrix_to_rpy(quaternion_to_matrix(action.orientation[0]))
    found: dict[str, NDArray[Any]] = {f"observation.image.{name}": image for name, image in frame.images.items()}
    for name, image in frame.depths.items() if depth else ():
        found[f"observation.depth.{name}"] = steps(image)
    if frame.points is not None:
        if len(frame.points) > POINTS:
            raise DatasetError(f"{episode.where}: a cloud of {len(frame.points)} points; {POINTS} are kept")
        found["observation.points"] = np.resize(frame.points, (POINTS, 3)).astype(np.float32)
    return found | {
        "observation.state": np.asarray(frame.state, np.float32),
        "action": np.concatenate([action.translation[0], turned, action.gripper[:1]]).astype(np.float32),
        "stamp": np.asarray(frame.stamp, np.float64),
    }


class _Column:
    """Keep one array on the disk while its length is not known."""

    def __init__(self, path: Path) -> None:
        self._path, self._file = path, path.open("wb")
        self.dtype, self.shape = np.dtype(np.float64), tuple[int, ...]()
        self._began = False

    def add(self, value: NDArray[Any], where: str) -> None:
        if not self._began:
            self.dtype, self.shape, self._began = value.dtype, value.shape, True
        if (value.dtype, value.shape) != (self.dtype, self.shape):
            raise DatasetError(f"{where} is {value.dtype} {value.shape}, the first one {self.dtype} {self.shape}")
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise DatasetError(f"{where} is not finite")
        self._file.write(np.ascontiguousarray(value).data)

    def copy_into(self, file: Any, count: int) -> None:
        described = {"descr": self.dtype.str, "fortran_order": False, "shape": (count, *self.shape)}
        np.lib.format.write_array_header_1_0(file, described)
        with self._path.open("rb") as source:
            shutil.copyfileobj(source, file, 1 << 20)

    def __enter__(self) -> _Column:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()
