"""Episodes in a closed loop: how many there are, and what is kept of them."""

import math

import numpy as np
import pytest
import torch

from tristage_ros.mla.config import MlaConfig
from tristage_ros.resources import resource
from tristage_ros.simulation.episode import Episode
from tristage_ros.training.collection import Disturbance, shard_jobs
from tristage_ros.training.episodes import FRAMES_AFTER_SUCCESS, KEPT, attempt
from tristage_ros.training.frames import FrameEncoder
from tristage_ros.training.recipe import Recipe, RecipeError


def test_the_shipped_recipe_is_one_of_a_closed_loop():
    recipe = Recipe.load(resource("config", "training_continuous.yaml"))
    assert recipe.demonstrations.continuous == recipe.dagger.continuous == recipe.check.continuous == 1.0


def test_a_share_of_the_episodes_is_led_in_a_closed_loop(recipe, config, tmp_path):
    settings = ("episodes={box: 10}", "demonstrations.shard=4", "demonstrations.looks=0")
    for share, expected in ((0, {"": 10}), (0.3, {"": 7, "continuous": 3}), (1, {"continuous": 10})):
        jobs = shard_jobs(recipe(*settings, f"demonstrations.continuous={share}"), config, tmp_path)
        counted = {kind: sum(job.episodes for job in jobs if job.kind == kind) for kind in {job.kind for job in jobs}}
        assert counted == expected
        assert len({job.path for job in jobs}) == len(jobs)
    with pytest.raises(RecipeError, match="continuous of dagger must be from 0 to 1, got 2"):
        recipe("dagger.continuous=2")


@pytest.mark.parametrize("seed", [3, 4])
def test_one_step_in_four_is_kept_with_what_the_expert_goes_for(seed):
    with Episode("box", seed) as episode:
        looks = []

        def move(see, expert):
            looks.append(see().stamp)
            return expert

        shown = attempt(episode, seed, FrameEncoder(MlaConfig.mini()), move, FRAMES_AFTER_SUCCESS, continuous=True)
        assert shown.success
        assert np.diff(looks) == pytest.approx(0.2), "it does not wait for the arm"
        before = math.ceil((len(looks) - -seed % KEPT) / KEPT)
        assert len(shown.frames) == before + FRAMES_AFTER_SUCCESS
        episode.reset(seed)
        if seed % KEPT == 0:
            goal = torch.from_numpy(episode.guidance().translation[0]).float()
            torch.testing.assert_close(shown.frames[0].action[0, :3], goal)


def test_a_disturbance_lasts(recipe):
    from tristage_ros.mla.values import Action

    settings = recipe("demonstrations.noisy=1.0", "demonstrations.disturbed=1.0").demonstrations
    move, disturbance = Action(np.zeros((1, 3)), np.zeros((1, 3)), np.ones(1)), Disturbance(settings, 5, lasting=8)
    x = np.array([disturbance(None, move).translation[0, 0] for _ in range(4000)])
    lengths = np.diff(np.flatnonzero(np.diff(x, prepend=np.nan, append=np.nan) != 0))
    assert (lengths.min(), lengths.max()) == (1, 8)
    assert lengths.mean() == pytest.approx(4.5, abs=0.3)
    assert x.std() == pytest.approx(settings.translation[0], rel=0.15)
