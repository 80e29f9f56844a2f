from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from tristage_ros.bench.model.timing import Rounds
from tristage_ros.reports.style import STYLE
from tristage_ros.studies import command, measurements
from tristage_ros.studies.cell import MODES, Mode
from tristage_ros.studies.measurements import ROBOT, SEEDS, Stopwatch, Thresholds
from tristage_ros.studies.options import EVERYTHING
from tristage_ros.studies.parts import PARTS, Chapter, Part, figure3
from tristage_ros.studies.pool import Spread
from tristage_ros.studies.store import PRUNING, Models, Record, save_json
from tristage_ros.studies.study import Scope, Study
from tristage_ros.studies.variant import UNPRUNED

EPISODES = 6
THRESHOLDS = Thresholds(0.4, 0.6, 0.65, 0.3, 0.5, 0.5, ("banana", "box"), (SEEDS[0], SEEDS[-1]), ROBOT.key)
NEED_THE_MODEL = ("table4", "figure3", "figure8")


@pytest.fixture
def study(tiny_checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.setattr(measurements, "EPISODES", 1)
    for name, tasks in (("calibration.json", ("banana", "box")), ("calibration_continuous.json", ("banana",))):
        tmp_path.joinpath(name).write_text(json.dumps(asdict(replace(THRESHOLDS, tasks=tasks))))
    models = Models(tiny_checkpoint, tiny_checkpoint)
    scope = Scope(models, ("banana", "box"), episodes=EPISODES)
    return Study(scope, tmp_path, Spread(), Rounds(measured=1, warm_up=1))


def pretend(part: Part) -> None:
    """Finish all episodes of a part: unpruned succeeds at every seed, whatever prunes at every other one.

    Pruned steps take half the time of unpruned ones, and a third where everything is recomputed.
    """
    times = {row.variant.key: {"cached": 5.0, "recompute": 10.0} for row in part.rows()}
    times[UNPRUNED.key] = {"cached": 10.0, "recompute": 30.0}
    for file in ("speed.json", "speed_continuous.json"):
        path = part.study.folder / file
        save_json(path, [{"made": Stopwatch(path, part.study.attempts, "banana", "key frames").made, "ms": times}])
    for job in part.study.store.missing(part.jobs()):
        rng = np.random.default_rng(job.seed)
        steps = {name: rng.random(4).tolist() for name in PRUNING}
        steps |= {"ms": [9.0] * 4, "pruned": [False] + [True] * 3, "passes": [8] * 4}
        steps |= {"stage": ["above", "grasp", "close", "lift"]}
        success = job.cell.variant.method == "none" or job.seed % 2 == 0
        part.study.store.add(Record(job.cell.name, job.seed, success, steps=steps))


def publish(part: Part, folder: Path) -> Chapter:
    with matplotlib.rc_context(STYLE):
        chapter = part.chapter()
    command.write(chapter, folder, part.name, {"command": "tristage evaluate"})
    return chapter


LONG = ("denoising", "continuous2")  # of many rows


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.long] if name in LONG else [])
        for name in PARTS
        if name not in NEED_THE_MODEL
    ],
)
def test_every_part_makes_its_chapter(name: str, study: Study, tmp_path: Path) -> None:
    part = PARTS[name](study)
    pretend(part)
    chapter = publish(part, tmp_path)
    text = (tmp_path / f"{name}.md").read_text()
    assert all(picture in text and (tmp_path / picture).exists() for picture in chapter.pictures)
    assert not re.search(r"\bnan\b", text)
    for table in chapter.tables:
        assert table.rows, table.title
        assert all(len(row) == len(table.columns) for row in table.rows), table.title


def test_a_table_says_what_the_episodes_say(study: Study, tmp_path: Path) -> None:
    part = PARTS["table3"](study)
    pretend(part)
    robot = publish(part, tmp_path).tables[0]
    by_stages = {row[0]: row for row in robot.rows}
    assert list(by_stages) == ["unpruned", "S1", "S2", "S1 + S3", "S2 + S3", "S1 + S2", "S1 + S2 + S3"]
    full = by_stages["S1 + S2 + S3"]
    assert full[1] == str(EPISODES)
    assert full[2].startswith("50.0 [") and full[3].startswith("-50.0 [")
    assert full[4] == "0.25"  # three episodes lost, none gained: 2 / 2^3
    assert full[6:8] == ("3.00x", "2.00x")
    assert full[8] == "70.0, 2.49x"


