from dataclasses import replace

import numpy as np
import pytest
import torch

from tristage_ros.mla.checkpoint import CheckpointError, save_checkpoint
from tristage_ros.mla.config import MlaConfig
from tristage_ros.mla.engines import RecomputeEngine, Suffix
from tristage_ros.mla.inputs import Instruction, KeptTokens, preprocess
from tristage_ros.mla.loading import build_policy
from tristage_ros.mla.memory import MemoryShortageError
from tristage_ros.mla.model import random_model
from tristage_ros.mla.normalisation import DatasetStatistics
from tristage_ros.mla.passes import DdimSampler, Denoising, ParallelDenoising
from tristage_ros.mla.policy import ModelOutputError
from tristage_ros.mla.prompt import PromptTokenizer
from tristage_ros.mla.values import Action
from tristage_ros.perception.camera import patch_of_points
from tristage_ros.pruning import PruningConfig, TriStagePruner

STATISTICS = DatasetStatistics.tabletop()


def values(action) -> np.ndarray:
    return np.concatenate([action.translation, action.rotation], 1)


def normalised(action) -> np.ndarray:
    """Return what the model said of translation and rotation, -1..1."""
    low, high = np.array(STATISTICS.action.q01)[:6], np.array(STATISTICS.action.q99)[:6]
    return 2 * (values(action) - low) / (high - low) - 1


class Unscaled(DatasetStatistics):
    """Leave what the model says as it is, neither clipped nor in any unit."""

    def denormalise_action(self, normalised):
        return Action(normalised[:, :3], normalised[:, 3:6], normalised[:, 6])


ZERO = Denoising("zero")
UNSCALED = Unscaled(STATISTICS.action, STATISTICS.proprio)


def said(action) -> np.ndarray:
    return np.concatenate([values(action), action.gripper[:, None]], 1)


# What the model says


@pytest.mark.parametrize("denoising", [Denoising(), Denoising("zero", parallel=ParallelDenoising())])
def test_an_action_that_is_not_finite_is_refused_and_forgotten(make_policy, observation, tiny, fixed_pruner, denoising):
    policy = make_policy(fixed_pruner(None), tiny, UNSCALED, denoising=denoising)
    policy.act(observation(0))
    weight = tiny.final_layer.mlp.fc2.weight
    kept = weight.detach().clone()
    with torch.no_grad():
        weight[0, 0] = torch.nan
    with pytest.raises(ModelOutputError, match=r"not finite: .*nan.*, in torch\.float32"):
        policy.act(observation(1))
    with torch.no_grad():
        weight.copy_(kept)
    assert np.isfinite(said(policy.act(observation(2))[0])).all()


# The engines


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("switches", [{}, {"marker_before_state": True, "tactile_slot": False, "chunk": 3}])
@pytest.mark.parametrize("pruned", [False, True])
def test_cached_equals_recompute(
    make_policy, observation, random_masks, fixed_pruner, tiny_config, seed, switches, pruned
):
    model = random_model(tiny_config(**switches), seed)
    seen = []
    for engine in ("cached", "recompute"):
        pruner = fixed_pruner(random_masks(seed) if pruned else None)
        policy = make_policy(pruner, model, UNSCALED, engine=engine, seed=seed)
        seen.append((policy.act(observation(seed))[0], pruner.observed[0]))
    (cached, salience), (recomputed, expected) = seen
    assert cached.translation.shape == (switches.get("chunk", 1), 3)
    np.testing.assert_allclose(said(cached), said(recomputed), rtol=0, atol=1e-4)
    for name in ("feature_2d", "feature_3d", "attention_2d", "attention_3d"):
        torch.testing.assert_close(
            getattr(salience, name), getattr(expected, name), rtol=1e-4, atol=1e-4, equal_nan=True
        )


@pytest.mark.parametrize("stages", [{1, 2, 3}, {1, 2}])
@pytest.mark.parametrize("denoising", [Denoising(), Denoising(parallel=ParallelDenoising()), Denoising("zero", 4)])
def test_static_passes_act_the_same_step_after_step(make_policy, observation, tiny_config, stages, denoising):
    model, seen = random_model(tiny_config(chunk=2), 1), []
    config = replace(PruningConfig.paper(), stages=frozenset(stages), target_rate=0.5, token_bucket=1)
    for captured in (True, False):
        pruner = TriStagePruner(config)
        policy = make_policy(pruner, model, UNSCALED, captured=captured, denoising=denoising)
        seen.append([policy.act(observation(step)) for step in range(4)])
    for (ours, mine), (theirs, other) in zip(*seen, strict=True):
        np.testing.assert_allclose(said(ours), said(theirs), rtol=0, atol=1e-4)
        assert mine.passes == other.passes
        assert torch.equal(mine.masks.keep_2d, other.masks.keep_2d)
        assert torch.equal(mine.masks.keep_3d, other.masks.keep_3d)
    assert not seen[0][-1][1].masks.keep_2d.all()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("pruned", [False, True])
