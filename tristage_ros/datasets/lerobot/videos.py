"""Videos of a dataset read frame by frame, held to the rows that belong to them, or taken over as they are."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from tristage_ros.datasets.lerobot.codecs import COLOR_PIXELS, DEPTH_PIXELS
from tristage_ros.datasets.lerobot.layout import Feature, LerobotError
from tristage_ros.datasets.values import Episode, Frame
from tristage_ros.words import one_line

LATE = 0.2  # of a period that a frame may be beside its time: beginnings are sums of rounded durations
DEPTH_BITS = 12  # of which others would be made others
LARGEST = 1 << 24  # pixels of an image


@dataclass(frozen=True)
class Section:
    """Name the part of a video that belongs to an episode."""

    path: Path
    begin: float  # s
    frames: int
    fps: float
    shape: tuple[int, int]  # rows, columns
    episode: int

    @property
    def place(self) -> str:
        """Return file and episode, for a person."""
        return f"{self.path}: episode {self.episode}"


@dataclass(frozen=True)
class Source:
    """Say in which video the images of an episode are, and how they were written."""

    section: Section
    feature: Feature


@dataclass(frozen=True)
class FilmedEpisode(Episode):
    """Hold an episode of a dataset, whose images are in videos already.

    These are those of `filmed`; whoever gives the episode other frames, as a part of them, has other images.
    """

    sources: Mapping[str, Source] = field(default_factory=dict)
    filmed: Callable[[], Iterator[Frame]] | None = field(default=None, compare=False, repr=False)


def sources_of(episode: Episode) -> Mapping[str, Source]:
    """Return in which videos the images of exactly these frames are, by feature."""
    return episode.sources if isinstance(episode, FilmedEpisode) and episode.filmed is episode.frames else {}


def images(section: Section, depth: bool = False) -> Generator[NDArray[Any], None, None]:
    """Return the images one by one: uint8 [H, W, 3] RGB, or of depth its steps, uint16 [H, W].

    Raises:
        LerobotError: the file is missing, damaged, of another size or rate, or shorter than its rows.
    """
    count = 0
    try:
        with closing(_opened(section)) as container:
            for image in _decoded(container, section, depth):
                yield image
                count += 1
    except (av.FFmpegError, OSError, ValueError, EOFError) as error:
        if isinstance(error, LerobotError):
            raise
        raise LerobotError(f"{section.place}: frame {count} cannot be read: {one_line(error)}") from error
    if count < section.frames:
        raise LerobotError(f"{section.place}: the video ends after {count} frames, its rows are {section.frames}")


def take_over(section: Section, target: Path) -> bool:
    """Copy a video that holds this episode and nothing else; return whether it does."""
    with closing(_opened(section)) as container:
        alone = section.begin == 0.0 and container.streams.video[0].frames == section.frames
    if alone:
        shutil.copyfile(section.path, target)
    return alone


def _opened(section: Section) -> InputContainer:
    if not section.path.is_file():
        raise LerobotError(f"{section.place}: the video is not there")
    try:
        container = av.open(str(section.path), "r")
    except (av.FFmpegError, OSError, ValueError) as error:
        raise LerobotError(f"{section.place}: it is no whole video: {one_line(error)}") from error
    if not container.streams.video:
        container.close()
        raise LerobotError(f"{section.place}: there is no video in it")
    stream = container.streams.video[0]
    if stream.codec_context is None:
        container.close()
        raise LerobotError(f"{section.place}: PyAV {av.__version__} has no decoder for it")
    size = (stream.height, stream.width)
    if size != section.shape or size[0] * size[1] > LARGEST:
        container.close()
        raise LerobotError(
            f"{section.place}: its images are {size[1]} x {size[0]}, meta/info.json says "
            f"{section.shape[1]} x {section.shape[0]}"
        )
    return container


def _decoded(container: InputContainer, section: Section, depth: bool) -> Iterator[NDArray[Any]]:
    stream: VideoStream = container.streams.video[0]
    stream.codec_context.thread_count = 1
    if section.begin > 0 and stream.time_base:
        container.seek(max(round(section.begin / float(stream.time_base)) - 1, 0), stream=stream)
    count, late = 0, LATE / section.fps
    for frame in container.decode(stream):
        stamp = float(frame.pts * frame.time_base) if frame.pts is not None and frame.time_base else 0.0
        if stamp < section.begin - late:
            continue
        if count == section.frames:
            return
        due = section.begin + count / section.fps
        if abs(stamp - due) > late:
            raise LerobotError(
                f"{section.place}: frame {count} is at {stamp:.3f} s; at {section.fps:g} Hz it would be at {due:.3f} s"
            )
        if (frame.height, frame.width) != section.shape:
            raise LerobotError(f"{section.place}: frame {count} is {frame.width} x {frame.height}")
        if depth and (bits := frame.format.components[0].bits) != DEPTH_BITS:
            kind = f"{bits} bits ({frame.format.name})"
            raise LerobotError(f"{section.place}: frame {count} is depth of {kind}; {DEPTH_BITS} can be read")
        yield frame.to_ndarray(format=DEPTH_PIXELS if depth else COLOR_PIXELS)
        count += 1