@pytest.mark.long
def test_methods_are_compared_on_the_same_episodes(study: Study, tmp_path: Path) -> None:
    part = PARTS["table2"](study)
    pretend(part)
    tables = {table.title: table for table in publish(part, tmp_path).tables}
    cost = tables["Pruning and speed"]
    robot = next(row for row in cost.rows if row[:2] == ("tri-stage, robot", "70"))
    assert cost.columns[6] == "goal mm"
    assert float(robot[6].split(",")[0]) > 0
    assert dict(zip(cost.columns[7:], robot[7:], strict=True)) == {
        "recompute ms": "10", "recompute x": "3.00x", "recompute, episode": "2.00x",
        "cached ms": "5", "cached x": "2.00x", "cached, episode": "1.60x",  # three of four steps are pruned
    }  # fmt: skip
    contests = tables["Tri-stage against the baselines, guard alike"]
    early = [f"{name}{how}" for name in ("FastV", "VLA-Pruner") for how in (" from layer 1 on", ", r over all layers")]
    assert contests.columns[2:] == ("naive", "FastV", *early[:2], "VLA-Pruner", *early[2:], "SP-VLA")
    for row in contests.rows:
        for column, cell in zip(contests.columns[2:], row[2:], strict=True):
            absent = row[0] == "tri-stage, paper" or ("all layers" in column and row[1] == "80")
            assert cell == ("" if column in early and absent else "+0.0 (p = 1, n = 12)")
    success = {row[:2]: row for row in tables["Success"].rows}
    assert success["unpruned", ""][2:4] == ("12", "100.0 [75.8, 100.0]")
    assert success["naive", "50"][4].startswith("-50.0 [")


def test_parts_without_episodes_of_other_parts_do_not_fail(study: Study, tmp_path: Path) -> None:
    for name in EVERYTHING:
        if name not in NEED_THE_MODEL:
            PARTS[name](study).chapter()


def test_seeds_come_one_after_the_other_in_every_cell(study: Study) -> None:
    jobs = PARTS["controls"](study).jobs()
    assert [job.seed for job in jobs] == sorted(job.seed for job in jobs)
    assert len(set(jobs)) == len(jobs) == EPISODES * 2 * 6


@pytest.mark.parametrize("name", NEED_THE_MODEL)
def test_what_needs_the_model_measures_it(name: str, study: Study, tmp_path: Path) -> None:
    study = Study(replace(study.scope, tasks=("banana",), episodes=1), tmp_path, Spread(), study.rounds)
    chapter = publish(PARTS[name](study), tmp_path)
    study.close()
    assert chapter.pictures or all(value >= 0 for value in chapter.figures.values())
    assert all((tmp_path / picture).stat().st_size > 1000 for picture in chapter.pictures)
    assert all(table.rows for table in chapter.tables)


def test_agreement_is_one_where_the_sets_are_the_truth() -> None:
    labels = np.arange(16) % 3
    same = figure3.Look(0, labels, labels, *np.ones((4, 16)))
    other = replace(same, found=np.zeros(16, np.int64))
    rows = {row[0]: row for row in figure3.agreement({"one": [same], "two": [other]}).rows}
    assert rows["one, background"][-2:] == ("100", "1.00")
    assert rows["two, object"][2:5] == ("100", "0", "0")
    assert rows["two, background"][-1] == "0.00", "one label for all agrees by chance alone"


@pytest.mark.parametrize("mode", MODES)
def test_thresholds_are_chosen_on_seeds_of_their_own(mode: Mode, tiny_checkpoint: str, tmp_path: Path) -> None:
    from tristage_ros.studies.attempt import Attempts
    from tristage_ros.studies.measurements import choose

    attempts = Attempts(tiny_checkpoint)
    try:
        found = choose(attempts, ("banana",), range(7000, 7001), mode)
    finally:
        attempts.close()
    assert found.tau_2d <= found.tau_3d
    assert 0 < found.rate < 1
    assert found.seeds == (7000, 7000)
