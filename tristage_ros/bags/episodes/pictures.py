"""Pictures of an episode: its start as a file, laid over another image, and a strip of it from start to end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tristage_ros.bags.episodes.episode import EpisodeError
from tristage_ros.bags.reader import BagReader
from tristage_ros.bags.recording import color_topic
from tristage_ros.perception.color import color_image

Picture = NDArray[np.uint8]  # [H, W, 3] RGB
HEIGHT, BORDER = 180, 4  # pixels, of a picture in a strip and between two of them
_LABEL = (cv2.FONT_HERSHEY_SIMPLEX, 0.45)


def read_picture(path: Path) -> Picture | None:
    """Return a picture file, None where it cannot be read."""
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    return None if pixels is None else np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


def write_picture(path: Path, image: Picture) -> None:
    """Write a picture as a PNG file.

    Raises:
        OSError: it cannot be written.
    """
    _, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    path.write_bytes(data.tobytes())


def blended(start: Picture, live: Picture) -> Picture:
    """Return half of each, in the size of `live`."""
    height, width = live.shape[:2]
    if start.shape != live.shape:
        start = np.asarray(cv2.resize(start, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.addWeighted(start, 0.5, live, 0.5, 0.0), np.uint8)


def strip(bag: Path, cameras: Sequence[str], span: tuple[float, float], count: int = 6) -> Picture:
    """Return `count` moments of a bag side by side, the first and the last of `span` (s) among them, a row per camera.

    Raises:
        BagError: the bag cannot be read.
        EpisodeError: it holds no colour image in that span.
    """
    rows = [row for camera in cameras if (row := _row(bag, camera, span, count)) is not None]
    if not rows:
        raise EpisodeError(f"{bag} has no colour image of {', '.join(cameras)} from {span[0]:g} to {span[1]:g} s")
    width = max(row.shape[1] for row in rows)
    return np.concatenate([np.pad(row, ((0, BORDER), (0, width - row.shape[1]), (0, 0))) for row in rows])


def _row(bag: Path, camera: str, span: tuple[float, float], count: int) -> Picture | None:
    with BagReader(bag) as reader:
        topic = color_topic(camera)
        if topic not in reader.topics:
            return None
        begin = reader.start
        times = np.array([m.stamp for m in reader.messages(topic)], np.int64)
        seconds = (times - begin) * 1e-9
        inside = np.flatnonzero((seconds >= span[0]) & (seconds <= span[1] + 1e-3))
        if not len(inside):
            return None
        wanted = dict.fromkeys(inside[np.linspace(0, len(inside) - 1, count).round().astype(int)].tolist())
        parts = [
            _labelled(_pixels(message.value), f"{camera} {seconds[index]:.1f} s")
            for index, message in enumerate(reader.messages(topic))
            if index in wanted
        ]
    return np.concatenate(parts, axis=1)


def _pixels(image: object) -> Picture:
    data, encoding, step = (getattr(image, name) for name in ("data", "encoding", "step"))
    return color_image(data, encoding, image.height, image.width, step=step)  # type: ignore[attr-defined]


def _labelled(image: Picture, text: str) -> Picture:
    width = round(image.shape[1] * HEIGHT / image.shape[0])
    small = np.array(cv2.resize(image, (width, HEIGHT), interpolation=cv2.INTER_AREA), np.uint8)
    for color, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(small, text, (6, 16), *_LABEL, color, thickness, cv2.LINE_AA)
    return np.pad(small, ((0, 0), (0, BORDER), (0, 0)))
