"""A LeRobotDataset as any other dataset: one of ours, which says all that a frame has, or another by a mapping."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tristage_ros.datasets.lerobot import columns
from tristage_ros.datasets.lerobot.depth import in_metres
from tristage_ros.datasets.lerobot.layout import INFO, OWN, VIDEO, LerobotError
from tristage_ros.datasets.lerobot.mapping import Conversion, Mapped, read_mapping
from tristage_ros.datasets.lerobot.reader import Entry, Files
from tristage_ros.datasets.lerobot.videos import FilmedEpisode, Source
from tristage_ros.datasets.values import Episode, Frame, Trim
from tristage_ros.words import one_line, shown


def open_lerobot(root: Path, mapping: Path | None = None) -> LerobotDataset:
    """Open a dataset: with a mapping any of this arm, without one that `write_dataset` wrote.

    Raises:
        LerobotError: it is none, or what its numbers mean is not said anywhere.
    """
    files = Files(root)
    if mapping is not None:
        return MappedDataset(files, read_mapping(mapping))
    if not (root / columns.DATASET).is_file():
        told = "; ".join(
            f"{key}: {', '.join(feature.names) or feature.dtype}"
            for key, feature in files.info.features.items()
            if key not in OWN
        )
        raise LerobotError(
            f"{root}: it does not say what its numbers mean, and nobody guesses: give --mapping; robot_type is "
            f"{shown(files.info.robot_type)}, and it has {one_line(told, 1200)}"
        )
    return LerobotDataset(files)


class LerobotDataset:
    """Read a dataset of ours."""

    def __init__(self, files: Files) -> None:
        """Check that it has what ours have.

        Raises:
            LerobotError: it has not; the message says what is missing.
        """
        self.files = files
        self._rate = self._read_rate()
        for key, feature in columns.COLUMNS.items():
            there = files.info.features.get(key)
            if there is None or (there.dtype, there.shape) != (feature.dtype, feature.shape):
                raise LerobotError(f"{files.root / INFO}: {key} is {shown(there and there.described())}, not as ours")

    @property
    def rate(self) -> float:
        """Return frames per second, Hz; 0: key frames."""
        return self._rate

    def __len__(self) -> int:
        """Return the number of episodes."""
        return self.files.info.episodes

    def __iter__(self) -> Iterator[Episode]:
        """Yield the episodes.

        Raises:
            LerobotError: one cannot be read.
        """
        for entry in self.files.entries():
            yield self._episode(entry)

    def _read_rate(self) -> float:
        path = self.files.root / columns.DATASET
        try:
            return columns.rate_of(path.read_bytes())
        except (OSError, ValueError) as error:
            raise LerobotError(f"{path}: {one_line(error)}") from error

    def _episode(self, entry: Entry) -> Episode:
        path = self.files.root / columns.EPISODE.format(number=entry.number)
        try:
            known = columns.known_of(path.read_bytes())
        except (OSError, ValueError) as error:
            raise LerobotError(f"{path}: episode {entry.number}: {one_line(error)}") from error
        colors, depths = dict[str, str](), dict[str, str]()
        for camera, one in known["calibration"].items():
            for key, found in ((columns.color_key(camera), colors), (columns.depth_key(camera), depths)):
                feature = self.files.info.features.get(key)
                if feature is not None and feature.shape[:2] != (one.camera.height, one.camera.width):
                    raise LerobotError(f"{path}: episode {entry.number}: {camera} is calibrated for another size")
                if feature is not None:
                    found[camera] = key
        if not colors:
            raise LerobotError(f"{path}: episode {entry.number}: none of its cameras has images")

        def frames() -> Iterator[Frame]:
            rows = self.files.rows(entry, [*columns.COLUMNS])
            for at, (images, depth) in enumerate(pictures(self.files, entry, colors, depths)):
                yield columns.frame_of({key: rows[key][at] for key in columns.COLUMNS}, images, depth)

        sources = {
            key: Source(self.files.section(entry, key), self.files.info.features[key])
            for key in (*colors.values(), *depths.values())
            if self.files.info.features[key].dtype == VIDEO
        }
        return FilmedEpisode(entry.number, entry.where, frames=frames, **known, sources=sources, filmed=frames)


class MappedDataset(LerobotDataset):
    """Read a dataset of others as a mapping says."""

    def __init__(self, files: Files, mapped: Mapped) -> None:
        """Check that the mapping fits.

        Raises:
            LerobotError: it names a column, a joint or a camera that is not there, or the robot is another one.
        """
        self.files = files
        self._rate = files.info.fps
        self._conversion = Conversion(files.root, files.info, mapped)

    def _episode(self, entry: Entry) -> Episode:
        conversion, fps = self._conversion, self.files.info.fps
        numbers = {int(number) for number in self.files.rows(entry, ["task_index"])["task_index"]}
        unknown = numbers - set(self.files.tasks)
        if unknown or len(numbers) != 1:
            what = f"task {min(unknown)} is not among the tasks" if unknown else f"it has {len(numbers)} tasks, not one"
            raise LerobotError(f"{entry.where}: {what}")

        def frames() -> Iterator[Frame]:
            rows = self.files.rows(entry, conversion.columns)
            converted = conversion.frames(entry, rows)
            pairs = pictures(self.files, entry, conversion.colors, conversion.depths)
            for values, (images, depth) in zip(converted, pairs, strict=True):
                yield values(images, depth)

        seconds = entry.length / fps
        return Episode(
            entry.number, entry.where, self.files.tasks[numbers.pop()], conversion.calibration,
            Trim(0.0, seconds, seconds), frames, dh_is_offset=conversion.mapped.dh_is_offset,
            facts={"imported": f"LeRobot {self.files.info.version}", "robot_type": self.files.info.robot_type,
                   "stamps": "frame / fps"},
        )  # fmt: skip


Pictures = tuple[dict[str, NDArray[np.uint8]], dict[str, NDArray[np.float32]]]


def pictures(files: Files, entry: Entry, colors: Mapping[str, str], depths: Mapping[str, str]) -> Iterator[Pictures]:
    """Yield colour and depth of every frame by camera; `colors` and `depths` say of which features.

    Raises:
        LerobotError: an image cannot be read, or is missing.
    """
    with ExitStack() as stack:
        color = {name: stack.enter_context(closing(files.images(entry, key))) for name, key in colors.items()}
        depth = {name: stack.enter_context(closing(files.images(entry, key))) for name, key in depths.items()}
        metres = {name: _metres(files, entry, key) for name, key in depths.items()}
        for _ in range(entry.length):
            yield (
                {name: next(stream) for name, stream in color.items()},
                {name: metres[name](next(stream)) for name, stream in depth.items()},
            )


def _metres(files: Files, entry: Entry, key: str) -> Callable[[NDArray[Any]], NDArray[np.float32]]:
    """Return what makes depth in m of the images of a feature, and names them where they are none."""
    feature = files.info.features[key]
    try:
        convert = in_metres(feature.info, feature.dtype == VIDEO)
    except ValueError as error:
        raise LerobotError(f"{files.root / INFO}: {key}: {one_line(error)}") from error

    def converted(image: NDArray[Any]) -> NDArray[np.float32]:
        try:
            return convert(image)
        except ValueError as error:
            raise LerobotError(f"{entry.where}: {key}: {one_line(error)}") from error

    return converted
