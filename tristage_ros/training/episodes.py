"""Episodes for training: one attempt, which the expert labels frame by frame, and processes that run many."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import cache
from typing import TypeVar

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tristage_ros.mla.values import Action, Observation
from tristage_ros.simulation.closed_loop import ClosedLoop
from tristage_ros.simulation.episode import Episode
from tristage_ros.simulation.instructions import ANYWHERE, FIXED
from tristage_ros.training.frames import FrameEncoder, Frames

See = Callable[[], Observation]  # looking takes a while, and not everyone who moves has to
Move = Callable[[See, Action], Action]  # how to see, what the expert would do -> what is done

FRAMES_AFTER_SUCCESS = 2  # in which the tool goes back to where it waits, and stays there
KEPT = 4  # one in so many control steps is kept of an episode that is led continuously: they are much alike


@dataclass(frozen=True)
class Attempt:
    """Hold what an attempt showed."""

    frames: list[Frames]
    success: bool
    steps: int


def attempt(
    episode: Episode, seed: int, encoder: FrameEncoder, move: Move, after: int = 0, continuous: bool = False
) -> Attempt:
    """Run an episode to its end, and on for `after` frames beyond a success, by key frames or in a closed loop."""
    episode.reset(seed)
    led, every = (ClosedLoop(episode), KEPT) if continuous else (episode, 1)
    expert = episode.guidance if continuous else episode.expert
    frames, count = list[Frames](), seed % every

    def step(move: Move) -> None:
        nonlocal count
        see = cache(episode.observe)
        if count % every == 0:
            observation = see()
            frames.append(_labelled(episode, seed, encoder, observation, expert()))
        count += 1
        led.step(move(see, expert()))

    while not led.finished:
        step(move)
    success, steps = bool(episode.success()), episode.steps
    for _ in range(after * every if success else 0):
        step(lambda _, expert: expert)
    return Attempt(frames, success, steps)


def look(episode: Episode, seed: int, encoder: FrameEncoder) -> Frames:
    """Return the first frame of an episode, of which nothing is carried out."""
    episode.reset(seed)
    return _labelled(episode, seed, encoder, episode.observe(), episode.expert())


def _labelled(episode: Episode, seed: int, encoder: FrameEncoder, seen: Observation, label: Action) -> Frames:
    truth = episode.truth()
    numbers = np.array([truth[name] for name in sorted(truth)], np.float32)
    return encoder.encode(seen, label, numbers, seed)


# Many of them: parallel processes with a progress bar.

Job = TypeVar("Job")
Result = TypeVar("Result")


@cache
def episode_of(task: str) -> Episode:
    """Return this process's episode of a task; its scene and its renderer are built once."""
    return Episode(task)


def place_camera(episode: Episode, seed: int, anywhere: float) -> None:
    """Decide where the front camera stands in the attempt `seed`, which comes next: in that share of all, anywhere."""
    drawn = np.random.default_rng([seed, 3]).random() < anywhere
    episode.variation = replace(episode.variation, camera=ANYWHERE if drawn else FIXED)


def progress_bar() -> Progress:
    """Return a bar that shows what is done, how long it took and how long it will take."""
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(TextColumn("{task.description}"), *columns)


def run_all(title: str, work: Callable[[Job], Result], jobs: Sequence[Job], workers: int | None) -> Iterator[Result]:
    """Yield the results of all jobs as they come, from `workers` processes; None: one per processor.

    An error in a job ends the others, too.
    """
    if not jobs:
        return
    count = min(workers or os.cpu_count() or 1, len(jobs))
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(count, context, initializer=torch.set_num_threads, initargs=(1,)) as pool,
        progress_bar() as progress,
    ):
        bar = progress.add_task(title, total=len(jobs))
        futures = [pool.submit(work, job) for job in jobs]
        try:
            for future in as_completed(futures):
                yield future.result()
                progress.advance(bar)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
