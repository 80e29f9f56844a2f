import json

import pytest

from tristage_ros import cli
from tristage_ros.bench.model import command, decoder, stages
from tristage_ros.bench.model.timing import Rounds


@pytest.fixture
def hasty(monkeypatch):
    monkeypatch.setattr(Rounds, "quick", classmethod(lambda cls: cls(measured=1, warm_up=2)))
    monkeypatch.setattr(decoder, "TOKENS", (16, 32))
    monkeypatch.setattr(decoder, "POINTS", (600,))
    monkeypatch.setattr(command.Ceilings, "measure", classmethod(lambda cls, *_: cls(1e11, 1e10)))


@pytest.mark.long
def test_the_command_prints_and_writes_every_section(hasty, tmp_path, capsys):
    files = {name: tmp_path / "new" / f"bench.{name}" for name in ("json", "markdown")}
    files["plot"] = tmp_path / "pictures" / "bench.png"
    options = [word for name, path in files.items() for word in (f"--{name}", str(path))]
    assert cli.main(["bench", "--size", "tiny", "--quick", *options]) == 0
    figures = json.loads(files["json"].read_text())
    sections = {"ceilings", "steps", "overhead_ms", "ablation", "denoising", "weights", "pruning", "growth", "rivals"}
    assert set(figures) == {"machine", "size"} | sections | ({"reference"} if decoder.available() else set())
    assert len(figures["ablation"]) == 7 and len(figures["steps"]) == 12
    errors = {row["engine"]: row["error"] for row in figures["rivals"]}
    assert {"cached", "recompute", "torch.compile"} <= set(errors) and max(errors.values()) <= 1e-4
    unpruned = next(row for row in figures["steps"] if row["engine"] == "recompute" and row["method"] == "none")
    assert unpruned["over_recompute"] == 1.0 and unpruned["kept_2d"] == unpruned["kept_3d"] == 256
    assert figures["machine"]["command"] == "tristage bench --size tiny --device cpu --threads 1 --quick"
    titles = [line[4:] for line in files["markdown"].read_text().splitlines() if line.startswith("### ")]
    assert titles[0] == "The four corners" and titles[-1] == "Summary" and len(titles) == 11 + decoder.available()
    assert files["plot"].stat().st_size > 10_000
    printed = capsys.readouterr().out
    assert [title for title in titles if title not in printed] == []


def test_the_pruner_alone_needs_no_model(capsys):
    rows = stages.measure_pruning(Rounds(measured=2, warm_up=1), (64, 128))
    assert [row["patches"] for row in rows] == [64, 128]
    for row in rows:
        assert row["step_ms"] >= sum(row[f"{part}_ms"] for part in stages.STAGES) / 2 > 0


def test_without_cuda_the_command_says_so(monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert cli.main(["bench", "--device", "cuda"]) == 2
    assert "no CUDA device" in capsys.readouterr().err
