"""Write a dataset beside a bar that says how far it is."""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tristage_ros.commands.dataset.common import counted
from tristage_ros.datasets.lerobot.writer import write_dataset
from tristage_ros.datasets.values import Dataset, Episode

Told = Callable[[Episode, int], None]


def write(dataset: Dataset, options: argparse.Namespace) -> int:
    """Write the LeRobotDataset that was typed into `options.out`; return the exit code.

    Raises:
        DatasetError: an episode cannot be read; those before it are whole.
        OSError: the folder cannot be written.
    """

    def act(told: Told) -> str:
        info = write_dataset(dataset, options.out, depth=not options.no_depth, resume=options.resume, told=told)
        print(f"{options.out}: {counted(info.episodes, 'episode')}, {counted(info.frames, 'frame')}")
        return f"videos are {' and '.join(sorted({str(f.info['video.codec']) for f in info.cameras.values()}))}"

    return with_bar(dataset, options.out, act)


def with_bar(dataset: Dataset, out: Path, act: Callable[[Told], str]) -> int:
    """Let `act` write `dataset` into the folder `out` beside a bar, and print what that took; return the exit code.

    Raises:
        DatasetError, OSError: `act` does.
    """
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    began, busy, frames = time.monotonic(), time.process_time(), 0
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=len(dataset))

        def told(episode: Episode, frame: int) -> None:
            nonlocal frames
            frames += 1
            progress.update(bar, completed=episode.number, description=f"{episode.where}: frame {frame}")

        what = act(told)
    took = max(time.monotonic() - began, 1e-3)
    speed = f", {frames / dataset.rate / took:.1f} times real time" if dataset.rate else ""
    print(f"{counted(frames, 'frame')} written in {took:.1f} s{speed}; {what}")
    print(f"{spent(busy, frames)}; {size(out) / 1e6:.1f} MB")
    return 0


def spent(since: float, frames: int) -> str:
    """Return what writing took beside time; `since` is the process's own time at its beginning, s."""
    seconds, most = time.process_time() - since, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    each = f", {1e3 * seconds / frames:.0f} ms for a frame" if frames else ""
    return f"{seconds:.1f} s of a processor{each}; {most / 1e3:.0f} MB of memory at most"


def size(folder: Path) -> int:
    """Return how many bytes the files of a folder have."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
