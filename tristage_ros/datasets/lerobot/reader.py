"""The files of a LeRobotDataset, v3.0 or v2.1: its episodes one by one, their rows, and their images."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tristage_ros.datasets.lerobot import tables
from tristage_ros.datasets.lerobot.layout import (
    INFO,
    OLD_EPISODES,
    OLD_TASKS,
    TASKS,
    V30,
    VIDEO,
    Feature,
    LerobotError,
    path_of,
    read_info,
)
from tristage_ros.datasets.lerobot.videos import Section, images
from tristage_ros.json_text import parse
from tristage_ros.words import one_line, shown

LONGEST = 10_000_000  # frames of an episode
LINE = 1 << 24  # bytes of a line about an episode
PICTURES = 16  # read at once
BESIDE = 2e-3  # s that a time may be beside that of its frame, which is kept in single precision


@dataclass(frozen=True)
class Entry:
    """Say what the dataset says of an episode."""

    number: int
    length: int  # frames
    tasks: tuple[str, ...]
    data: Path
    videos: Mapping[str, tuple[Path, float]] = field(default_factory=dict)  # by feature: file, and from when in it, s

    @property
    def where(self) -> str:
        """Return file and episode, for a person."""
        return f"{self.data}: episode {self.number}"


class Files:
    """Read a dataset; no more than a part of one episode's rows, and one image, are held at a time."""

    def __init__(self, root: Path) -> None:
        """Read what it says of itself.

        Raises:
            LerobotError: it is none that can be read.
        """
        self.root, self.info = root, read_info(root)
        self.tasks = tables.read_tasks(root / TASKS) if self.info.version == V30 else dict(_old_tasks(root / OLD_TASKS))

    def entries(self) -> Iterator[Entry]:
        """Yield the episodes in their order.

        Raises:
            LerobotError: what is said of one cannot be read, cannot be, or is missing.
        """
        count = 0
        for number, entry in enumerate(self._new() if self.info.version == V30 else self._old()):
            if number == self.info.episodes:  # what follows is of a writer that was ended
                return
            if entry.number != number:
                raise LerobotError(f"{self.root}: episode {number} is missing; episode {entry.number} is in its place")
            if not 0 < entry.length <= LONGEST:
                raise LerobotError(f"{entry.where}: its length is {entry.length}")
            yield entry
            count += 1
        if count < self.info.episodes:
            raise LerobotError(
                f"{self.root / INFO} says {self.info.episodes} episodes, and there are {count}; whoever wrote it did "
                "not come to its end"
            )

    def rows(self, entry: Entry, keys: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Return columns of an episode, each [F] or [F, D].

        Raises:
            LerobotError: a file is missing or damaged, rows are missing, or their times are those of another rate.
        """
        wanted = [*dict.fromkeys((*keys, "timestamp", "frame_index"))]
        found: dict[str, list[NDArray[Any]]] = {key: [] for key in wanted}
        count = 0
        for batch in tables.batches(entry.data, [*wanted, tables.NUMBER], entry.number):
            count += len(batch)
            if count > entry.length:
                raise LerobotError(f"{entry.where}: it has more rows than its {entry.length} frames")
            for key in wanted:
                found[key].append(self._column(entry, key, batch[key]))
        if count < entry.length:
            raise LerobotError(f"{entry.where}: it has {count} rows for {entry.length} frames")
        rows = {key: np.concatenate(parts) for key, parts in found.items()}
        self._check_times(entry, rows)
        for key, values in rows.items():
            self._require_finite(entry, key, values)
        return rows

    def images(self, entry: Entry, key: str) -> Generator[NDArray[Any], None, None]:
        """Yield the images of a camera: uint8 [H, W, 3] RGB, or of depth what the file has, uint16 [H, W].

        Raises:
            LerobotError: one cannot be read, or is missing.
        """
        feature = self.info.features[key]
        if feature.dtype == VIDEO:
            yield from images(self.section(entry, key), feature.is_depth)
        else:
            yield from self._pictures(entry, key, feature)

    def section(self, entry: Entry, key: str) -> Section:
        """Return in which part of which video the images of a feature are."""
        path, begin = entry.videos[key]
        return Section(path, begin, entry.length, self.info.fps, self.info.features[key].size, entry.number)

    # v3.0

    def _new(self) -> Iterator[Entry]:
        videos = [key for key, feature in self.info.features.items() if feature.dtype == VIDEO]
        numbers = ["episode_index", "length", "data/chunk_index", "data/file_index"]
        for key in videos:
            numbers += [f"videos/{key}/{name}" for name in ("chunk_index", "file_index", "from_timestamp")]
        files = sorted((self.root / "meta/episodes").glob("*/*.parquet"))
        if not files:
            raise LerobotError(f"{self.root / 'meta/episodes'}: no file says what the episodes are")
        for path in files:
            for batch in tables.batches(path, [*numbers, "tasks"], rows=64):
                for row in tables.python_rows(path, batch):
                    yield self._entry(path, row, videos)

    def _entry(self, path: Path, row: Mapping[str, Any], videos: Sequence[str]) -> Entry:
        where = f"{path}: episode {shown(row['episode_index'])}"
        for key, value in row.items():
            number = (int, float) if "timestamp" in key else (int,)
            fits = isinstance(value, list) if key == "tasks" else isinstance(value, number) and 0 <= value < 2**53
            if not fits:
                raise LerobotError(f"{where}: {key} is {shown(value)}")
        if not all(isinstance(task, str) for task in row["tasks"]):
            raise LerobotError(f"{where}: tasks is {shown(row['tasks'])}, not sentences")
        found = {
            key: (
                self._path(self.info.video_path, row, f"videos/{key}", video_key=key),
                float(row[f"videos/{key}/from_timestamp"]),
            )
            for key in videos
        }
        data = self._path(self.info.data_path, row, "data")
        return Entry(row["episode_index"], row["length"], tuple(row["tasks"]), data, found)

    def _path(self, template: str, row: Mapping[str, Any], what: str, **fields: Any) -> Path:
        place = {name: row[f"{what}/{name}"] for name in ("chunk_index", "file_index")}
        return path_of(self.root, template, **place, **fields)

    # v2.1

    def _old(self) -> Iterator[Entry]:
        path = self.root / OLD_EPISODES
        for line, told in _lines(path):
            number, length, tasks = (told.get(key) for key in ("episode_index", "length", "tasks"))
            counts = [n for n in (number, length) if isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 2**40]
            if len(counts) != 2 or not isinstance(tasks, list) or not all(isinstance(task, str) for task in tasks):
                raise LerobotError(f"{path}: line {line} is {shown(told)}, not an episode")
            place = {"episode_chunk": counts[0] // self.info.chunk, "episode_index": counts[0]}
            videos = {
                key: (path_of(self.root, self.info.video_path, video_key=key, **place), 0.0)
                for key, feature in self.info.features.items()
                if feature.dtype == VIDEO
            }
            yield Entry(counts[0], counts[1], tuple(tasks), path_of(self.root, self.info.data_path, **place), videos)

    # both

    def _column(self, entry: Entry, key: str, column: pa.Array) -> NDArray[Any]:
        feature = self.info.features.get(key)
        if feature is None or len(feature.shape) != 1:
            raise LerobotError(f"{self.root / INFO}: {key} is no list of numbers")
        try:
            if column.null_count:
                raise ValueError("there are gaps in it")
            if feature.dtype == "string":
                return np.array(column.cast(pa.string()).to_pylist(), object)
            nested = not pa.types.is_primitive(column.type)
            flat = (column.flatten() if nested else column).cast(pa.float64()).to_numpy(zero_copy_only=False)
            if flat.size != len(column) * feature.shape[0]:
                raise ValueError(f"it has {flat.size} numbers in {len(column)} rows, not {feature.shape[0]} in each")
        except (pa.ArrowException, ValueError, AttributeError) as error:
            raise LerobotError(f"{entry.where}: {key} cannot be read: {one_line(error, 120)}") from error
        return np.asarray(flat if feature.shape == (1,) else flat.reshape(len(column), -1))

    def _require_finite(self, entry: Entry, key: str, values: NDArray[Any]) -> None:
        wrong = np.zeros(1, bool) if values.dtype == object else ~np.isfinite(values.reshape(-1))
        if wrong.any():
            feature = self.info.features[key]
            frame, place = divmod(int(wrong.argmax()), feature.shape[0])
            name = f" of {feature.names[place]}" if place < len(feature.names) else ""
            raise LerobotError(f"{entry.where}: {key}{name} is {values.reshape(-1)[wrong][0]} in frame {frame}")

    def _check_times(self, entry: Entry, rows: Mapping[str, NDArray[Any]]) -> None:
        if (rows["frame_index"] != np.arange(entry.length)).any():
            row = int((rows["frame_index"] != np.arange(entry.length)).argmax())
            raise LerobotError(f"{entry.where}: row {row} is frame {rows['frame_index'][row]:g}")
        due = np.arange(entry.length) / self.info.fps
        beside = np.abs(rows["timestamp"] - due) > BESIDE + 1e-6 * due
        if beside.any():
            row = int(beside.argmax())
            raise LerobotError(
                f"{entry.where}: frame {row} is at {rows['timestamp'][row]:.4g} s; at the {self.info.fps:g} Hz of "
                f"{INFO} it would be at {due[row]:.4g} s"
            )

    def _pictures(self, entry: Entry, key: str, feature: Feature) -> Iterator[NDArray[Any]]:
        count = 0
        for batch in tables.batches(entry.data, [key, tables.NUMBER], entry.number, PICTURES):
            for told in batch[key].to_pylist():
                data = told.get("bytes") if isinstance(told, dict) else None
                flags = cv2.IMREAD_UNCHANGED if feature.is_depth else cv2.IMREAD_COLOR
                try:
                    image = cv2.imdecode(np.frombuffer(data or b"", np.uint8), flags)
                except cv2.error:
                    image = None
                if image is None or image.shape[:2] != feature.shape[:2] or (feature.is_depth and image.ndim != 2):
                    raise LerobotError(f"{entry.where}: {key} of frame {count} is no such image")
                yield image if feature.is_depth else np.ascontiguousarray(image[..., ::-1])
                count += 1


def _old_tasks(path: Path) -> Iterator[tuple[int, str]]:
    for line, told in _lines(path):
        number, task = told.get("task_index"), told.get("task")
        if not isinstance(number, int) or not isinstance(task, str):
            raise LerobotError(f"{path}: line {line} is {shown(told)}, not a task")
        yield number, task


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the lines of a file, each an object."""
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(LINE):
                number += 1
                if line.strip():
                    yield number, parse(line)
    except FileNotFoundError:
        raise LerobotError(f"{path}: the file is not there") from None
    except (OSError, ValueError) as error:
        if isinstance(error, LerobotError):
            raise
        raise LerobotError(f"{path}: line {number}: {one_line(error)}") from error
