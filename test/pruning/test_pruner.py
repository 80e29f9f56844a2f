from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from tristage_ros.pruning import FrameContext, PruningConfig, Salience, TokenGeometry, TokenMasks, TriStagePruner

Scene = Callable[[int], tuple[TokenGeometry, list[Salience]]]
HidePruned = Callable[[Salience, TokenMasks], Salience]
Run = Callable[..., list[TokenMasks]]


def same(first: TokenMasks, second: TokenMasks) -> bool:
    return torch.equal(first.keep_2d, second.keep_2d) and torch.equal(first.keep_3d, second.keep_3d)


def complete(masks: TokenMasks) -> bool:
    return bool(masks.keep_2d.all() and masks.keep_3d.all())


@pytest.mark.parametrize("config", [PruningConfig.paper(), PruningConfig(target_rate=0.9)])
def test_first_step_keeps_all_also_after_reset(config: PruningConfig, scene: Scene, run: Run) -> None:
    geometry, steps = scene(0)
    pruner = TriStagePruner(config)
    first = run(pruner, geometry, steps)
    assert complete(first[0])
    assert not any(complete(masks) for masks in first[1:])
    pruner.reset()
    assert all(map(same, first, run(pruner, geometry, steps)))


def test_steps_begin_by_themselves(scene: Scene, run: Run, hide_pruned: HidePruned) -> None:
    geometry, steps = scene(1)
    expected = run(TriStagePruner(), geometry, steps)
    pruner = TriStagePruner()
    for salience, masks in zip(steps, expected, strict=True):
        assert same(pruner.plan(geometry), masks)
        assert same(pruner.plan(geometry), masks)  # planning again changes nothing
        pruner.observe(geometry, masks, hide_pruned(salience, masks))
    assert pruner.report().step == len(steps)


def test_permuting_points_permutes_their_mask_only(scene: Scene, run: Run) -> None:
    geometry, steps = scene(3)
    order = torch.randperm(len(geometry.patch_of_point), generator=torch.Generator().manual_seed(0))
    shuffled = TokenGeometry(geometry.patch_of_point[order], geometry.patches)
    shuffled_steps = [
        replace(step, feature_3d=step.feature_3d[order], attention_3d=step.attention_3d[order]) for step in steps
    ]
    straight = run(TriStagePruner(), geometry, steps)
    for masks, permuted in zip(straight, run(TriStagePruner(), shuffled, shuffled_steps), strict=True):
        assert torch.equal(masks.keep_2d, permuted.keep_2d)
        assert torch.equal(masks.keep_3d[order], permuted.keep_3d)


def test_state_is_kept_per_patch_when_tokens_come_and_go(scene: Scene, run: Run) -> None:
    geometry, steps = scene(4)
    pruner = TriStagePruner()
    run(pruner, geometry, steps)
    patch = int(geometry.patch_of_point.max())
    moved = TokenGeometry(torch.tensor([patch, -1, 0]), geometry.patches)
    masks = pruner.plan(moved)
    assert masks.keep_3d.shape == (3,)
    assert masks.keep_3d[1]
    empty = TokenGeometry(torch.zeros(0, dtype=torch.long), geometry.patches)
    masks = pruner.plan(empty)
    assert masks.keep_2d.any()
    assert masks.keep_3d.shape == (0,)


def test_empty_patch_keeps_2d_at_least_and_never_3d_alone() -> None:
    geometry = TokenGeometry(torch.tensor([0, 1, 2]), 4)
    ones = Salience(torch.ones(4) * 0.1, torch.ones(3), torch.ones(4, 2), torch.ones(3, 2))
    pruner = TriStagePruner(PruningConfig(stages=frozenset({1, 3})))
    pruner.observe(geometry, TokenMasks.all_kept(geometry), ones)
    assert pruner.plan(geometry).keep_2d.tolist() == [False, False, False, True]  # 3 is empty, the others {3D}
    pruner.observe(geometry, TokenMasks.all_kept(geometry), ones)
    assert pruner.plan(TokenGeometry(torch.tensor([0, 1, -1]), 4)).keep_2d.tolist() == [False, False, True, True]


@pytest.mark.parametrize("stages", [{1}, {2}, {1, 2}])
def test_without_stage_3_a_step_is_planned_from_itself(stages: set[int], scene: Scene) -> None:
    geometry, steps = scene(7)
    pruner = TriStagePruner(PruningConfig(stages=frozenset(stages)))
    for number, salience in enumerate(steps, start=1):
        pruner.begin_step()
        full = pruner.plan(geometry)
        assert complete(full)
        pruner.observe(geometry, full, salience)
        masks = pruner.plan(geometry)
        assert not complete(masks)
        assert same(masks, pruner.plan(geometry))
        assert pruner.report().step == number
        assert pruner.report().ema_changed == 0
        if 2 not in stages:  # nothing random: the same from a pruner without a past
            fresh = TriStagePruner(pruner.config)
            fresh.observe(geometry, full, salience)
            assert same(masks, fresh.plan(geometry))


@pytest.mark.parametrize("stages", [set(), {3}])
def test_no_stage_prunes_nothing(stages: set[int], scene: Scene, run: Run) -> None:
    geometry, steps = scene(7)
    assert all(map(complete, run(TriStagePruner(PruningConfig(stages=frozenset(stages))), geometry, steps)))


