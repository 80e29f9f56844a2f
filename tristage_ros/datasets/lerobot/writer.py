"""Write a dataset as LeRobotDataset v3.0, one episode after the other, each in files of its own.

An episode is written beside the dataset and moved into it when it is whole: its videos, its rows, what is known of it,
`info.json` last. So whatever ends the writer costs the episode that it was at, and what is there can be read, and gone
on with.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa

from tristage_ros.datasets.lerobot import columns, tables
from tristage_ros.datasets.lerobot.layout import (
    CHUNK,
    DATA,
    EPISODES,
    INFO,
    STATS,
    TASKS,
    VIDEOS,
    Feature,
    Info,
    LerobotError,
    read_info,
)
from tristage_ros.datasets.lerobot.running import ROWS, RunningEpisode, features_of
from tristage_ros.datasets.lerobot.statistics import Stats, as_lists, joined
from tristage_ros.datasets.lerobot.videos import sources_of
from tristage_ros.datasets.values import Dataset, Episode

UNFINISHED = ".unfinished"
ROBOT = "piper"
Told = Callable[[Episode, int], None]  # after each frame: of which episode, and how many of it there are


def write_dataset(
    dataset: Dataset, root: Path, *, depth: bool = True, resume: bool = False, told: Told | None = None
) -> Info:
    """Write a dataset into the folder `root`; return what it says of itself.

    Args:
        dataset: what is read, one frame at a time.
        root: a folder that is not there yet, or with `resume` one that this has written a part of.
        depth: whether depth is written where there is any.
        resume: keep the episodes that are there, and go on behind them.
        told: is called after each frame.

    Raises:
        DatasetError: an episode cannot be read, or does not belong to the others.
        OSError: the disk is full; the episodes before are whole.
    """
    writer = Writer(root, dataset.rate, depth=depth, resume=resume)
    for number, episode in enumerate(dataset):
        if number < writer.info.episodes:
            writer.require_same(number, episode)
        else:
            writer.add(episode, told)
    return writer.info


class Writer:
    """Write episodes into one folder."""

    def __init__(self, root: Path, rate: float, *, depth: bool = True, resume: bool = False) -> None:
        """Begin a dataset of frames at `rate` Hz (0: key frames, which get a second each), or go on with one.

        Raises:
            LerobotError: the folder is there already, or has another dataset; the rate is no whole number.
        """
        self.root, self._rate, self._depth = root, rate, depth
        fps = rate or 1.0
        if fps != round(fps):
            raise LerobotError(
                f"{root}: frames come at {rate:g} Hz, and LeRobot knows whole numbers; choose another rate"
            )
        self.info = Info(fps, {}, ROBOT)
        self._stats: dict[str, Stats] = {}
        self._tasks: list[str] = []
        if resume and (root / INFO).exists():
            self._go_on()
        elif root.exists() and any(root.iterdir()):
            more = "; --resume goes on with it" if (root / INFO).exists() else ""
            raise LerobotError(f"{root} is not empty; give a folder that is not there yet{more}")

    def add(self, episode: Episode, told: Told | None = None) -> None:
        """Write one more episode.

        Raises:
            DatasetError, OSError: as `write_dataset`; nothing of it is left.
        """
        work = self.root / UNFINISHED
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        try:
            self._add(episode, work, told)
        finally:
            shutil.rmtree(work, ignore_errors=True)
            with suppress(OSError):  # of a dataset that has nothing else
                self.root.rmdir()

    def require_same(self, number: int, episode: Episode) -> None:
        """Refuse to go on behind an episode that is another one.

        Raises:
            LerobotError: it is.
        """
        path = self.root / columns.EPISODE.format(number=number)
        if not path.is_file() or path.read_text(encoding="utf-8") != columns.episode_text(episode):
            raise LerobotError(f"{self.root}: episode {number}: it is not {episode.where}; write into another folder")

    def _add(self, episode: Episode, work: Path, told: Told | None) -> None:
        number, info = self.info.episodes, self.info
        frames = iter(episode.frames())
        first = next(frames, None)
        if first is None:
            raise LerobotError(f"{episode.where}: it has no frames; leave it out, or trim it less")
        features = features_of(first, info.fps, self._depth)
        if info.features and features != info.features:
            raise LerobotError(f"{episode.where}: {_difference(features, info.features)}")
        running = RunningEpisode(work, features, info.fps, episode, sources_of(episode))
        try:
            for frame in chain([first], frames):
                running.add(frame)
                if told:
                    told(episode, running.frames)
            tasks = self._tasks if episode.task in self._tasks else [*self._tasks, episode.task]
            stats = running.finish(number, info.frames, tasks.index(episode.task))
        except BaseException:
            running.abandon()
            raise
        self._stats = {key: joined(self._stats[key], one) if self._stats else one for key, one in stats.items()}
        self._tasks = tasks
        self.info = replace(
            info, features=features, episodes=number + 1, frames=info.frames + running.frames, tasks=len(tasks)
        )
        self._publish(number, episode, running, stats)

    def _publish(self, number: int, episode: Episode, running: RunningEpisode, stats: Mapping[str, Stats]) -> None:
        """Move an episode that is whole into the dataset."""
        place = _place(number)
        row: dict[str, Any] = {"episode_index": number, "tasks": [episode.task], "length": running.frames}
        row |= {f"data/{key}": value for key, value in place.items()}
        row |= {"dataset_from_index": self.info.frames - running.frames, "dataset_to_index": self.info.frames}
        for key in self.info.cameras:
            self._move(running.video(key), VIDEOS.format(video_key=key, **place))
            row |= {f"videos/{key}/{name}": value for name, value in place.items()}
            row |= {f"videos/{key}/from_timestamp": 0.0, f"videos/{key}/to_timestamp": running.frames / self.info.fps}
        row |= {f"meta/episodes/{name}": value for name, value in place.items()}
        row |= {f"stats/{key}/{name}": value for key, one in as_lists(stats).items() for name, value in one.items()}
        self._move(running.folder / ROWS, DATA.format(**place))
        if not number:
            self._write(columns.DATASET, columns.dataset_text(self._rate))
        self._write(columns.EPISODE.format(number=number), columns.episode_text(episode))
        tables.write(self._made(TASKS), tables.tasks(self._tasks))
        tables.write(self._made(EPISODES.format(**place)), pa.table({key: [value] for key, value in row.items()}))
        self._write(STATS, json.dumps(as_lists(self._stats), indent=4) + "\n")
        self._write(INFO, self.info.text())

    def _go_on(self) -> None:
        """Take up what is there; whatever was written after `info.json` does not count."""
        self.info = read_info(self.root)
        try:
            rate = columns.rate_of((self.root / columns.DATASET).read_bytes())
        except (OSError, ValueError) as error:
            raise LerobotError(f"{self.root} was written by something else; give a folder that is not there") from error
        if rate != self._rate:
            raise LerobotError(f"{self.root} has frames at {rate:g} Hz, not {self._rate:g}; write into another folder")
        self._tasks = [text for _, text in sorted(tables.read_tasks(self.root / TASKS).items())][: self.info.tasks]
        for number in range(self.info.episodes):
            path = self.root / EPISODES.format(**_place(number))
            stats = tables.stats_of(path)
            self._stats = {key: joined(self._stats[key], one) if number else one for key, one in stats.items()}

    def _move(self, path: Path, place: str) -> None:
        path.replace(self._made(place))

    def _write(self, place: str, text: str) -> None:
        path = self._made(place)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with temporary.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def _made(self, place: str) -> Path:
        path = self.root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def _place(number: int) -> dict[str, int]:
    return {"chunk_index": number // CHUNK, "file_index": number % CHUNK}


def _difference(features: Mapping[str, Feature], wanted: Mapping[str, Feature]) -> str:
    """Return in what an episode differs from those before, for a person."""
    if more := [key for key in features if key not in wanted]:
        return f"it has {', '.join(more)}, which the episodes before have not"
    if less := [key for key in wanted if key not in features]:
        return f"it has no {', '.join(less)}, which the episodes before have"
    key = next(key for key in features if features[key] != wanted[key])
    (height, width), (rows, across) = features[key].shape[:2], wanted[key].shape[:2]
    return f"{key} is {width} x {height}, in the episodes before {across} x {rows}, or its codec is another one"
