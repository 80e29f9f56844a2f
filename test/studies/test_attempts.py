from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tristage_ros.mla.values import Action, Observation, StepReport
from tristage_ros.pruning.report import PruningReport
from tristage_ros.pruning.values import TokenGeometry, TokenMasks
from tristage_ros.simulation.episode import Episode
from tristage_ros.simulation.instructions import TABLE
from tristage_ros.simulation.tasks import TASKS
from tristage_ros.studies.attempt import OTHER, Attempts, by_key_frames, continuously, luck
from tristage_ros.studies.cell import CONDITIONS, GREY, PLAIN, Cell, Job, another_instruction
from tristage_ros.studies.parts.core import Table2, Table3
from tristage_ros.studies.record import SHARES, Log, Record
from tristage_ros.studies.variant import LOOKS, UNPRUNED, Variant

SEED = 9_900


class ExpertPolicy:
    """Act as the expert would, as a policy does."""

    def __init__(self, episode: Episode) -> None:
        self.episode = episode

    def act(self, observation: Observation) -> tuple[Action, StepReport]:
        geometry = TokenGeometry(torch.zeros(4, dtype=torch.long), 4)
        masks, none = TokenMasks.all_kept(geometry), np.zeros((4, 3), np.float32)
        report = StepReport(1, masks, np.zeros(4, np.int64), none, PruningReport, {"total": 1.0}, False, 0, 8)
        return self.episode.expert(), report


@pytest.mark.parametrize(("run", "more"), [(by_key_frames, ()), (continuously, (luck(PLAIN, SEED),))])
def test_the_expert_succeeds_in_both_modes(attempts: Attempts, run: Any, more: Any) -> None:
    episode, log, record = attempts.episode(Cell("banana"), SEED), Log(), Record("expert", SEED)
    start = episode.world.tool[:3, 3].copy()
    run(episode, episode.observe, ExpertPolicy(episode), log, *more)
    log.close(record, course=True)
    assert episode.success()
    assert record.refused == 0
    assert record.course["stage"][0] == "above"
    assert "grasp" in record.course["stage"]
    assert max(np.linalg.norm(episode.world.tool[:3, 3] - start), 0.2) < episode.travel().path < 3.0


def test_an_episode_is_the_same_whenever_it_is_run(attempts: Attempts) -> None:
    job = Job(Cell("banana", Variant("random", 0.7)), SEED)
    first, again = attempts.run(job), attempts.run(job)
    assert first == again and first.length > 0
    assert first.mean("pruned") == 1.0 and first.looks == 0
    assert first.mean("rate") == pytest.approx(0.7, abs=0.06)


def test_a_record_survives_json(attempts: Attempts) -> None:
    import json

    record = attempts.run(Job(Cell("box", Variant("tristage", 0.7, True, "robot"), course=True), SEED))
    assert Record.from_dict(json.loads(json.dumps(record.to_dict()))) == record
    assert len(record.course["rate"]) == record.length
    assert record.path > 0 and record.jerk is None, "by key frames the arm stops anyway"
    left = [record.mean(f"kept_{share}") for share in SHARES]
    assert 0 < sum(left) <= 1.0 + 1e-3


LOOKERS = [*Table2.numbers, *Table3.numbers, Variant("vla_pruner", 0.7), Variant("fastv", 0.7)]


@pytest.mark.parametrize("variant", dict.fromkeys(LOOKERS), ids=lambda variant: variant.name)
def test_no_action_comes_from_an_unpruned_look(attempts: Attempts, variant: Variant) -> None:
    """The pruner's word for how often it has to look is neither too small nor too large."""
    episode, pruner = attempts.episode(Cell("banana"), SEED), variant.pruner(SEED)
    policy, observation = attempts.policy(pruner, SEED), episode.observe()
    policy.reset(episode.task.instruction)
    looked = [policy.look(observation).pruning.pruned for _ in range(pruner.looks)]
    assert not any(looked)
    assert policy.act(observation)[1].pruning.pruned == (variant != UNPRUNED)


def test_looks_leave_the_noise_as_it_was(attempts: Attempts) -> None:
    episode, pruner = attempts.episode(Cell("banana"), SEED), UNPRUNED.pruner(SEED)
    policy, observation = attempts.policy(pruner, SEED), episode.observe()
    actions = []
    for looks in (0, 2):
        policy.reset(episode.task.instruction)
        for _ in range(looks):
            policy.look(observation)
        actions.append(policy.act(observation)[0].translation)
    assert np.array_equal(*actions)
    assert not np.array_equal(policy.act(observation)[0].translation, actions[0]), "another step, another noise"


