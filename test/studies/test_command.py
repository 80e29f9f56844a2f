from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tristage_ros.bench.machine import cpu_model
from tristage_ros.cli import main
from tristage_ros.studies import study as study_module
from tristage_ros.studies.attempt import Attempts
from tristage_ros.studies.cell import MODES, Job
from tristage_ros.studies.measurements import Stopwatch
from tristage_ros.studies.parts import PARTS, Chapter
from tristage_ros.studies.parts.matrix import Matrix
from tristage_ros.studies.parts.tables import Table1
from tristage_ros.studies.protocol import FIRST_SEED
from tristage_ros.studies.record import Record
from tristage_ros.studies.store import Models, Store

FEW = ["--tasks", "banana", "--methods", "none,random", "--rates", "0.7", "--episodes", "2"]


def evaluate(checkpoint: str, folder: Path, *more: str) -> int:
    return main(["evaluate", "--checkpoint", checkpoint, "--out", str(folder), *FEW, *more])


def test_an_evaluation_is_printed_written_and_continued(
    tiny_checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, document = tmp_path / "out", tmp_path / "docs" / "results.md"
    assert evaluate(tiny_checkpoint, folder, "--processes", "2", "--document", str(document)) == 0
    assert "naive, guard" in capsys.readouterr().out
    lines = finished(folder)
    assert sorted({(line["cell"].rpartition("| ")[2].partition(" #")[0], line["seed"]) for line in lines}) == [
        (method, seed)
        for method in ("none", "random r=0.70", "random r=0.70 guard")
        for seed in (FIRST_SEED, FIRST_SEED + 1)
    ]
    figures = json.loads((folder / "chapters" / "matrix.json").read_text())["figures"]
    assert figures["random r=0.70"]["success"]["n"] == figures["random r=0.70"]["against"]["n"] == 2
    assert set(figures["random r=0.70"]["speed"]["ms"]) == {"cached", "recompute"}
    assert "## Methods and rates" in document.read_text()
    assert (document.parent / "results" / "matrix.png").stat().st_size > 1000

    def nothing(*arguments: object) -> None:
        raise AssertionError("finished episodes were run again")

    monkeypatch.setattr(study_module, "run_jobs", nothing)
    monkeypatch.setattr(Stopwatch, "_measure", nothing)
    assert evaluate(tiny_checkpoint, folder) == 0
    speeds = folder / "speed.json"  # of another machine: they do where everything is only printed
    speeds.write_text(speeds.read_text().replace(cpu_model(), "another one"))
    capsys.readouterr()
    assert evaluate(tiny_checkpoint, folder, "--print-only", "--document", str(document)) == 0
    assert "another one" in document.read_text()


def finished(folder: Path) -> list[dict[str, Any]]:
    """Return the episodes that a folder keeps."""
    return [json.loads(line) for line in gzip.decompress((folder / "episodes.jsonl.gz").read_bytes()).splitlines()]


def test_an_interrupted_evaluation_keeps_what_is_finished(
    tiny_checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(jobs: Sequence[Job], *arguments: object) -> Iterator[Record]:
        yield Record(jobs[0].cell.name, jobs[0].seed)
        raise KeyboardInterrupt

    monkeypatch.setattr(study_module, "run_jobs", interrupted)
    assert evaluate(tiny_checkpoint, tmp_path) == 130
    assert "the same command goes on from there" in capsys.readouterr().out
    assert len(finished(tmp_path)) == 2, "that one and the one that was tried"


def said(checkpoint: str, folder: Path, *words: str) -> int:
    """Run the command without FEW."""
    return main(["evaluate", "--checkpoint", checkpoint, "--out", str(folder), *words])


@pytest.mark.parametrize(
    ("words", "rows"),
    [
        (["--table", "2", "--methods", "random", "--rates", "0.6"], {"none", "random r=0.60", "random r=0.60 guard"}),
        (["--table", "1", "--rates", "0.3"], {"none", "random 2D r=0.30", "random 3D r=0.30"}),
        pytest.param(["--part", "continuous2", "--methods", "none"], {"none"}, marks=pytest.mark.long),
    ],
)
def test_a_table_keeps_to_the_methods_and_rates_that_are_said(
    words: list[str], rows: set[str], tiny_checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    asked: list[Job] = []

    def note(jobs: Sequence[Job], *arguments: object) -> Iterator[Record]:
        asked.extend(jobs)
        yield from ()

    monkeypatch.setattr(study_module, "run_jobs", note)
    for part in (Matrix, Table1):
        monkeypatch.setattr(part, "chapter", lambda part: Chapter(part.title))
    assert said(tiny_checkpoint, tmp_path, "--tasks", "banana", "--episodes", "2", *words) == 0
    assert {job.cell.variant.name for job in asked if job.cell.variant.method != "tristage"} == rows
    printed = capsys.readouterr().out.splitlines()
    assert "of banana" in printed[0] and "rows" in printed[0]
    assert printed[1].startswith("about ") and "on this machine" in printed[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--table", "3", "--methods", "fastv"], "--methods does not fit --table 3 (Table 3: ablation of the stages)"),
        (["--table", "2", "--part", "controls", "--rates", "0.5"], "--rates does not fit --part controls"),
        (["--table", "1", "--methods", "none"], "--methods does not fit --table 1"),
        (["--all", "--methods", "none"], "--methods does not fit --table 3"),
    ],
)
def test_what_does_not_fit_a_table_is_refused_before_anything_runs(
    words: list[str], message: str, tiny_checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(Attempts, "run", None)
    monkeypatch.setattr(study_module, "run_jobs", None)
    assert said(tiny_checkpoint, tmp_path, "--tasks", "banana", *words) == 2
    assert message in capsys.readouterr().err


def test_without_a_choice_it_says_what_there_is_and_runs_nothing(
    tiny_checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(study_module, "run_jobs", None)
    records = [Record(f"box | {mode} | plain | none", FIRST_SEED, took=2.0, ms=50.0, length=1) for mode in MODES]
    folder = tmp_path / "out"
    store = Store(folder, Models(tiny_checkpoint, tiny_checkpoint))
    for record in records:  # so that none has to be tried
        store.add(record)
    assert said(tiny_checkpoint, folder, "--tasks", "box", "--episodes", "30") == 2
    seen = capsys.readouterr()
    lines = {line.split("  ")[1].strip(): line for line in seen.out.splitlines() if line.startswith("  --")}
    assert len(lines) == len(PARTS)
    assert lines["--part controls"].split()[-5:] == ["6", "180", "1", "3", "min"]  # 179 of 2 s, two at a time
    assert "nothing was chosen" in seen.err


def test_where_nothing_is_finished_there_is_nothing_to_print(
    tiny_checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Attempts, "run", None)
    assert said(tiny_checkpoint, tmp_path, "--part", "controls", "--print-only") == 0
    assert f"--part controls: nothing to print, no episode is finished in {tmp_path}" in capsys.readouterr().out


def test_a_finished_evaluation_says_so_and_how_long_it_takes_is_measured(
    tiny_checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--tasks", "box", "--episodes", "1", "--part", "controls", "--processes", "1"]
    assert said(tiny_checkpoint, tmp_path, *words) == 0
    seen = capsys.readouterr()
    assert "6 rows, 6 episodes of box" in seen.out
    assert "s an episode by key frames" in seen.out
    last = seen.err.splitlines()[-1]
    assert last.startswith("episodes: 5 of 5, ") and "% succeed" in last, "one was tried"
    records = finished(tmp_path)
    assert all(record["took"] > 0 for record in records) and len(records) == 6
    assert said(tiny_checkpoint, tmp_path, *words) == 0
    assert "6 rows, 6 episodes (all of them finished)" in capsys.readouterr().out


def test_a_pointer_in_place_of_the_weights_leaves_no_folder_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pointer, out = tmp_path / "mini.safetensors", tmp_path / "out"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\nsize 4898334\n")
    assert evaluate(str(pointer), out) == 2
    assert "pointer of Git LFS, not the file itself (4.9 MB): run git lfs pull" in capsys.readouterr().err
    assert not out.exists()


def test_results_do_not_go_into_a_file(
    tiny_checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").write_text("mine")
    assert evaluate(tiny_checkpoint, tmp_path / "taken") == 2
    assert f"{tmp_path / 'taken'} is a file: give --out a folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tasks", "bananas"], "no task is called 'bananas'"),
        (["--methods", "none,magic"], "no method is called 'magic'"),
        (["--rates", "0.7,often"], "--rates is '0.7,often'"),
        (["--rates", "1.5"], "--rates has 1.5; a share of the tokens is between"),
        (["--seed", "7005"], "seed = 7005 must be at least 9000"),
        (["--episodes", "0"], "episodes = 0 must be at least 1"),
        (["--processes", "0"], "--processes is 0; it must be at least 1"),
        (["--checkpoint", "/nowhere.safetensors"], "nowhere.safetensors"),
    ],
)
def test_a_wrong_option_is_one_clear_line(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "--out", str(tmp_path), *FEW, *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
