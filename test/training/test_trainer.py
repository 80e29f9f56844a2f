import copy
import dataclasses

import pytest
import torch

from tristage_ros.mla.model import random_model
from tristage_ros.training.dataset import Dataset
from tristage_ros.training.optimiser import learning_rate
from tristage_ros.training.plan import Plan
from tristage_ros.training.trainer import Trainer


@pytest.fixture
def make(shards, config, recipe):
    """Return a trainer, the demonstrations, and rollouts: none of them."""

    def build(*settings, rollouts=()):
        chosen = recipe(*settings)
        plan = Plan.of(shards, chosen)
        shown, own = (Dataset(paths, plan.statistics, plan.truths, config) for paths in (shards, list(rollouts)))
        return Trainer(chosen, config, plan.truths.width, plan.prompt), shown, own

    return build


def weights(trainer):
    parts = (trainer.model, trainer.heads, trainer.average.model)
    return {f"{i}.{name}": t.clone() for i, part in enumerate(parts) for name, t in part.state_dict().items()}


def test_the_loss_falls(make):
    trainer, shown, own = make("optimisation.steps=150", "optimisation.learning_rate=0.003", "optimisation.warm_up=10")
    losses = [trainer.advance(shown, own) for _ in range(150)]
    first, last = losses[:15], losses[-15:]
    assert sum(f.action for f in last) < 0.8 * sum(f.action for f in first)
    assert sum(f.place for f in last) < 0.5 * sum(f.place for f in first)


def test_a_resumed_run_is_the_uninterrupted_one(make, tmp_path):
    whole, shown, own = make()
    curve = [whole.advance(shown, own) for _ in range(5)]
    begun, *_ = make()
    for _ in range(2):
        begun.advance(shown, own)
    begun.save(tmp_path / "state.pt")
    resumed, *_ = make()
    resumed.load(tmp_path / "state.pt")
    again = [resumed.advance(shown, own) for _ in range(3)]
    assert [dataclasses.replace(f, seconds=0.0) for f in again] == [
        dataclasses.replace(f, seconds=0.0) for f in curve[2:]
    ]
    torch.testing.assert_close(weights(resumed), weights(whole), rtol=0, atol=0)


def test_another_seed_is_another_run(make):
    first, shown, own = make("seed=1")
    other, *_ = make("seed=2")
    assert first.advance(shown, own).action != other.advance(shown, own).action


def test_rollouts_have_their_share_of_every_batch(make, shards, monkeypatch):
    trainer, shown, own = make("dagger.share=0.5", rollouts=shards[:1])
    drawn = []
    draw = Dataset.draw
    monkeypatch.setattr(Dataset, "draw", lambda self, n, g: drawn.append((self, n)) or draw(self, n, g))
    trainer.advance(shown, own)
    assert drawn == [(shown, 3), (own, 3)]


def test_a_run_may_begin_with_a_model_that_was_not_told_of_patches(recipe, config):
    told = dataclasses.replace(config, point_patches=True)
    start = random_model(config, 3)
    before = {name: t.clone() for name, t in start.state_dict().items()}
    trainer = Trainer(recipe(), told, 4, 9, start=start)
    assert trainer.model.config == trainer.average.model.config == told
    torch.testing.assert_close(trainer.model.state_dict(), before, rtol=0, atol=0)
    with pytest.raises(ValueError, match="other sizes"):
        Trainer(recipe(), dataclasses.replace(told, layers=3), 4, 9, start=random_model(config, 3))


def test_the_average_follows_slowly(make):
    trainer, shown, own = make("optimisation.ema=0.9")
    for _ in range(3):
        trainer.advance(shown, own)
    before, now = copy.deepcopy(trainer.average.model.state_dict()), trainer.model.state_dict()
    trainer.average.follow(trainer.model, 1000)
    for name, after in trainer.average.model.state_dict().items():
        torch.testing.assert_close(after, 0.9 * before[name] + 0.1 * now[name])


def test_the_rate_warms_up_and_ends_at_its_share(recipe):
    settings = recipe("optimisation.warm_up=10", "optimisation.steps=100", "optimisation.final_rate=0.1").optimisation
    peak = settings.learning_rate
    assert learning_rate(0, settings) == pytest.approx(0.1 * peak)
    assert learning_rate(50, settings) == pytest.approx(0.55 * peak)
    assert learning_rate(100, settings) == pytest.approx(0.1 * peak)
    assert learning_rate(200, settings) == learning_rate(100, settings)