@pytest.mark.parametrize("looks", [pytest.param("arrival", marks=pytest.mark.long), "moving"])
def test_looks_are_counted_and_belong_to_the_row(attempts: Attempts, looks: Any) -> None:
    plain = Variant("tristage", 0.7, True, "robot")
    variant = replace(plain, looks=looks)
    record = attempts.run(Job(Cell("banana", variant), SEED))
    assert record == attempts.run(Job(Cell("banana", variant), SEED))
    without = attempts.run(Job(Cell("banana", plain), SEED))
    assert (without.looked, without.looks, record.looks) == (0, 1, 1)
    if looks == "arrival":
        assert record.looked == record.length - 1
    else:
        assert record.looked > record.length, "a key frame is more than 0.4 s away"
    assert record.cell != without.cell and variant.label.endswith(LOOKS[looks])
    assert Cell("banana", plain).name.endswith(plain.key) and "looks" not in plain.key
    with pytest.raises(ValueError, match="looks are for key frames"):
        Cell("banana", variant, "continuous")


def test_who_looks_on_the_way_changes_no_motion(attempts: Attempts) -> None:
    episode = attempts.episode(Cell("banana"), SEED)
    ways = []
    for watched in (False, True):
        episode.reset(SEED)
        seen: list[Observation] = []
        meanwhile = (lambda: seen.append(episode.observe())) if watched else None  # noqa: B023
        outcome = episode.step(episode.expert(), meanwhile)
        ways.append((outcome, episode.joints.tolist(), episode.robot_state().tolist(), episode.time))
    assert ways[0] == ways[1] and len(seen) > 2
    stamps = np.array([observation.stamp for observation in seen])
    assert np.diff(stamps) == pytest.approx(0.2, abs=0.02) and stamps[-1] < episode.time
    assert np.linalg.norm(seen[0].state[:3] - seen[-1].state[:3]) > 0.01


def test_a_blank_condition_blanks(attempts: Attempts) -> None:
    observation = attempts.episode(Cell("banana"), SEED).observe()
    shown = CONDITIONS["blank"].shown(observation)
    assert (shown.image == GREY).all() and shown.image.shape == observation.image.shape
    assert np.ptp(shown.points, axis=0).max() == 0 and shown.points.shape == observation.points.shape
    assert np.array_equal(shown.state, observation.state)
    assert attempts.run(Job(Cell("banana", condition="blank"), SEED)).length > 0


@pytest.mark.parametrize("task", ["banana", "button"])
def test_another_scenes_cloud_has_its_things_and_this_ones_arm(attempts: Attempts, task: str) -> None:
    cell, condition = Cell(task, condition="other-cloud"), CONDITIONS["other-cloud"]
    episode = attempts.episode(cell, SEED)
    see = attempts.sight(episode, condition, SEED)
    arm = [see()]
    episode.step(episode.expert())
    arm.append(see())
    own = episode.observe()
    assert np.array_equal(arm[1].image, own.image) and np.array_equal(arm[1].state, own.state)
    assert not np.array_equal(arm[1].points, own.points)
    tool, things = own.state[:3], episode.world.pose(episode.task.pieces[0].name)[:3, 3]
    near = [np.linalg.norm(points - tool, axis=1).min() for points in (own.points, arm[1].points)]
    assert max(near) < 0.06  # both have the gripper where it is
    with Episode(task, SEED + OTHER) as other:
        there = other.world.pose(other.task.pieces[0].name)[:3, 3]
    assert np.linalg.norm(there - things) > 0.02
    assert task == "banana" or attempts.run(Job(cell, SEED)).length > 0


def test_what_was_kept_of_a_hand_is_noted(attempts: Attempts) -> None:
    record = attempts.run(Job(Cell("banana", Variant("random", 0.5), condition="hand"), SEED))
    assert 0.0 < record.means["hand_kept_2d"] < 1.0 and "hand_kept_3d" in record.means
    assert "hand_kept_2d" not in attempts.run(Job(Cell("banana", Variant("random", 0.5)), SEED)).means


@pytest.mark.long
def test_dropped_frames_are_steps_less(attempts: Attempts) -> None:
    whole, dropped = (
        attempts.run(Job(Cell("banana", Variant("random", 0.8), "continuous", condition), SEED))
        for condition in ("plain", "dropped")
    )
    assert 0.5 * whole.length < dropped.length < 0.9 * whole.length


@pytest.mark.parametrize("task", TABLE)
def test_the_wrong_instruction_is_that_of_a_thing_on_the_table(task: str) -> None:
    wrong = another_instruction(TASKS[task])
    other = next(other for other in TASKS.values() if other.instruction == wrong)
    assert other.name != task
    together = {piece.name for company in TASKS[task].companies for piece in company}
    assert {piece.name for piece in other.pieces} <= together


@pytest.mark.parametrize(
    ("task", "other"), [("button", "button_blue"), ("button_blue", "higher"), ("higher", "button")]
)
def test_the_wrong_button_is_another_one_of_the_same_scene(task: str, other: str) -> None:
    assert another_instruction(TASKS[task]) == TASKS[other].instruction
