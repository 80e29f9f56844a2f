from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tristage_ros.cli import main
from tristage_ros.mla.checkpoint import CheckpointError
from tristage_ros.studies.cell import Cell, Job, Mode
from tristage_ros.studies.pool import Spread, run_jobs
from tristage_ros.studies.record import Record
from tristage_ros.studies.store import Models
from tristage_ros.studies.variant import UNPRUNED, Variant

LocalCluster = pytest.importorskip("distributed", reason="no cluster to test with").LocalCluster

JOBS = [Job(Cell("box", v), seed) for v in (UNPRUNED, Variant("random", 0.5)) for seed in (9600, 9601)]


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    with LocalCluster(n_workers=2, threads_per_worker=2, processes=True, dashboard_address=None) as cluster:
        yield cluster.scheduler_address


def outcomes(checkpoint: str, spread: Spread) -> list[Record]:
    """Run the jobs and return what came of them, but for how long it took."""
    records = sorted(run_jobs(JOBS, Models(checkpoint, checkpoint), spread), key=lambda r: (r.cell, r.seed))
    assert all(record.length for record in records)
    return records


def test_the_same_comes_of_it_wherever_it_runs(tiny_checkpoint: str, scheduler: str) -> None:
    here = outcomes(tiny_checkpoint, Spread())
    assert [(r.cell, r.seed) for r in here] == sorted((job.cell.name, job.seed) for job in JOBS)
    assert outcomes(tiny_checkpoint, Spread(2)) == here
    assert outcomes(tiny_checkpoint, Spread.of(4, f"dask:{scheduler}")) == here


@pytest.mark.parametrize(
    ("cluster", "message"),
    [
        ("slurm:login1", "--cluster is 'slurm:login1'; give dask:ADDRESS or ray:ADDRESS"),
        ("dask", "--cluster is 'dask'; give"),
        pytest.param("dask:tcp://127.0.0.1:9", "tcp://127.0.0.1:9", marks=pytest.mark.long),
        ("ray:auto", "--cluster ray: no module called ray is here; install it"),
    ],
)
def test_a_cluster_that_is_not_there(
    cluster: str, message: str, tiny_checkpoint: str, tmp_path_factory: pytest.TempPathFactory,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, "ray", None)  # as where it is not installed
    words = ["--tasks", "banana", "--methods", "none", "--episodes", "2", "--out", str(tmp_path_factory.mktemp("out"))]
    assert main(["evaluate", "--checkpoint", tiny_checkpoint, *words, "--cluster", cluster]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


@pytest.mark.long
def test_each_mode_has_its_model(tiny_checkpoint: str) -> None:
    modes: tuple[Mode, ...] = ("key frames", "continuous")
    jobs = [Job(Cell("box", mode=mode), 9600) for mode in modes]
    models = Models("/nowhere/model.safetensors", tiny_checkpoint)
    assert [record.cell for record in run_jobs(jobs[1:], models, Spread())] == [jobs[1].cell.name]
    with pytest.raises(CheckpointError, match="/nowhere/model"):
        list(run_jobs(jobs, models, Spread()))


@pytest.mark.long
def test_workers_end_with_the_command(tiny_checkpoint: str, tmp_path: Path) -> None:
    words = [
        "--tasks",
        "banana",
        "--methods",
        "none",
        "--episodes",
        "10000",
        "--processes",
        "2",
        "--out",
        str(tmp_path),
    ]
    command = [sys.executable, "-m", "tristage_ros", "evaluate", "--checkpoint", tiny_checkpoint, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            finished, deadline = tmp_path / "episodes.jsonl", time.monotonic() + 90
            while not finished.exists() and time.monotonic() < deadline:
                time.sleep(0.1)
            workers = psutil.Process(process.pid).children(recursive=True)
            assert len(workers) >= 2
            process.terminate()
            output, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert "the same command goes on from there" in output
    assert not psutil.wait_procs(workers, timeout=20)[1]
