"""Episodes on a Ray cluster: on two nodes where Ray is installed, and what is asked of Ray where it is not."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from tristage_ros.studies import pool
from tristage_ros.studies.cell import Cell, Job
from tristage_ros.studies.pool import Spread, run_jobs
from tristage_ros.studies.record import Record
from tristage_ros.studies.store import Models

JOBS = [Job(Cell("box"), seed) for seed in range(9600, 9606)]


def test_every_episode_is_finished_once_though_a_node_is_lost(tiny_checkpoint: str) -> None:
    cluster_utils = pytest.importorskip("ray.cluster_utils", reason="Ray is not installed")
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        doomed = cluster.add_node(num_cpus=2)
        running = run_jobs(JOBS, Models(tiny_checkpoint, tiny_checkpoint), Spread.of(3, f"ray:{cluster.address}"))
        records = [next(running)]
        cluster.remove_node(doomed, allow_graceful=False)
        records += running
    finally:
        cluster.shutdown()
    assert Counter(record.seed for record in records) == Counter(job.seed for job in JOBS)
    assert all(record.length for record in records)


class TaskError(Exception):
    """Stand for what Ray wraps an error of a task in."""

    cause = ValueError("the checkpoint does not fit")


class PretendedRay:
    """Run tasks one by one when they are waited for, newest first."""

    exceptions = SimpleNamespace(RayTaskError=TaskError, RayError=OSError)

    def __init__(self) -> None:
        self.address, self.ended, self.most = "", False, 0

    def init(self, address: str, **options: object) -> None:
        self.address = address

    def shutdown(self) -> None:
        self.ended = True

    def remote(self, function: Callable[..., Any]) -> Any:
        return SimpleNamespace(remote=lambda *arguments: (function, arguments))

    def wait(self, tasks: list[Any]) -> tuple[list[Any], list[Any]]:
        self.most = max(self.most, len(tasks))
        return tasks[-1:], tasks[:-1]

    def get(self, tasks: Sequence[Any]) -> list[Any]:
        return [function(*arguments) for function, arguments in tasks]


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> PretendedRay:
    pretended = PretendedRay()
    monkeypatch.setitem(sys.modules, "ray", pretended)
    return pretended


def test_ray_is_given_as_many_episodes_at_a_time_as_there_are_processes(
    ray: PretendedRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_run", lambda checkpoint, job: Record(checkpoint, job.seed))
    records = list(run_jobs(JOBS, Models("key frames", None), Spread.of(4, "ray:auto")))
    assert sorted(record.seed for record in records) == [job.seed for job in JOBS]
    assert {record.cell for record in records} == {"key frames"}
    assert (ray.address, ray.most, ray.ended) == ("auto", 4, True)


def test_where_there_is_no_ray_it_is_not_waited_for(ray: PretendedRay) -> None:
    with pytest.raises(OSError, match=r"nobody answers at 127\.0\.0\.1:9 "):
        list(run_jobs(JOBS, Models(None, None), Spread.of(2, "ray:127.0.0.1:9")))
    assert not ray.address


def test_what_an_episode_raises_on_ray_is_raised_here(ray: PretendedRay, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(checkpoint: str | None, job: Job) -> Record:
        raise TaskError

    monkeypatch.setattr(pool, "_run", fail)
    with pytest.raises(ValueError, match="the checkpoint does not fit"):
        list(run_jobs(JOBS, Models(None, None), Spread.of(2, "ray:auto")))
    assert ray.ended
