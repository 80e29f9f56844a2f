"""The policy with every pruning method."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tristage_ros.mla.inputs import tool_speed
from tristage_ros.mla.loading import build_policy
from tristage_ros.mla.model import random_model
from tristage_ros.mla.passes import Denoising, ParallelDenoising
from tristage_ros.pruning import PruningConfig, make_pruner
from tristage_ros.pruning.baselines import METHODS, OneModality
from tristage_ros.pruning.baselines.base import patch_attention

HALF = PruningConfig(target_rate=0.5, token_bucket=1)
LAYERS = {"fastv": {"mid_layer": 1}, "vla_pruner": {"mid_layer": 2}, "dart": {"mid_layer": 1}}


@pytest.fixture(scope="module")
def model(tiny_config):
    return random_model(tiny_config(layers=4), 3)


def walk(observation, steps: int = 5) -> list:
    return [observation(i, stamp=0.2 * i) for i in range(steps)]


def values(action) -> np.ndarray:
    return np.concatenate([action.translation, action.rotation], 1)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("guard", [None, 0.02])
def test_both_engines_act_alike_on_the_same_tokens(make_policy, observation, model, method, guard):
    config = replace(HALF, change_guard=guard)
    cached, recomputed = (
        make_policy(make_pruner(method, config, **LAYERS.get(method, {})), model, engine=engine)
        for engine in ("cached", "recompute")
    )
    for seen in walk(observation):
        (action, report), (expected, other) = cached.act(seen), recomputed.act(seen)
        assert torch.equal(report.masks.keep_2d, other.masks.keep_2d)
        assert torch.equal(report.masks.keep_3d, other.masks.keep_3d)
        np.testing.assert_allclose(values(action), values(expected), atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_parallel_denoising_acts_alike_with_every_method(make_policy, observation, model, method):
    sequential, parallel = (
        make_policy(make_pruner(method, HALF, **LAYERS.get(method, {})), model, denoising=Denoising(parallel=setting))
        for setting in (None, ParallelDenoising(tolerance=0.0))
    )
    for seen in walk(observation):
        (action, report), (expected, other) = parallel.act(seen), sequential.act(seen)
        assert torch.equal(report.masks.keep_2d, other.masks.keep_2d)
        np.testing.assert_allclose(values(action), values(expected), atol=1e-4)


@pytest.mark.parametrize(
    ("method", "full"),
    [("random", 0), ("fastv", 0), ("dart", 0), ("sp_vla", 1), ("vla_pruner", 3), ("attention", 1), ("split", 1)],
)
def test_half_of_the_tokens_go_as_soon_as_the_method_can_tell_which(make_policy, observation, model, method, full):
    options = {"fast_share": 1.0} if method == "sp_vla" else LAYERS.get(method, {})
    policy = make_policy(make_pruner(method, HALF, **options), model)
    kept = []
    for seen in walk(observation):
        _, report = policy.act(seen)
        kept.append(int(report.masks.keep_2d.sum() + report.masks.keep_3d.sum()))
        assert report.pruning.tokens_2d + report.pruning.tokens_3d == kept[-1]
        outside = torch.from_numpy(report.patch_of_point < 0)
        assert report.masks.keep_3d[outside].all()
    assert kept == [32] * full + [16] * (5 - full)


def test_late_pruning_sees_more_than_early_pruning(make_policy, observation, model):
    """The blocks before the choice show the dropped tokens to the others."""
    fastv = make_policy(make_pruner("fastv", HALF, mid_layer=3), model)
    action, report = fastv.act(observation())

    class Early:
        config, wants_salience = HALF, False

        def __getattr__(self, name):
            return getattr(make_pruner("random", HALF), name)

        def plan(self, geometry, frame=None):
            return report.masks

    early, _ = make_policy(Early(), model).act(observation())
    assert not np.allclose(values(action), values(early), atol=1e-5)


@pytest.mark.parametrize("method", ["fastv", "dart", "vla_pruner"])
@pytest.mark.parametrize("engine", ["cached", "recompute"])
def test_dropped_for_good_a_later_pass_never_meets_what_was_dropped(make_policy, observation, model, method, engine):
    """The first pass embeds 32 visual tokens and shows them to its first block; in the later ones there are 16."""
    options = {"mid_layer": 1, "for_good": True} | ({"full_history": False} if method == "vla_pruner" else {})
    policy = make_policy(make_pruner(method, HALF, **options), model, engine=engine)
    policy.act(observation())
    embedded, keys = [], []
    hooks = [
        model.projector_2d.register_forward_hook(lambda module, inputs, out: embedded.append(len(out))),
        model.projector_3d.register_forward_hook(lambda module, inputs, out: embedded.append(len(out))),
        model.llm.layers[0].register_forward_hook(lambda module, inputs, out: keys.append(inputs[0].shape[1])),
    ]
    try:
        _, report = policy.act(observation(1, stamp=0.2))
    finally:
        for hook in hooks:
            hook.remove()
    kept = int(report.masks.keep_2d.sum()), int(report.masks.keep_3d.sum())
    passes, chunk = policy.model.config.denoising_steps, policy.model.config.chunk
    assert sum(kept) == 16
    assert embedded[:2] == [16, 16]
    assert sorted(embedded[2:]) == (sorted(kept * (passes - 1)) if engine == "recompute" else [])
    rest = keys[0] - 32  # of the prefix: all but the visual tokens
    steps = passes + chunk  # all denoising steps go with the first actions, and again once rows were dropped
    later = [rest + 16 + 1 + chunk] * (passes - 1) if engine == "recompute" else [steps, *[chunk] * (passes - 2)]
    assert keys[1:] == [steps, *later]


@pytest.mark.parametrize("engine", ["cached", "recompute"])
def test_dropped_for_good_parallel_denoising_acts_as_one_pass_after_the_other(make_policy, observation, model, engine):
    """Every timestep is last evaluated in the pass that is its own in sequence."""
    sequential, parallel = (
        make_policy(
            make_pruner("fastv", HALF, mid_layer=1, for_good=True),
            model,
            engine=engine,
            denoising=Denoising(parallel=setting),
        )
        for setting in (None, ParallelDenoising(tolerance=0.0))
    )
    for seen in walk(observation, 2):
        np.testing.assert_allclose(values(parallel.act(seen)[0]), values(sequential.act(seen)[0]), atol=1e-4)


@pytest.mark.parametrize("method", ["fastv", "dart", "vla_pruner"])
def test_dropped_for_good_the_released_loop_goes_on_as_if_the_others_had_never_been(
    make_policy, observation, model, method
):
    """Every pass by hand: the published one first, then whole passes over a sequence of the kept tokens alone."""
    options = {"mid_layer": 1} | ({"full_history": False} if method == "vla_pruner" else {})
    seen, ran = observation(1, stamp=0.2), []
    policies = [
        make_policy(make_pruner(method, HALF, **options, for_good=for_good), model, engine="recompute")
        for for_good in (True, False)
    ]
    for policy in policies:
        policy.act(observation())

    class Watched:
        """Note what every pass is given and says, and the prefix it has."""

        def __init__(self, engine) -> None:
            self.engine = engine

        def run(self, first, actions, observe=False):
            output = self.engine.run(first, actions, observe)
            ran[-1].append((first, actions, output.actions))
            return output

        def renew(self, embed):
            self.engine.renew(embed)

    for policy in policies:
        encode = policy._engine
        policy._engine = lambda *given, encode=encode: Watched(encode(*given))
        ran.append([])
        policy.act(seen)
    (first, *later), (published, *_) = ran
    torch.testing.assert_close(first, published)
    masks = policies[0].pruner._step.masks

    class Kept:
        """Keep the same from the beginning."""

        config, wants_salience = HALF, False

        def __getattr__(self, name):
            return getattr(make_pruner("random", HALF), name)

        def plan(self, geometry, frame=None):
            return masks

    early = make_policy(Kept(), model, engine="recompute")
    early.act(observation())
    engines, encode = [], early._engine
    early._engine = lambda *given: engines.append(encode(*given)) or engines[0]
    early.act(seen)
    with torch.inference_mode():
        for step, actions, said in later:
            torch.testing.assert_close(said, engines[0].run(step, actions).actions, rtol=1e-4, atol=1e-5)


class _Learning(OneModality):
    """Learn from passes in which there is nothing of one modality."""

    learns = True

    def _learn(self, geometry, masks, magnitudes):
        return patch_attention(geometry, masks, magnitudes, self._history)


@pytest.mark.parametrize("kind", [OneModality, _Learning])
@pytest.mark.parametrize("modality", ["2D", "3D"])
@pytest.mark.parametrize("engine", ["cached", "recompute"])
def test_without_any_token_of_a_modality_steps_run(make_policy, observation, model, kind, modality, engine):
    policy = make_policy(kind(replace(HALF, change_guard=0.02), modality=modality), model, engine=engine)
    for seen in walk(observation, 3):
        action, report = policy.act(seen)
        kept = int(report.masks.keep_2d.sum()), int(report.masks.keep_3d.sum())
        assert kept == ((16, 0) if modality == "2D" else (0, 16))
        assert np.isfinite(values(action)).all()


def test_speed_lets_sp_vla_keep_more(make_policy, observation, model):
    kept = []
    for distance in (0.0, 0.1):
        policy = make_policy(make_pruner("sp_vla", HALF, fast_speed=0.5, fast_share=0.5), model)
        for index in range(2):
            seen = observation(stamp=0.2 * index)
            seen.state[0] += distance * index
            _, report = policy.act(seen)
        kept.append(report.pruning.tokens_2d + report.pruning.tokens_3d)
    assert kept == [16, 24]


def test_speed_is_distance_over_time(observation):
    before, now = observation(stamp=1.0), observation(stamp=1.5)
    now.state[:3] += (0.0, 0.3, 0.4)
    assert tool_speed(now, before) == pytest.approx(1.0)
    assert tool_speed(now, None) is None
    assert tool_speed(before, now) is None


def test_build_policy_chooses_the_method(observation, instruction):
    policy = build_policy(None, HALF, method="fastv", method_options={"mid_layer": 3})
    policy.reset(instruction)
    assert policy.act(observation())[1].pruning.rate == 0.5
    with pytest.raises(ValueError, match="tristage, none, random, fastv, vla_pruner, dart, sp_vla"):
        build_policy(None, HALF, method="fast")
    policy = build_policy(None, HALF, method="fastv", method_options={"mid_layer": 4})
    policy.reset(instruction)
    with pytest.raises(ValueError, match="mid_layer = 4"):
        policy.act(observation())