def test_cached_equals_recompute_in_bfloat16(
    make_policy, observation, random_masks, fixed_pruner, tiny_config, seed, pruned
):
    model = random_model(tiny_config(), seed, dtype=torch.bfloat16)
    pruner = fixed_pruner(random_masks(seed) if pruned else None)
    cached, recomputed, exact = (
        said(make_policy(pruner, m, UNSCALED, engine=engine, seed=seed).act(observation(seed))[0])
        for m, engine in ((model, "cached"), (model, "recompute"), (random_model(tiny_config(), seed), "cached"))
    )
    np.testing.assert_allclose(cached, recomputed, rtol=0, atol=3e-2)
    assert (cached != exact).any()


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("engine", ["cached", "recompute"])
@pytest.mark.parametrize("prediction", ["noise", "velocity"])
def test_parallel_denoising_comes_to_what_sequential_denoising_does(
    make_policy, observation, random_masks, fixed_pruner, tiny_config, seed, engine, prediction
):
    model, seen = random_model(tiny_config(chunk=2, prediction=prediction), seed), []
    for parallel in (None, ParallelDenoising(tolerance=0.0)):
        pruner = fixed_pruner(random_masks(seed))
        policy = make_policy(pruner, model, UNSCALED, engine=engine, seed=seed, denoising=Denoising(parallel=parallel))
        action, report = policy.act(observation(seed))
        assert report.passes <= 8
        seen.append((said(action), pruner.observed[0]))
    (sequential, expected), (parallel, salience) = seen
    np.testing.assert_allclose(parallel, sequential, rtol=0, atol=1e-4)
    for name in ("feature_2d", "feature_3d", "attention_2d", "attention_3d"):
        torch.testing.assert_close(
            getattr(salience, name), getattr(expected, name), rtol=1e-4, atol=1e-4, equal_nan=True
        )


@pytest.mark.parametrize("engine", ["cached", "recompute"])
def test_without_stage_3_parallel_denoising_prunes_behind_its_first_sweep(
    make_policy, observation, random_masks, fixed_pruner, tiny, engine
):
    seen = []
    for parallel in (None, ParallelDenoising(tolerance=0.0)):
        pruner = fixed_pruner(random_masks(1), PruningConfig(stages=frozenset({1, 2})))
        policy = make_policy(pruner, tiny, UNSCALED, engine=engine, denoising=Denoising(parallel=parallel))
        seen.append(said(policy.act(observation())[0]))
    np.testing.assert_allclose(*seen, rtol=0, atol=1e-4)


def test_zero_noise_lets_a_step_begin_where_the_last_one_ended(make_policy, observation, fixed_pruner, tiny):
    setting = ParallelDenoising(tolerance=1e-3)
    policy = make_policy(fixed_pruner(), tiny, denoising=Denoising("zero", parallel=setting))
    passes = [policy.act(observation())[1].passes for _ in range(3)]
    assert passes[0] > passes[1] == passes[2] == 1
    policy.reset("close the box")
    assert policy.act(observation())[1].passes > 1
    fresh = make_policy(fixed_pruner(), tiny, denoising=Denoising(parallel=setting))
    assert min(fresh.act(observation())[1].passes for _ in range(3)) > 1


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_fewer_denoising_steps(make_policy, observation, fixed_pruner, tiny, steps):
    policy = make_policy(fixed_pruner(), tiny, denoising=Denoising(steps=steps))
    assert policy.act(observation())[1].passes == steps


