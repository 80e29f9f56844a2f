from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from tristage_ros.bench.model.timing import Rounds
from tristage_ros.reports.style import STYLE
from tristage_ros.studies import command, measurements
from tristage_ros.studies.cell import MODES
from tristage_ros.studies.measurements import Stopwatch
from tristage_ros.studies.options import CORE, EVERYTHING, EYES
from tristage_ros.studies.parts import PARTS, Chapter, Part, choosing, core, figure3, governs, oracle
from tristage_ros.studies.parts.core import OURS
from tristage_ros.studies.parts.matrix import looked
from tristage_ros.studies.pool import Spread
from tristage_ros.studies.protocol import CHOOSING, CONTROL, FIRST_SEED, MAIN, METHOD, Family
from tristage_ros.studies.record import COURSE, PRUNING, Record
from tristage_ros.studies.store import Models, save_json
from tristage_ros.studies.study import Scope, Study
from tristage_ros.studies.summary import Episodes
from tristage_ros.studies.variant import UNPRUNED

EPISODES = 6
NEED_THE_MODEL = ("table4", "figure3", "figure8", "governs", "oracle")


@pytest.fixture
def study(tiny_checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.setattr(measurements, "EPISODES", 1)
    models = Models(tiny_checkpoint, tiny_checkpoint)
    scope = Scope(models, ("banana", "box"), episodes=EPISODES)
    return Study(scope, tmp_path, Spread(), Rounds(measured=1, warm_up=1))


def pretend(part: Part) -> None:
    """Finish all episodes of a part: unpruned succeeds at every seed, whatever prunes at every other one.

    Pruned steps take half the time of unpruned ones, and a third where everything is recomputed; one of four is a
    refreshed one. What is pruned takes a second and a decimetre longer.
    """
    times = {v.key: {"cached": 5.0, "recompute": 10.0} for mode in MODES for v in part.together(mode)}
    times[UNPRUNED.key] = {"cached": 10.0, "recompute": 30.0}
    for file in ("speed.json", "speed_continuous.json"):
        path = part.study.folder / file
        made = Stopwatch(path, part.study.attempts, "banana", "key frames").made
        save_json(path, [{"made": made, "date": "2026-01-01", "ms": times}])
    for job in part.study.store.missing(part.jobs()):
        rng = np.random.default_rng(job.seed)
        pruned = job.cell.variant.method != "none"
        means = {name: float(rng.random()) for name in PRUNING} if pruned else {}
        course = {name: rng.random(4).tolist() for name in COURSE}
        course |= {"pruned": [False] + [True] * 3, "stage": ["above", "grasp", "close", "lift"]}
        part.study.store.add(
            Record(
                job.cell.name, job.seed, success=not pruned or job.seed % 2 == 0, length=4, ms=9.0, looks=int(pruned),
                seconds=10.0 + pruned, path=1.0 + 0.1 * pruned, jerk=2.0 if job.cell.mode == "continuous" else None,
                means=means | {"pruned": 0.75 * pruned, "passes": 8.0, "hand_kept_2d": 0.5, "hand_kept_3d": 0.25},
                course=course if job.cell.course else {},
            )
        )  # fmt: skip


def publish(part: Part, folder: Path) -> Chapter:
    with matplotlib.rc_context(STYLE):
        chapter = part.chapter()
    command.write(chapter, folder, part.name, {"command": "tristage evaluate"})
    return chapter


LONG = ("denoising", "continuous2", "rates", "matrix")  # of many rows


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
    part = PARTS["stages"](study)
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


def test_the_core_is_about_what_was_really_pruned_and_how_long_it_took(study: Study, tmp_path: Path) -> None:
    part = PARTS["table2"](study)
    pretend(part)
    chapter = publish(part, tmp_path)
    tables = {table.title: table for table in chapter.tables}
    cost = next(row for row in tables["Pruned, and time"].rows if row[:2] == ("tri-stage, robot", "70"))
    assert dict(zip(tables["Pruned, and time"].columns[6:], cost[6:], strict=True)) == {
        "recompute ms": "15", "recompute x": "2.00x",  # three of four steps are pruned: (3 x 10 + 30) / 4
        "cached ms": "6", "cached x": "1.60x",
    }  # fmt: skip
    success = {row[:2]: row for row in tables["Success"].rows}
    assert success["unpruned", ""][2:4] == ("12", "100.0 [75.8, 100.0]")
    assert success["SP-VLA, guard", "70"][4].startswith("-50.0 [")
    assert success["SP-VLA, guard", "70"][6:] == ("4.0", "1", "+0.0 (p = 1, n = 12)")
    beside = next(row for row in tables["Beside success"].rows if row[0] == "SP-VLA, guard")
    assert beside[2:] == ("6", "11.0 (+1.0 [+1.0, +1.0])", "1.10 (+0.10 [+0.10, +0.10])")
    assert "is not shown to be non-inferior to unpruned** (margin 6 points, n = 12, paired)" in chapter.note


def episodes(*successes: bool, seconds: float = 9.0) -> Episodes:
    return {("box", seed): Record("", seed, success, seconds=seconds) for seed, success in enumerate(successes)}


def test_what_is_said_of_stage_1_is_what_was_found() -> None:
    all_, half = [True] * 40, [True, False] * 20
    assert "changes nothing**: at r = 70 %, all 40 episodes" in core.of_stage_1(episodes(*all_), episodes(*all_))
    slower = episodes(*[True] * 200, seconds=8.0)
    assert "equals stage 1 off within 6 points**" in core.of_stage_1(episodes(*[True] * 200), slower)
    assert "40 paired episodes do not tell" in core.of_stage_1(episodes(*all_), episodes(*all_, seconds=8.0))
    assert "better than stage 1 off" in core.of_stage_1(episodes(*all_), episodes(*half))
    assert "worse than stage 1 off" in core.of_stage_1(episodes(*half), episodes(*all_))
    assert core.of_stage_1({}, episodes(*all_)) == ""


def test_no_worse_needs_as_many_episodes_as_it_takes() -> None:
    for n, verdict in ((40, "not shown"), (400, "is non-inferior")):
        assert verdict in core.no_worse(episodes(*[True] * n), episodes(*[True] * n))
    lost = [True] * 370 + [False] * 30
    assert "not shown" in core.no_worse(episodes(*lost), episodes(*[True] * 400))


def test_the_core_has_the_numbers_of_the_protocol(tiny_checkpoint: str, tmp_path: Path) -> None:
    study = Study(Scope(Models(tiny_checkpoint, tiny_checkpoint)), tmp_path, Spread())
    jobs = {job for name in CORE for job in PARTS[name](study).jobs()}
    rows = Counter(job.cell.variant for job in jobs)
    assert Counter(rows.values()) == {MAIN: 3, METHOD: 11, CONTROL: 3}
    assert {job.seed for job in jobs} == set(range(FIRST_SEED, FIRST_SEED + MAIN // 5))


def test_another_family_of_scenes_is_a_few_words(study: Study) -> None:
    class Noisy(core.Table2):
        name, title, family = "noisy", "With noise", Family("noisy", "one task with noise", ("laptop", "box"), "noise")

    study.scope = replace(study.scope, tasks=None, episodes=None)
    jobs = Noisy(study).jobs()
    assert {(job.cell.task, job.cell.condition) for job in jobs} == {("laptop", "noise"), ("box", "noise")}
    assert sum(job.cell.variant == UNPRUNED for job in jobs) == MAIN
    study.scope = replace(study.scope, tasks=("banana",))
    with pytest.raises(ValueError, match="--tasks has none of laptop, box"):
        Noisy(study)


def test_families_are_compared_with_one_configuration(study: Study) -> None:
    study.scope = replace(study.scope, tasks=("banana", "button"))
    part = PARTS["families"](study)
    pretend(part)
    by_family, verdicts = part.chapter().tables
    assert by_family.columns[2:] == ("the five on the table", "the button of a colour", "the camera anywhere")
    ours = next(row for row in by_family.rows if row[:2] == (OURS.label, "70"))
    assert ours[2:] == ("50 (-50.0)",) * 3  # 3 of 6 by chance each, and 39 comparisons
    assert [row[-1] for row in verdicts.rows] == ["not shown"] * 3
    conditions = {(job.cell.task, job.cell.condition) for job in part.jobs()}
    assert conditions == {("banana", "plain"), ("button", "plain"), ("banana", "elsewhere"), ("button", "elsewhere")}


def test_what_an_eye_is_worth_is_told_by_family(study: Study) -> None:
    study.scope = replace(study.scope, tasks=("higher", "stack"))
    part = PARTS["need"](study)
    pretend(part)
    (table,) = part.chapter().tables
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["both eyes"] == ("100", "100", "100") and rows["3D tokens masked out"][0].startswith("-50.0 [")
    assert rows["another scene's cloud"][2] == ""  # a camera elsewhere is a condition already


def test_the_weights_are_those_of_who_was_followed() -> None:
    rng = np.random.default_rng(1)

    def conflicts(noise: float) -> list[governs.Conflict]:
        found = []
        for k in range(60):
            image, cloud = rng.normal(0, 0.05, (2, 3))
            task, base = (("button", 0.1), ("higher", 0.4))[k % 2]
            said = base + 0.2 * image + 0.8 * cloud + rng.normal(0, noise, 3)
            found.append(governs.Conflict(task, 0, said, base + image, base + cloud))
        return found

    for axis in range(3):
        exact, rough = (governs.weigh(conflicts(noise), axis) for noise in (0.0, 0.01))
        assert exact is not None and rough is not None
        assert (exact.image, exact.cloud, exact.explained) == pytest.approx((0.2, 0.8, 1.0))
        assert abs(rough.cloud - 0.8) < 4 * rough.cloud_error and 0.01 < rough.cloud_error < 0.06
    flat = [replace(one, by_cloud=np.zeros(3)) for one in conflicts(0.0)]
    assert governs.weigh(flat, 2) is None and governs.weigh(conflicts(0.0)[:5], 0) is None


def test_the_area_is_the_share_of_pairs_in_the_right_order() -> None:
    rng = np.random.default_rng(2)
    found = oracle.area(rng.normal(1, 1, 400), rng.normal(0, 1, 400))
    assert found is not None and found.value == pytest.approx(0.76, abs=4 * found.error) and found.error < 0.02
    assert oracle.area(np.arange(5.0) + 9, np.arange(5.0)) == oracle.Area(1.0, 0.0, 5, 5)
    assert oracle.area(np.ones(4), np.zeros(50)) is None


def test_settings_are_chosen_on_seeds_that_are_not_reported(study: Study) -> None:
    asked = PARTS["choosing"](study).jobs()
    assert asked and all(job.seed in CHOOSING for job in asked)
    assert len({len(some) for some in choosing.CANDIDATES.values()}) == 1, "as many for everybody"
    reported = set(core.Table2.numbers)
    assert all(next(iter(some.values())) in reported for some in choosing.CANDIDATES.values())


def test_the_documents_first_line_is_what_the_core_found(study: Study, tmp_path: Path) -> None:
    document = tmp_path / "docs" / "results.md"
    document.parent.mkdir()
    document.write_text("# Results\n\nOld.\n\n## By hand\n\nMine.\n\n## Table 3: ablation of the stages\n\nOld.\n")
    for name in ("controls", "table3"):
        part = PARTS[name](study)
        pretend(part)
        with matplotlib.rc_context(STYLE):
            command.write_into(document, part.chapter(), {"command": "tristage evaluate"})
    lines = document.read_text().splitlines()
    assert lines[2].startswith("**Carried over, stage 1 changes nothing**")
    assert [line for line in lines if line.startswith("## ")] == [
        "## Table 3: ablation of the stages", "## By hand", "## Controls: blind and misled"
    ]  # fmt: skip
    assert "Old." not in lines and "Mine." in lines


def test_parts_without_episodes_of_other_parts_do_not_fail(study: Study, tmp_path: Path) -> None:
    for name in (*EVERYTHING, *EYES):
        if name not in NEED_THE_MODEL:
            PARTS[name](study).chapter()


def test_looks_are_rows_of_their_own_and_are_told(study: Study) -> None:
    part = PARTS["looks"](study)
    variants = [row.variant for row in part.rows()]
    assert variants[0] == UNPRUNED and [v.looks for v in variants[1:]] == ["off", "arrival", "moving"] * 2
    assert len({variant.key for variant in variants}) == len({v.label for v in variants}) == 7
    assert variants[1] == OURS, "whose episodes are those of the core"
    assert looked([Record("a", 1, looks=1, length=4, looked=9), Record("a", 2, looks=1, length=2)]) == "1 + 1.5"
    assert looked([Record("a", 1, looks=1, length=4)]) == "1"


def test_seeds_come_one_after_the_other_in_every_cell(study: Study) -> None:
    jobs = PARTS["controls"](study).jobs()
    assert [job.seed for job in jobs] == sorted(job.seed for job in jobs)
    assert len(set(jobs)) == len(jobs) == EPISODES * 2 * 6


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] if name == "oracle" else []) for name in NEED_THE_MODEL]
)
def test_what_needs_the_model_measures_it(name: str, study: Study, tmp_path: Path) -> None:
    study = Study(replace(study.scope, tasks=("banana",), episodes=1), tmp_path, Spread(), study.rounds)
    chapter = publish(PARTS[name](study), tmp_path)
    study.close()
    assert chapter.pictures or name == "governs" or all(value >= 0 for value in chapter.figures.values())
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
