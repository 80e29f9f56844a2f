"""The episode that is being written: its rows, its videos and its statistics, in a folder of their own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tristage_ros.datasets.lerobot import columns, tables
from tristage_ros.datasets.lerobot.codecs import Codec, VideoWriter, color_codec, depth_codec
from tristage_ros.datasets.lerobot.depth import OURS, STEPS, steps
from tristage_ros.datasets.lerobot.layout import OWN, VIDEO, Feature, LerobotError
from tristage_ros.datasets.lerobot.statistics import ImageStatistics, Stats, of_numbers
from tristage_ros.datasets.lerobot.videos import Section, Source, images, take_over
from tristage_ros.datasets.values import Episode, Frame

COLOR_VALUES = np.arange(256) / 255.0
DEPTH_VALUES = OURS.table.astype(np.float64)
ROWS = "rows.parquet"


def features_of(frame: Frame, fps: float, depth: bool) -> dict[str, Feature]:
    """Return the features of a dataset that begins with this frame.

    Raises:
        LerobotError: PyAV lacks a codec.
    """
    found = {key: feature for key, feature in columns.COLUMNS.items() if key not in OWN}
    for camera, image in frame.images.items():
        found[columns.color_key(camera)] = _video(image.shape[:2], 3, fps, color_codec(), {"is_depth_map": False})
    told = {"is_depth_map": True, "depth_unit": "mm", **OURS.described()}
    for camera, distances in frame.depths.items() if depth else ():
        key = columns.depth_key(camera)
        if key in found:
            raise LerobotError(f"cameras are called {camera} and {camera}_depth; rename one")
        found[key] = _video(distances.shape, 1, fps, depth_codec(), told)
    return found | OWN


def _video(size: tuple[int, ...], channels: int, fps: float, codec: Codec, told: dict[str, Any]) -> Feature:
    height, width = int(size[0]), int(size[1])
    info = {
        "video.height": height, "video.width": width, "video.fps": int(fps), "video.channels": channels,
        **codec.described, "has_audio": False, **told,
    }  # fmt: skip
    return Feature(VIDEO, (height, width, channels), info=info)


class RunningEpisode:
    """Take the frames of an episode one by one; `finish` brings them to the disk."""

    def __init__(
        self, folder: Path, features: Mapping[str, Feature], fps: float, episode: Episode, sources: Mapping[str, Source]
    ) -> None:
        """Begin in an empty folder; where `sources` has a video as it would be written, it is taken over as it is.

        Raises:
            LerobotError: a video cannot be begun.
        """
        self.folder, self.frames = folder, 0
        self._features, self._fps, self._episode = features, fps, episode
        self._values: dict[str, list[Any]] = {key: [] for key in columns.COLUMNS if key not in OWN}
        self._writers: dict[str, VideoWriter] = {}
        self._depths: dict[str, ImageStatistics] = {}
        self._colors: dict[str, ImageStatistics] = {}
        for key, feature in features.items():
            if not feature.is_camera:
                continue
            (self._depths if feature.is_depth else self._colors)[key] = ImageStatistics(
                feature.shape[2], STEPS + 1 if feature.is_depth else 256
            )
            source = sources.get(key)
            if not (source and source.feature.info == feature.info and take_over(source.section, self.video(key))):
                codec = depth_codec() if feature.is_depth else color_codec()
                self._writers[key] = VideoWriter(self.video(key), fps, feature.size, codec)

    def video(self, key: str) -> Path:
        """Return where the video of a feature is written."""
        return self.folder / f"{key}.mp4"

    def add(self, frame: Frame) -> None:
        """Take a frame.

        Raises:
            LerobotError: it has other cameras, or other images, than the dataset.
            OSError: the disk is full.
        """
        for key, value in columns.values_of(frame).items():
            self._require_finite(key, value)
            self._values[key].append(value)
        seen = {columns.color_key(camera): image for camera, image in frame.images.items()}
        deep = {columns.depth_key(camera): image for camera, image in frame.depths.items()}
        for key, counts in self._colors.items():
            image = self._sized(key, seen)
            if key in self._writers:
                self._writers[key].add(image)
            else:
                counts.add(image)
        for key, counts in self._depths.items():
            image = steps(self._sized(key, deep))
            counts.add(image)
            if key in self._writers:
                self._writers[key].add(image)
        self.frames += 1

    def finish(self, number: int, index: int, task: int) -> dict[str, Stats]:
        """Write the rows and close the videos; return the statistics.

        Args:
            number: of the episode.
            index: of its first frame, among all.
            task: its number.

        Raises:
            LerobotError: the episode has no frames, or a video is not what was written.
            OSError: the disk is full.
        """
        if not self.frames:
            raise LerobotError(f"{self._episode.where}: it has no frames; leave it out, or trim it less")
        for writer in self._writers.values():
            writer.close()
        numbers = np.arange(self.frames)
        values: dict[str, Any] = dict(self._values) | {
            "timestamp": (numbers / self._fps).astype(np.float32),
            "frame_index": numbers,
            "episode_index": np.full(self.frames, number),
            "index": index + numbers,
            "task_index": np.full(self.frames, task),
        }
        tables.write(self.folder / ROWS, tables.rows(self._features, values))
        stats = {
            key: of_numbers(np.asarray(values[key]))
            for key, feature in self._features.items()
            if not feature.is_camera and feature.dtype != "string"
        }
        for key, counts in self._colors.items():
            if key in self._writers:  # what a reader will see of it: the codec changes colours
                self._look(key, number, counts)
            stats[key] = counts.stats(COLOR_VALUES)
        for key, counts in self._depths.items():
            stats[key] = counts.stats(DEPTH_VALUES, nothing=0.0)
        for key in (*self._colors, *self._depths):
            _flush(self.video(key))
        return stats

    def abandon(self) -> None:
        """Let go of what was begun."""
        for writer in self._writers.values():
            writer.abandon()

    def _look(self, key: str, number: int, counts: ImageStatistics) -> None:
        for image in images(Section(self.video(key), 0.0, self.frames, self._fps, self._features[key].size, number)):
            counts.add(image)

    def _sized(self, key: str, seen: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        wanted = self._features[key].shape[:2]
        if key not in seen:
            raise LerobotError(f"{self._episode.where}: frame {self.frames} has no {key}, which the first one has")
        if seen[key].shape[:2] != wanted:
            height, width = seen[key].shape[:2]
            raise LerobotError(
                f"{self._episode.where}: {key} is {width} x {height} in frame {self.frames}, "
                f"the dataset has {wanted[1]} x {wanted[0]}"
            )
        return seen[key]

    def _require_finite(self, key: str, value: Any) -> None:
        if not isinstance(value, str) and not np.isfinite(value).all():
            raise LerobotError(f"{self._episode.where}: {key} is not finite in frame {self.frames}")


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
