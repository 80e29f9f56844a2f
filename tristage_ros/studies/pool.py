"""Episodes in parallel processes, one torch thread each: on this machine, or on a cluster that there is."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from itertools import islice
from typing import Any, Literal

import torch
from joblib import Parallel, delayed, parallel_config

from tristage_ros.bench.model.timing import one_thread
from tristage_ros.studies.attempt import Attempts
from tristage_ros.studies.cell import Job
from tristage_ros.studies.record import Record
from tristage_ros.studies.store import Models


@dataclass(frozen=True)
class Spread:
    """Say where episodes run. What comes of them does not depend on it."""

    processes: int = 1  # on this machine; 1 is this process; on a cluster: episodes that run at a time
    cluster: Literal["", "dask", "ray"] = ""
    address: str = ""  # of the cluster: Dask's scheduler ("tcp://HOST:8786"), Ray's head ("auto", "HOST:6379")

    @staticmethod
    def of(processes: int, cluster: str) -> Spread:
        """Return what `--processes` and `--cluster` say, such as 8 and "dask:tcp://HOST:8786".

        Raises:
            ValueError: there is no such cluster.
        """
        if processes < 1:
            raise ValueError(f"--processes is {processes}; it must be at least 1")
        kind, _, address = cluster.partition(":")
        if cluster and (kind not in ("dask", "ray") or not address):
            raise ValueError(f"--cluster is {cluster!r}; give dask:ADDRESS or ray:ADDRESS, as dask:tcp://HOST:8786")
        return Spread(processes, kind, address)  # type: ignore[arg-type]


def run_jobs(jobs: Sequence[Job], models: Models, spread: Spread) -> Iterator[Record]:
    """Yield the episodes as they are finished.

    On a cluster this package has to be installed everywhere, and the checkpoints must be found under the same paths.
    Raises whatever an episode raises; those that were finished before have been yielded. OSError where there is no
    cluster at the address, ValueError where its library is not installed.
    """
    if not spread.cluster and (spread.processes == 1 or len(jobs) == 1):
        yield from _here(jobs, models)
        return
    with ExitStack() as stack:
        calls = [(models.of(job.cell.mode), job) for job in jobs]
        if spread.cluster == "ray":
            yield from _on_ray(_joined(spread, stack), calls, spread.processes)
            return
        if spread.cluster == "dask":
            _joined(spread, stack)
            stack.enter_context(parallel_config("dask", n_jobs=spread.processes))
        else:
            stack.enter_context(parallel_config("loky", n_jobs=spread.processes, inner_max_num_threads=1))
        yield from Parallel(return_as="generator_unordered")(delayed(_run)(*call) for call in calls)


def _joined(spread: Spread, stack: ExitStack) -> Any:
    """Join the cluster until the stack ends, and return its library."""
    try:
        library = import_module({"dask": "distributed", "ray": "ray"}[spread.cluster])
    except ImportError as error:
        words = f"no module called {error.name} is here"
        raise ValueError(f"--cluster {spread.cluster}: {words}; install it here and on the cluster") from None
    if spread.cluster == "dask":
        stack.enter_context(library.Client(spread.address, timeout=10))
    else:
        _reach(spread.address)
        library.init(spread.address, log_to_driver=False, logging_level="warning")
        stack.callback(library.shutdown)
    return library


def _reach(address: str) -> None:
    """Raise OSError where nobody listens at HOST:PORT, which Ray would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdigit() and int(port) < 1 << 16:
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
        except OSError as error:
            raise OSError(f"--cluster ray: nobody answers at {address} ({error}); ray:auto is the node's own") from None


def _on_ray(ray: Any, calls: Sequence[tuple[str | None, Job]], processes: int) -> Iterator[Record]:
    """Run episodes as Ray's tasks, which Ray itself begins again elsewhere where a node is lost.

    Its backend for joblib, a pool of actors, neither gives results one by one nor survives the loss of one.
    """
    episode, left = ray.remote(_run), iter(calls)
    running = [episode.remote(*call) for call in islice(left, processes)]
    while running:
        finished, running = ray.wait(running)
        running += [episode.remote(*call) for call in islice(left, len(finished))]
        try:
            yield from ray.get(finished)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except ray.exceptions.RayError as error:
            raise OSError(f"--cluster ray: {str(error).splitlines()[0]}") from error


def _here(jobs: Sequence[Job], models: Models) -> Iterator[Record]:
    made: dict[str | None, Attempts] = {}
    try:
        with one_thread():
            for job in jobs:
                yield _attempts(made, models.of(job.cell.mode)).run(job)
    finally:
        for attempts in made.values():
            attempts.close()


_worker = threading.local()  # a rendering context belongs to its thread


def _run(checkpoint: str | None, job: Job) -> Record:
    if not hasattr(_worker, "made"):
        torch.set_num_threads(1)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends the workers
        _worker.made = {}
    return _attempts(_worker.made, checkpoint).run(job)


def _attempts(made: dict[str | None, Attempts], checkpoint: str | None) -> Attempts:
    if checkpoint not in made:
        made[checkpoint] = Attempts(checkpoint)
    return made[checkpoint]
