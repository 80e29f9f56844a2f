import sys

import pytest
import torch

from tristage_ros.bench.model.approximations import SETTINGS, denoising_table, measure_denoising
from tristage_ros.bench.model.command import Session
from tristage_ros.bench.model.timing import Rounds
from tristage_ros.bench.model.workloads import Workload


@pytest.fixture(scope="module")
def rows(tiny):
    return measure_denoising(tiny, Rounds(measured=2, warm_up=2))


def test_every_way_to_denoise_runs_unpruned_and_pruned(rows):
    assert [(row["engine"], row["method"]) for row in rows] == [
        ("recompute", "none"), *[("cached", "none")] * len(SETTINGS), *[("cached", "tristage")] * len(SETTINGS),
    ]  # fmt: skip
    assert [row["denoising"] for row in rows] == ["all steps", *SETTINGS, *SETTINGS]


def test_speedups_are_over_both_loops(rows):
    assert rows[0]["over_recompute"] == rows[1]["over_cached"] == 1.0
    for row in rows:
        assert row["over_cached"] * row["ms"] == pytest.approx(rows[1]["ms"])
        assert row["over_recompute"] * row["ms"] == pytest.approx(rows[0]["ms"])


def test_passes_are_those_of_the_setting(rows):
    passes = {"all steps": 8, "4 steps": 4, "2 steps": 2, "1 step": 1, "3 sweeps, zero noise": 3}
    for row in rows:
        assert row["passes"] == passes.get(row["denoising"], row["passes"])
        assert 1 <= row["passes"] <= 8


def test_the_table_tells_the_released_loop_apart_and_says_whose_weights_were_run(rows):
    table = denoising_table(rows, trained=False)
    labels = [row[0] for row in table.rows]
    assert labels[0] == "all steps, recompute" and labels[1] == "all steps" and len(labels) == len(rows)
    assert table.rows[-1][1] == "tri-stage 70 %"
    assert "random" in table.note and "trained weights that ship" not in table.note
    assert "trained weights that ship" in denoising_table(rows, trained=True).note


@pytest.mark.parametrize(("size", "missing", "trained"),
                         [("mini", None, True), ("mini", "safetensors", False), ("tiny", None, False)])  # fmt: skip
def test_the_mini_is_the_one_that_ships_where_it_can_be_read(monkeypatch, size, missing, trained):
    if missing:
        monkeypatch.setitem(sys.modules, missing, None)
    workload = Session(size, torch.device("cpu"), "float32", quick=True).most_trained
    assert (workload.size, workload.trained) == (size, trained)


@pytest.mark.long
def test_the_shipped_mini_agrees_before_its_last_step_does():
    rows = measure_denoising(Workload.shipped(), Rounds(measured=2, warm_up=1))
    passes = [row["passes"] for row in rows if row["denoising"].startswith("side by side")]
    assert len(passes) == 4 and max(passes) < 8
