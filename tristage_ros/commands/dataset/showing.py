"""`tristage dataset show`: what one episode becomes."""

from __future__ import annotations

import argparse
from itertools import pairwise

import numpy as np

from tristage_ros.commands.dataset.common import dataset_of
from tristage_ros.datasets.values import Calibration, DatasetError, Episode, Frame


def run(options: argparse.Namespace) -> int:
    """Print what is known of the episode, and how its frames go; return the exit code.

    Raises:
        DatasetError: there is no such episode, or it cannot be used.
    """
    dataset = dataset_of(options)
    numbers = {one.number: one for one in dataset.recorded}
    if options.number not in numbers:
        raise DatasetError(
            f"{options.folder}: no episode {options.number} is used; tristage dataset list says which are"
        )
    episode = dataset.episode(0, numbers[options.number])
    for line in _known(episode):
        print(line)
    frames, last = list[tuple[float, str, float]](), None
    for last in episode.frames():
        frames.append((last.stamp, last.source, float(last.action.gripper[0])))
    assert last is not None  # an episode has frames, or is refused
    stamps = np.array([stamp for stamp, _, _ in frames])
    how = f"every {np.diff(stamps).mean():.3f} s" if dataset.rate and len(frames) > 1 else "key frames"
    print(f"{len(frames)} frames over {stamps[-1] - stamps[0]:.2f} s, {how}; {_shapes(last)}")
    if not dataset.rate:
        print("at " + ", ".join(f"{stamp - stamps[0]:.2f}" for stamp in stamps) + " s")
    print("led by " + ", then ".join(_runs([source for _, source, _ in frames])))
    acted = sum(abs(after - before) > 0.5 for (_, _, before), (_, _, after) in pairwise(frames))
    print(f"the gripper is told to open or to close {acted} times")
    return 0


def _known(episode: Episode) -> list[str]:
    trim = episode.trim
    return [
        f"{episode.where}: {episode.task}",
        f"outcome: {episode.outcome or 'not marked'}; {trim.begin:g} to {trim.end:g} of {trim.recorded:g} s are used",
        *(f"camera {name}: {_calibrated(one)}" for name, one in episode.calibration.items()),
        *(f"{name}: {value}" for name, value in episode.facts.items()),
        *(f"! {line}" for line in episode.complaints),
    ]


def _calibrated(one: Calibration) -> str:
    camera, place = one.camera, ", ".join(f"{value:.3f}" for value in one.mount.pose[:3, 3])
    lens = camera.lens.model if camera.lens else "no distortion"
    size = f"{camera.width}x{camera.height}, f {camera.fx:.1f} {camera.fy:.1f} px"
    return f"{size}, {lens}, at {place} m in {one.mount.parent}"


def _shapes(frame: Frame) -> str:
    colour = ", ".join(f"{name} {image.shape[1]}x{image.shape[0]}" for name, image in frame.images.items())
    depth = ", ".join(f"{name} {image.shape[1]}x{image.shape[0]}" for name, image in frame.depths.items())
    return f"colour {colour}; depth {depth}"


def _runs(sources: list[str]) -> list[str]:
    return [
        source or "nobody known" for number, source in enumerate(sources) if sources[number - 1 : number] != [source]
    ]
