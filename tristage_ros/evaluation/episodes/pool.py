"""Episodes in parallel processes, one torch thread each."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait

import torch

from tristage_ros.evaluation.episodes.attempt import Attempts
from tristage_ros.evaluation.episodes.cell import Job
from tristage_ros.evaluation.episodes.record import Record

AHEAD = 3  # episodes per process that are handed out at a time

_attempts: Attempts  # of a worker process


def run_jobs(jobs: Sequence[Job], checkpoint: str | None, processes: int) -> Iterator[Record]:
    """Yield the episodes as they are finished; one process is this one.

    Raises whatever an episode raises; those that were finished before have been yielded.
    """
    if processes == 1 or len(jobs) == 1:
        yield from _here(jobs, checkpoint)
        return
    context = multiprocessing.get_context("spawn")  # neither torch nor a rendering context survives a fork
    with ProcessPoolExecutor(processes, context, _start, (checkpoint,)) as pool:
        waiting, running = iter(jobs), set[Future[Record]]()
        try:
            while True:
                while len(running) < AHEAD * processes and (job := next(waiting, None)) is not None:
                    running.add(pool.submit(_run, job))
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _here(jobs: Sequence[Job], checkpoint: str | None) -> Iterator[Record]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    attempts = Attempts(checkpoint)
    try:
        for job in jobs:
            yield attempts.run(job)
    finally:
        attempts.close()
        torch.set_num_threads(threads)


def _start(checkpoint: str | None) -> None:
    global _attempts
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends the workers
    torch.set_num_threads(1)
    _attempts = Attempts(checkpoint)


def _run(job: Job) -> Record:
    return _attempts.run(job)
