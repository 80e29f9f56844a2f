from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tristage_ros.mla.values import Action, Observation, StepReport
from tristage_ros.pruning.report import PruningReport
from tristage_ros.pruning.values import TokenGeometry, TokenMasks
from tristage_ros.simulation.episode import Episode
from tristage_ros.simulation.tasks import TASKS
from tristage_ros.studies.attempt import Attempts, by_key_frames, continuously
from tristage_ros.studies.cell import CONDITIONS, GREY, PLAIN, Cell, Job, another_instruction
from tristage_ros.studies.store import Record
from tristage_ros.studies.variant import Variant

SEED = 9_900


class ExpertPolicy:
    """Act as the expert would, as a policy does."""

    def __init__(self, episode: Episode) -> None:
        self.episode = episode

    def act(self, observation: Observation) -> tuple[Action, StepReport]:
        geometry = TokenGeometry(torch.zeros(4, dtype=torch.long), 4)
        masks, none = TokenMasks.all_kept(geometry), np.zeros((4, 3), np.float32)
        report = StepReport(1, masks, np.zeros(4, np.int64), none, PruningReport(), {"total": 1.0}, False, 0, 8)
        return self.episode.expert(), report


@pytest.mark.parametrize("run", [by_key_frames, continuously])
def test_the_expert_succeeds_in_both_modes(attempts: Attempts, run: Any) -> None:
    episode = attempts.episode(Cell("banana"), SEED)
    record = Record("expert", SEED)
    run(episode, ExpertPolicy(episode), PLAIN, record)
    assert episode.success()
    assert record.refused == 0
    assert record.steps["stage"][0] == "above"
    assert "grasp" in record.steps["stage"]


def test_an_episode_is_the_same_whenever_it_is_run(attempts: Attempts) -> None:
    job = Job(Cell("banana", Variant("random", 0.7)), SEED)
    first, again = attempts.run(job), attempts.run(job)
    for record in (first, again):
        assert record.length == len(record.steps.pop("ms"))
    assert first == again
    assert first.steps["pruned"] == [True] * len(first.steps["pruned"])
    assert np.mean(first.steps["rate"]) == pytest.approx(0.7, abs=0.06)


def test_a_record_survives_json(attempts: Attempts) -> None:
    import json

    record = attempts.run(Job(Cell("box", Variant("tristage", 0.7, True, "robot")), SEED))
    assert Record.from_dict(json.loads(json.dumps(record.to_dict()))) == record
    assert record.steps["pruned"][0] is False, "the first step keeps everything"


def test_a_blank_condition_blanks(attempts: Attempts) -> None:
    observation = attempts.episode(Cell("banana"), SEED).observe()
    shown = CONDITIONS["blank"].shown(observation)
    assert (shown.image == GREY).all() and shown.image.shape == observation.image.shape
    assert np.ptp(shown.points, axis=0).max() == 0 and shown.points.shape == observation.points.shape
    assert np.array_equal(shown.state, observation.state)
    assert attempts.run(Job(Cell("banana", condition="blank"), SEED)).length > 0


def test_what_was_kept_of_a_hand_is_noted(attempts: Attempts) -> None:
    record = attempts.run(Job(Cell("banana", Variant("random", 0.5), condition="hand"), SEED))
    kept = record.steps["hand_kept_2d"]
    assert len(kept) == record.length == len(record.steps["hand_kept_3d"])
    assert kept[0] is None, "it is not there yet"
    assert 0.0 < np.mean([share for share in kept if share is not None]) < 1.0


@pytest.mark.long
def test_dropped_frames_are_steps_less(attempts: Attempts) -> None:
    whole, dropped = (
        attempts.run(Job(Cell("banana", Variant("random", 0.8), "continuous", condition), SEED))
        for condition in ("plain", "dropped")
    )
    assert 0.5 * whole.length < dropped.length < 0.9 * whole.length


@pytest.mark.parametrize("task", TASKS)
def test_the_wrong_instruction_is_that_of_a_thing_on_the_table(task: str) -> None:
    wrong = another_instruction(TASKS[task])
    other = next(other for other in TASKS.values() if other.instruction == wrong)
    assert other.name != task
    together = {piece.name for company in TASKS[task].companies for piece in company}
    assert {piece.name for piece in other.pieces} <= together
