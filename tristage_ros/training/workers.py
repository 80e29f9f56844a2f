"""Parallel processes that run episodes, with a progress bar."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from typing import TypeVar

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tristage_ros.simulation.episode import Episode

Job = TypeVar("Job")
Result = TypeVar("Result")


@cache
def episode_of(task: str) -> Episode:
    """Return this process's episode of a task; its scene and its renderer are built once."""
    return Episode(task)


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
