"""`tristage dataset check`: every frame is read, and what cannot be used is named."""

from __future__ import annotations

import argparse

from rich.console import Console
from rich.progress import track

from tristage_ros.commands.dataset.common import counted, dataset_of
from tristage_ros.datasets.bagged import BaggedDataset
from tristage_ros.datasets.recorded import Recorded
from tristage_ros.datasets.values import DatasetError, Frame

Shapes = dict[str, tuple[int, ...]]


def run(options: argparse.Namespace) -> int:
    """Print a line for each episode that cannot be used; return 1 where there is one.

    Raises:
        DatasetError: there are no episodes.
    """
    dataset, first = dataset_of(options), Shapes()
    bad = frames = 0
    console = Console(stderr=True)
    for one in track(dataset.recorded, "reading", console=console, transient=True, disable=not console.is_terminal):
        try:
            frames += _read(dataset, one, first)
        except DatasetError as error:
            bad += 1
            print(error)
    good = len(dataset) - bad
    print(f"{good} of {counted(len(dataset), 'episode')} can be used, {counted(frames, 'frame')}")
    return 1 if bad else 0


def _read(dataset: BaggedDataset, one: Recorded, first: Shapes) -> int:
    """Return the number of frames of an episode whose images are like those of the first one that was read.

    Raises:
        DatasetError: it cannot be used.
    """
    count = 0
    for frame in dataset.episode(0, one).frames():
        count += 1
        found = _shapes(frame)
        first.update({} if first else found)
        if found != first:
            other = ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in found.items())
            known = ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in first.items())
            raise DatasetError(f"{one.where}: its images are {other}, those of the first episode {known}")
    return count


def _shapes(frame: Frame) -> Shapes:
    images = {f"{name} colour": image.shape[1::-1] for name, image in frame.images.items()}
    return images | {f"{name} depth": image.shape[1::-1] for name, image in frame.depths.items()}
