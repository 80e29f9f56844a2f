from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tristage_ros.pruning import PruningConfig
from tristage_ros.studies.cell import Cell, Job
from tristage_ros.studies.record import Record
from tristage_ros.studies.store import Models, Store, StoreError
from tristage_ros.studies.variant import UNPRUNED, Variant

CELL, RANDOM = Cell("banana"), Models(None, None)


def stored(folder: Path, seeds: range) -> Store:
    store = Store(folder, RANDOM)
    for seed in seeds:
        store.add(Record(CELL.name, seed, success=seed % 2 == 0, length=2, means={"rate": 0.7}))
    return store


def test_what_was_finished_is_not_run_again(tmp_path: Path) -> None:
    stored(tmp_path, range(3))  # not closed, as where the machine fails
    store = Store(tmp_path, RANDOM)
    jobs = [Job(CELL, seed) for seed in range(5)]
    assert store.missing([*jobs, *jobs]) == jobs[3:]
    assert store.of(CELL.name, range(5))[2] == Record(CELL.name, 2, success=True, length=2, means={"rate": 0.7})


def test_what_was_finished_is_packed_and_goes_on_elsewhere(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    stored(here, range(400)).close()
    packed = here / "episodes.jsonl.gz"
    assert sorted(path.name for path in here.iterdir()) == ["episodes.jsonl.gz", "model.json"]
    assert packed.stat().st_size < 400 * 30
    shutil.copytree(here, there)
    store = Store(there, RANDOM)
    assert [job.seed for job in store.missing([Job(CELL, seed) for seed in range(402)])] == [400, 401]
    store.add(Record(CELL.name, 401))
    store.add(Record(CELL.name, 400))
    store.close()
    for seed in (400, 401):  # the other way round, and in two runs
        store = Store(here, RANDOM)
        store.add(Record(CELL.name, seed))
        store.close()
    assert (there / "episodes.jsonl.gz").read_bytes() == packed.read_bytes()


def test_a_damaged_pack_is_named(tmp_path: Path) -> None:
    stored(tmp_path, range(3)).close()
    packed = tmp_path / "episodes.jsonl.gz"
    packed.write_bytes(packed.read_bytes()[:-20])
    with pytest.raises(StoreError, match=r"episodes\.jsonl\.gz is damaged .*: remove it"):
        Store(tmp_path, RANDOM)


def test_a_line_that_was_cut_off_is_run_again(tmp_path: Path) -> None:
    stored(tmp_path, range(3))
    path = tmp_path / "episodes.jsonl"
    path.write_text(path.read_text()[:-9])
    store = Store(tmp_path, RANDOM)
    assert [job.seed for job in store.missing([Job(CELL, seed) for seed in range(3)])] == [2]
    store.add(Record(CELL.name, 2))
    store.close()
    assert not Store(tmp_path, RANDOM).missing([Job(CELL, seed) for seed in range(3)])


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    stored(tmp_path, range(1))
    (tmp_path / "episodes.jsonl").write_text('{"cell": "x", "color": 3}\n')
    with pytest.raises(StoreError, match=r"episodes\.jsonl is damaged .*color"):
        Store(tmp_path, RANDOM)


def test_a_cut_description_is_named(tmp_path: Path) -> None:
    stored(tmp_path, range(1))
    (tmp_path / "model.json").write_text("")
    with pytest.raises(StoreError, match=r"model\.json is damaged .*: remove it"):
        Store(tmp_path, RANDOM)


def test_another_preset_is_another_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Episodes of the unpruned policy stay, as do those of methods that share no setting with it."""
    cells = [Cell("banana", v) for v in (UNPRUNED, Variant("sp_vla", 0.7), Variant("tristage", 0.7, True, "robot"))]
    before = [cell.name for cell in cells]
    robot = replace(PruningConfig.robot(), max_age=11)
    monkeypatch.setattr(PruningConfig, "robot", staticmethod(lambda: robot))
    assert [old == new.name for old, new in zip(before, cells, strict=True)] == [True, True, False]


def test_another_models_episodes_are_not_mixed(tmp_path: Path) -> None:
    stored(tmp_path / "out", range(1))
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"weights")
    with pytest.raises(StoreError, match=r"RANDOM WEIGHTS.*, not of .*other\.safetensors.*: choose another --out"):
        Store(tmp_path / "out", Models(None, str(other)))
