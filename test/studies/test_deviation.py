"""How far pruning moves the goal."""

import numpy as np
import pytest

from tristage_ros.studies import measurements
from tristage_ros.studies.cell import Cell
from tristage_ros.studies.measurements import Deviation, deviations, expert_steps
from tristage_ros.studies.variant import UNPRUNED, Variant

NAIVE = Variant("random", 0.8)


def test_a_deviation_prints_median_and_ninth_decile():
    assert str(Deviation((0.0, 0.001, 0.002, 0.003, 0.004))) == "2.0, 4"


@pytest.mark.parametrize("mode", ["key frames", "continuous"])
def test_the_expert_is_followed_to_the_end(attempts, mode):
    episode = attempts.episode(Cell("banana"), 7000)
    goals = [action.translation[0] for _, action in expert_steps(episode, mode)]
    assert episode.success()
    assert len(goals) >= 5
    assert np.isfinite(goals).all()


def test_what_prunes_nothing_moves_no_goal_and_what_prunes_does(attempts, monkeypatch):
    monkeypatch.setattr(measurements, "EPISODES", 1)
    found, own = deviations(attempts, [UNPRUNED, NAIVE, UNPRUNED], "banana", "key frames")
    assert found.keys() == {UNPRUNED.name, NAIVE.name}
    assert set(found[UNPRUNED.name].distances) == {0.0}
    assert np.median(found[NAIVE.name].distances) > 0
    assert len(own.distances) == len(found[NAIVE.name].distances) >= 5