@pytest.mark.parametrize("seed", range(5))
@torch.inference_mode()
def test_pruning_is_recomputing_the_chosen_tokens_alone(
    make_policy, observation, random_masks, fixed_pruner, tiny, instruction, seed
):
    masks, seen = random_masks(seed), observation(seed)
    inputs = preprocess(seen, STATISTICS, tiny.config)
    points = tiny.projector_3d(tiny.vision_tower_3d(inputs.points, tiny.vision_tower_3d.centres(inputs.points)))
    image = tiny.projector_2d(tiny.vision_tower_2d(inputs.image))
    ids = PromptTokenizer.mini().encode(instruction)
    everything = KeptTokens(torch.arange(16), torch.arange(16))
    sequence = Instruction(tiny, ids, 0)
    prefix = sequence.prefix(points, image, tiny.proprio_embedder(inputs.state[None]), everything)
    chosen = torch.ones(len(prefix), dtype=torch.bool)
    chosen[1:33] = torch.cat([masks.keep_3d, masks.keep_2d])
    sampler, noisy = DdimSampler.with_steps(8), torch.zeros(1, 1, 7)
    suffix = Suffix(tiny.t_embedder(torch.tensor(sampler.timesteps)), sequence.suffix_positions)
    engine = RecomputeEngine(tiny.llm, prefix.keep(chosen.nonzero()[:, 0]), suffix)
    for index in range(8):
        noisy = sampler.step(index, noisy, tiny.predict(engine.run(index, tiny.x_embedder(noisy)).actions))
    for engine_name in ("cached", "recompute"):
        policy = make_policy(fixed_pruner(masks), tiny, UNSCALED, engine=engine_name, denoising=ZERO)
        np.testing.assert_allclose(said(policy.act(seen)[0]), noisy[0].numpy(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("engine", ["cached", "recompute"])
def test_dropped_patches_are_never_seen(make_policy, observation, random_masks, fixed_pruner, engine):
    masks = random_masks(1)
    image = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)  # the model's size: no patch bleeds
    repainted = image.copy()
    repainted[~masks.keep_2d.numpy().reshape(4, 4).repeat(6, 0).repeat(6, 1)] = 0
    camera = observation().camera.scaled(24, 24)
    first, second = (
        make_policy(fixed_pruner(masks), engine=engine).act(observation(image=frame, camera=camera, depth=None))[0]
        for frame in (image, repainted)
    )
    np.testing.assert_array_equal(values(first), values(second))


@pytest.mark.parametrize("engine", ["cached", "recompute"])
def test_salience_is_complete_and_nan_where_pruned(make_policy, observation, random_masks, fixed_pruner, engine):
    full, partial = fixed_pruner(), fixed_pruner(masks := random_masks(2))
    for pruner in (full, partial):
        make_policy(pruner, engine=engine).act(observation())
    everything, rest = full.observed[0], partial.observed[0]
    shares = everything.attention_2d.sum(0) + everything.attention_3d.sum(0)
    assert (shares > 0.1).all() and (shares < 1).all()
    for rows, keep in (
        (rest.feature_2d, masks.keep_2d),
        (rest.attention_2d, masks.keep_2d),
        (rest.feature_3d, masks.keep_3d),
        (rest.attention_3d, masks.keep_3d),
    ):
        assert rows[keep].isfinite().all() and rows[~keep].isnan().all()


def test_stage_1_measures_what_the_pruning_asks_for(make_policy, observation, fixed_pruner):
    features = []
    for s1_feature in ("pre_norm", "lm_head"):
        pruner = fixed_pruner(config=PruningConfig(s1_feature=s1_feature))
        make_policy(pruner).act(observation())
        features.append(pruner.observed[0].feature_2d)
    assert (features[1] / features[0]).std() > 0.1


def test_unwanted_salience_is_not_computed(make_policy, observation, fixed_pruner):
    pruner = fixed_pruner(wants_salience=False)
    make_policy(pruner).act(observation())
    assert pruner.observed == [None]


# Pruning in the step itself, without stage 3


@pytest.mark.parametrize("engine", ["cached", "recompute"])
def test_without_stage_3_the_first_pass_sees_all(make_policy, observation, random_masks, fixed_pruner, engine):
    late = PruningConfig(stages=frozenset({1, 2}))
    pruners = [
        fixed_pruner(),  # everything, all the time
        fixed_pruner(config=late),  # everything, decided after the first pass
        fixed_pruner(random_masks(3), late),
        fixed_pruner(random_masks(3)),  # pruned before the first pass
    ]
    results = [make_policy(pruner, statistics=UNSCALED, engine=engine).act(observation()) for pruner in pruners]
    everything, decided, late_pruned, early = (said(action) for action, _ in results)
    np.testing.assert_allclose(decided, everything, atol=1e-5)
    assert np.abs(late_pruned - everything).max() > 1e-3 and np.abs(late_pruned - early).max() > 1e-3
    assert pruners[2].observed[0].feature_2d.isfinite().all()
    assert torch.equal(results[2][1].masks.keep_2d, random_masks(3).keep_2d)


def test_without_stage_3_the_first_step_is_pruned(make_policy, observation):
    config = replace(PruningConfig.paper(), stages=frozenset({1, 2}), target_rate=0.5, token_bucket=1)
    _, report = make_policy(TriStagePruner(config)).act(observation())
    assert int(report.masks.keep_2d.sum() + report.masks.keep_3d.sum()) < 32 and report.pruning.rate > 0


# The facade


def test_the_first_step_is_unpruned_the_second_pruned_and_reset_starts_over(make_policy, observation, instruction):
    policy = make_policy(TriStagePruner(replace(PruningConfig.paper(), target_rate=0.5, token_bucket=1)))
    reports = [policy.act(observation(i))[1] for i in range(2)]
    policy.reset(instruction)
    reports.append(policy.act(observation(2))[1])
    assert [r.step for r in reports] == [1, 2, 1]
    assert [bool(r.masks.keep_2d.all() and r.masks.keep_3d.all()) for r in reports] == [True, False, True]
    assert [r.pruning.rate > 0 for r in reports] == [False, True, False]


def test_the_report_says_where_points_lie_and_what_took_time(make_policy, observation):
    seen = observation()
    policy = make_policy(TriStagePruner())
    _, report = policy.act(seen)
    centres = policy.model.vision_tower_3d.centres(torch.from_numpy(seen.points)).xyz.numpy()
    np.testing.assert_array_equal(report.patch_of_point, patch_of_points(centres, seen.camera, 4))
    parts = {"preprocess", "image_tokens", "point_tokens", "plan", "prefill", "denoise", "observe"}
    assert report.milliseconds.keys() == parts | {"total", "stage1", "stage2", "stage3", "fusion"}
    assert sum(report.milliseconds[part] for part in parts) == pytest.approx(report.milliseconds["total"])


def test_a_policy_acts_alike_on_a_higher_table_that_its_camera_stands_on(make_policy, observation):
    ground, high = make_policy(), make_policy(table_height=0.05)
    for index in range(3):
        seen = observation(index)
        (wanted, on_ground), (found, above) = ground.act(seen), high.act(seen.above(-0.05))
        assert np.allclose(said(found), said(wanted), atol=1e-4)
        assert np.allclose(above.token_centres[:, 2], on_ground.token_centres[:, 2] + 0.05, atol=1e-6)


def test_dropped_points_and_a_clipped_state_are_reported(make_policy, observation):
    seen = observation()
    seen.points[:3] = np.nan
    seen.state[0] = 3.0
    _, report = make_policy().act(seen)
    assert (report.points_dropped, report.state_clipped) == (3, True)
    assert make_policy().act(observation())[1].state_clipped is False


def test_a_seed_gives_the_same_actions_again(make_policy, observation, instruction):
    policy = make_policy(seed=5)
    runs = []
    for _ in range(2):
        runs.append([values(policy.act(observation())[0]) for _ in range(2)])
        policy.reset(instruction)
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.allclose(runs[0][0], runs[0][1])  # fresh noise in every step
    assert not np.allclose(runs[0][0], values(make_policy(seed=6).act(observation())[0]))


def test_zero_noise_makes_steps_alike(make_policy, observation):
    policy = make_policy(denoising=ZERO)
    first, second = (values(policy.act(observation())[0]) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert not np.allclose(first, values(policy.act(observation(1))[0]))


def test_global_generators_are_left_alone(make_policy, observation, tiny_config):
    before = torch.random.get_rng_state()
    make_policy(TriStagePruner(), random_model(tiny_config(), 1)).act(observation())
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_instruction_matters(make_policy, observation):
    policy = make_policy(denoising=ZERO)
    first = values(policy.act(observation())[0])
    policy.reset("close the red drawer")
    assert not np.allclose(first, values(policy.act(observation())[0]))


def test_a_bad_observation_changes_nothing(make_policy, observation):
    clean, disturbed = (make_policy(TriStagePruner(PruningConfig(target_rate=0.5))) for _ in range(2))
    for policy in (clean, disturbed):
        policy.act(observation())
    with pytest.raises(ValueError, match="none of the 2 points"):
        disturbed.act(observation(points=np.full((2, 3), np.nan, np.float32)))
    (expected, before), (action, after) = (policy.act(observation(1)) for policy in (clean, disturbed))
    np.testing.assert_array_equal(values(action), values(expected))
    assert before.step == after.step and torch.equal(before.masks.keep_3d, after.masks.keep_3d)


def test_a_refused_instruction_changes_nothing(make_policy, observation):
    policy = make_policy(denoising=ZERO)
    first = values(policy.act(observation())[0])
    for bad in ("", "put " * 3000):
        with pytest.raises(ValueError):
            policy.reset(bad)
    np.testing.assert_array_equal(values(policy.act(observation())[0]), first)


def test_the_model_may_be_told_what_was_commanded(make_policy, observation, monkeypatch, instruction):
    told = []
    original = DatasetStatistics.normalise_state

    def spy(self, state, zero_constant=True):
        told.append(state.copy())
        return original(self, state, zero_constant)

    def goal(of, action):
        return [*of.state[:3] + action.translation[0], *action.rotation[0], action.gripper[0]]

    monkeypatch.setattr(DatasetStatistics, "normalise_state", spy)
    policy = make_policy(state_source="commanded")
    seen = [observation(k, state=np.float32([0.3 + 0.01 * k, 0, 0.2, 3.1, 0.3, -3.1, 0.5])) for k in range(3)]
    actions = [policy.act(one)[0] for one in seen]
    policy.reset(instruction)
    policy.act(seen[0])
    wanted = [seen[0].state, goal(seen[0], actions[0]), goal(seen[1], actions[1]), seen[0].state]
    np.testing.assert_allclose(told, wanted, rtol=1e-6)
    make_policy().act(seen[1])
    np.testing.assert_array_equal(told[-1], seen[1].state)


def test_farthest_point_sampling_may_start_anywhere(make_policy, observation, tiny_config, instruction):
    model = random_model(tiny_config(fps_start="random"), 3)
    policy = make_policy(model=model, denoising=ZERO)
    first, second = (values(policy.act(observation())[0]) for _ in range(2))
    policy.reset(instruction)
    assert not np.array_equal(first, second)  # another start in every step
    np.testing.assert_array_equal(values(policy.act(observation())[0]), first)


def test_a_step_that_does_not_fit_says_what_would(make_policy, observation, monkeypatch):
    def run_out(*_):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    policy = make_policy()
    monkeypatch.setattr(policy.model.vision_tower_2d, "forward", run_out)
    with pytest.raises(MemoryShortageError, match=r"needs .* GB as float32, but cpu has .* GB free"):
        policy.act(observation())


@pytest.mark.parametrize("options", [{"engine": "fast"}, {"state_source": "guessed"}])
def test_unknown_options_are_refused(make_policy, options):
    with pytest.raises(ValueError, match=next(iter(options.values()))):
        make_policy(**options)


def test_an_instruction_is_needed(observation):
    with pytest.raises(RuntimeError, match="reset"):
        build_policy(None, PruningConfig()).act(observation())


# Building


def test_without_a_checkpoint_the_weights_are_random_and_actions_moderate(observation, instruction):
    policy = build_policy(None, PruningConfig.robot(), seed=1)
    policy.reset(instruction)
    actions = np.concatenate([normalised(policy.act(observation(i))[0]) for i in range(4)])
    assert policy.random_weights
    assert np.isfinite(actions).all() and (actions.std(0) > 0.01).all() and (np.abs(actions) < 1).mean() > 0.7


def test_a_checkpoint_is_used_with_its_statistics(tmp_path, tiny, make_policy, observation, instruction):
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(path, tiny, STATISTICS, {})
    policy = build_policy(str(path), PruningConfig(), seed=4)
    policy.reset(instruction)
    assert not policy.random_weights
    expected = make_policy(TriStagePruner(), seed=4).act(observation())[0]
    # settled weights lie in another order: sums are rounded in another place
    np.testing.assert_allclose(values(policy.act(observation())[0]), values(expected), rtol=0, atol=1e-6)


def test_another_vocabulary_needs_its_own_tokenizer(tmp_path, tiny_config, make_policy):
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(path, random_model(tiny_config(vocabulary=640), 0), STATISTICS, {})
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        build_policy(str(path), PruningConfig())
    with pytest.raises(ValueError, match="tokenizer"):
        make_policy(model=random_model(tiny_config(vocabulary=100), 0))


def test_random_weights_depend_on_the_seed_alone():
    first, again, other = (random_model(MlaConfig.mini(), seed).llm.lm_head.weight for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