@pytest.mark.parametrize(
    "config", [PruningConfig.paper(), PruningConfig.robot(), PruningConfig(stages=frozenset({1, 2}))]
)
@pytest.mark.parametrize("cut", ["between steps", "within a step"])
def test_saving_and_restoring_changes_nothing(
    config: PruningConfig, cut: str, scene: Scene, still: FrameContext, run: Run, hide_pruned: HidePruned
) -> None:
    geometry, steps = scene(15)
    pruner, restored = TriStagePruner(config), TriStagePruner(config)
    run(pruner, geometry, steps[:5], still)
    pruner.begin_step()
    masks = pruner.plan(geometry, still)
    if cut == "between steps":
        pruner.observe(geometry, masks, hide_pruned(steps[5], masks))
    file = io.BytesIO()
    torch.save(pruner.state_dict(), file)
    file.seek(0)
    restored.load_state_dict(torch.load(file, weights_only=True))
    for each in (pruner, restored):
        if cut == "within a step":
            each.observe(geometry, masks, hide_pruned(steps[5], masks))
        each.planned = run(each, geometry, steps[6:], still)  # type: ignore[attr-defined]
    assert all(map(same, pruner.planned, restored.planned))  # type: ignore[attr-defined]
    before, after = pruner.report(), restored.report()
    assert torch.equal(before.semantic_set, after.semantic_set)
    blank = {"semantic_set": torch.zeros(0), "milliseconds": {}}
    assert str(replace(before, **blank)) == str(replace(after, **blank))


OTHERWISE = replace(
    PruningConfig.robot(), tau_2d=0.3, tau_3d=0.4, target_rate=0.4, beta=0.5, window=3, watch_share=None, max_age=3
)


@pytest.mark.parametrize("after", [OTHERWISE, replace(OTHERWISE, target_rate=None, stages=frozenset({2, 3}))])
def test_with_other_settings_the_state_stays(after: PruningConfig, scene: Scene, still: FrameContext, run: Run) -> None:
    geometry, steps = scene(16)
    turned, made_anew = TriStagePruner(PruningConfig.robot()), TriStagePruner(after)
    run(turned, geometry, steps[:6], still)
    made_anew.load_state_dict(turned.state_dict())
    unturned = TriStagePruner(PruningConfig.robot())
    unturned.load_state_dict(turned.state_dict())
    assert not turned.configure(after)
    got = run(turned, geometry, steps[6:], still)
    assert all(map(same, got, run(made_anew, geometry, steps[6:], still))) and not complete(got[0])
    assert not any(map(same, got, run(unturned, geometry, steps[6:], still)))


def test_features_of_another_kind_forget_everything(scene: Scene, run: Run) -> None:
    geometry, steps = scene(17)
    pruner = TriStagePruner()
    run(pruner, geometry, steps[:4])
    assert pruner.configure(PruningConfig(s1_feature="pre_norm"))
    assert complete(run(pruner, geometry, steps[4:5])[0]) and pruner.report().step == 1


def test_a_guard_that_was_off_remembers_nothing_from_before(scene: Scene, still: FrameContext, run: Run) -> None:
    geometry, steps = scene(18)
    guarded = PruningConfig(change_guard=0.1)
    pruner = TriStagePruner(guarded)
    run(pruner, geometry, steps[:3], still)
    pruner.configure(PruningConfig())
    run(pruner, geometry, steps[3:6])
    pruner.configure(guarded)
    assert still.color_mean is not None
    run(pruner, geometry, steps[6:7], FrameContext(still.color_mean + 0.3, still.depth_mean))
    assert pruner.report().changed_patches == 0
    run(pruner, geometry, steps[7:8], still)
    assert pruner.report().changed_patches > 0


def test_saved_state_is_a_copy(scene: Scene, run: Run) -> None:
    geometry, steps = scene(15)
    pruner = TriStagePruner()
    run(pruner, geometry, steps[:3])
    saved = pruner.state_dict()
    expected = pruner.plan(geometry)
    for tensor in saved["patches"].values():
        tensor.fill_(1)
    assert same(pruner.plan(geometry), expected)


def test_planning_a_step_again_needs_no_frame(scene: Scene, still: FrameContext) -> None:
    geometry, steps = scene(18)
    pruner = TriStagePruner(PruningConfig(stages=frozenset({1, 2}), change_guard=0.1))
    pruner.begin_step()
    masks = pruner.plan(geometry, still)
    pruner.observe(geometry, masks, steps[0])
    assert not complete(pruner.plan(geometry))
    pruner.begin_step()
    with pytest.raises(ValueError, match="color_mean = None"):
        pruner.plan(geometry)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("config", [PruningConfig.paper(), PruningConfig.robot()])
def test_cuda_gives_the_masks_of_the_cpu(config: PruningConfig, scene: Scene, still: FrameContext, run: Run) -> None:
    geometry, steps = scene(19)
    there = TokenGeometry(geometry.patch_of_point.cuda(), geometry.patches)
    steps_there = [Salience(*(tensor.cuda() for tensor in vars(step).values())) for step in steps]
    on_cpu = run(TriStagePruner(config), geometry, steps, still)
    on_cuda = run(TriStagePruner(config), there, steps_there, still)
    assert all(masks.keep_2d.is_cuda for masks in on_cuda)
    assert all(same(a, TokenMasks(b.keep_2d.cpu(), b.keep_3d.cpu())) for a, b in zip(on_cpu, on_cuda, strict=True))
