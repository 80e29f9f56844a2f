from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tristage_ros.cli import main
from tristage_ros.studies import study as study_module
from tristage_ros.studies.cell import Job
from tristage_ros.studies.store import Record

FEW = ["--tasks", "banana", "--methods", "none,random", "--rates", "0.7", "--episodes", "2"]


def evaluate(checkpoint: str, folder: Path, *more: str) -> int:
    return main(["evaluate", "--checkpoint", checkpoint, "--out", str(folder), *FEW, *more])


def test_an_evaluation_is_printed_written_and_continued(
    tiny_checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, document = tmp_path / "out", tmp_path / "docs" / "results.md"
    assert evaluate(tiny_checkpoint, folder, "--processes", "2", "--document", str(document)) == 0
    assert "naive, guard" in capsys.readouterr().out
    lines = [json.loads(line) for line in (folder / "episodes.jsonl").read_text().splitlines()]
    assert sorted({(line["cell"].rpartition("| ")[2].partition(" #")[0], line["seed"]) for line in lines}) == [
        (method, seed) for method in ("none", "random r=0.70", "random r=0.70 guard") for seed in (9000, 9001)
    ]
    figures = json.loads((folder / "matrix.json").read_text())["figures"]
    assert figures["random r=0.70"]["success"]["n"] == figures["random r=0.70"]["against"]["n"] == 2
    assert set(figures["random r=0.70"]["speed"]["ms"]) == {"cached", "recompute"}
    assert "## Methods and rates" in document.read_text()
    assert (document.parent / "results" / "matrix.png").stat().st_size > 1000

    def nothing(*arguments: object) -> None:
        raise AssertionError("finished episodes were run again")

    monkeypatch.setattr(study_module, "run_jobs", nothing)
    assert evaluate(tiny_checkpoint, folder) == 0


def test_an_interrupted_evaluation_keeps_what_is_finished(
    tiny_checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(jobs: Sequence[Job], *arguments: object) -> Iterator[Record]:
        yield Record(jobs[0].cell.name, jobs[0].seed)
        raise KeyboardInterrupt

    monkeypatch.setattr(study_module, "run_jobs", interrupted)
    assert evaluate(tiny_checkpoint, tmp_path) == 130
    assert "the same command goes on from there" in capsys.readouterr().out
    assert len((tmp_path / "episodes.jsonl").read_text().splitlines()) == 1


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
        (["--rates", "1.5"], "rate = 1.5 must be between 0 and 1"),
        (["--seed", "7005"], "seed = 7005 must be above 7009"),
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
