from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from tristage_ros.pruning import FrameContext, PruningConfig, Salience, TokenGeometry, TokenMasks, TriStagePruner
from tristage_ros.pruning.baselines import Weighted

Scene = Callable[[int], tuple[TokenGeometry, list[Salience]]]
HidePruned = Callable[[Salience, TokenMasks], Salience]
Run = Callable[..., list[TokenMasks]]
GUARDED = replace(PruningConfig.robot(), target_rate=None, refresh_every=None, max_age=None)


def same(first: TokenMasks, second: TokenMasks) -> bool:
    return torch.equal(first.keep_2d, second.keep_2d) and torch.equal(first.keep_3d, second.keep_3d)


def complete(masks: TokenMasks) -> bool:
    return bool(masks.keep_2d.all() and masks.keep_3d.all())


def tokens(masks: TokenMasks) -> int:
    return int(masks.keep_2d.sum() + masks.keep_3d.sum())


@pytest.mark.parametrize("rate", [0.3, 0.5, 0.7, 0.8])
@pytest.mark.parametrize("bucket", [1, 16])
def test_budget_is_exact(rate: float, bucket: int, scene: Scene, hide_pruned: HidePruned) -> None:
    geometry, steps = scene(6)
    pruner = TriStagePruner(PruningConfig(target_rate=rate, token_bucket=bucket))
    total = geometry.patches + len(geometry.patch_of_point)
    target = -(-round((1 - rate) * total) // bucket) * bucket
    for salience in steps:
        masks = pruner.plan(geometry)
        report = pruner.report()
        if report.pruned:
            assert tokens(masks) == min(total, target) + report.budget_excess
        pruner.observe(geometry, masks, hide_pruned(salience, masks))
    assert report.pruned


def test_protected_tokens_beyond_the_budget_are_kept_and_counted(run: Run) -> None:
    geometry = TokenGeometry(torch.tensor([-1, -1, 0, 1]), 4)
    pruner = TriStagePruner(PruningConfig(target_rate=0.9, token_bucket=1))
    equal = Salience(torch.ones(4), torch.ones(4) * 0.1, torch.ones(4, 2), torch.zeros(4, 2))
    run(pruner, geometry, [equal])  # equal attention: all object
    masks = pruner.plan(geometry)
    assert tokens(masks) == 1 + pruner.report().budget_excess
    assert masks.keep_2d.all()
    assert masks.keep_3d[:2].all()


def test_refresh_keeps_all_at_its_period(scene: Scene, run: Run) -> None:
    geometry, steps = scene(8)
    planned = run(TriStagePruner(PruningConfig(refresh_every=4)), geometry, steps)
    assert [complete(masks) for masks in planned] == [step % 4 == 0 for step in range(12)]


@pytest.mark.parametrize("max_age", [1, 3])
@pytest.mark.parametrize("rate", [None, 0.8])
def test_no_patch_stays_unseen_for_longer(max_age: int, rate: float | None, scene: Scene, run: Run) -> None:
    geometry, steps = scene(9)
    pruner = TriStagePruner(PruningConfig(max_age=max_age, background_drop=1.0, target_rate=rate))
    ages = []
    for salience in steps:
        run(pruner, geometry, [salience])
        ages.append(pruner.report().oldest_patch)
    assert max(ages) == max_age
    free = TriStagePruner(PruningConfig(background_drop=1.0))
    run(free, geometry, steps)
    assert free.report().oldest_patch == len(steps) - 1


def test_rotation_shows_every_background_patch_within_10_steps(scene: Scene, hide_pruned: HidePruned) -> None:
    geometry, steps = scene(10)
    pruner = TriStagePruner(PruningConfig(background_sampling="rotating", target_rate=0.95))
    unseen = torch.zeros(geometry.patches, dtype=torch.long)
    for salience in steps[:1] * 40:  # an unchanging scene, so that background stays background
        pruner.begin_step()
        masks = pruner.plan(geometry)
        background = pruner.report().semantic_set == 0 if not complete(masks) else torch.zeros(64, dtype=torch.bool)
        held = torch.zeros(geometry.patches + 1, dtype=torch.bool)
        held[geometry.patch_of_point[masks.keep_3d]] = True
        unseen = torch.where(background & ~(masks.keep_2d | held[:-1]), unseen + 1, 0)
        assert unseen.max() < 10
        pruner.observe(geometry, masks, hide_pruned(salience, masks))


def test_points_that_appear_in_an_empty_patch_are_seen(scene: Scene, hide_pruned: HidePruned) -> None:
    geometry, steps = scene(11)
    patch = 50  # of the half without 3D tokens
    appeared = TokenGeometry(torch.cat([geometry.patch_of_point, torch.tensor([patch])]), 64)
    salience = Salience(
        steps[0].feature_2d,
        torch.cat([steps[0].feature_3d, torch.tensor([9.0])]),
        steps[0].attention_2d,
        torch.cat([steps[0].attention_3d, torch.zeros(1, 4)]),
    )
    seen = {}
    for sampling in ("random", "rotating"):
        pruner = TriStagePruner(PruningConfig(background_sampling=sampling))
        pruner.observe(geometry, pruner.plan(geometry), steps[0])
        planned = []
        for _ in range(40):
            planned.append(pruner.plan(appeared))
            pruner.observe(appeared, planned[-1], hide_pruned(salience, planned[-1]))
        seen[sampling] = [bool(masks.keep_3d[-1]) for masks in planned]
    assert not any(seen["random"])  # stage 1 holds the patch for one without 3D, and is never told otherwise
    assert seen["rotating"][0]
    assert any(seen["rotating"][10:])  # M_3d has risen: its turn as background now shows the 3D token too


def test_rotation_protects_nothing_without_stage_2(scene: Scene, run: Run) -> None:
    geometry, steps = scene(10)
    random = PruningConfig(stages=frozenset({1, 3}), target_rate=0.9)
    rotating = replace(random, background_sampling="rotating")
    planned = run(TriStagePruner(random), geometry, steps), run(TriStagePruner(rotating), geometry, steps)
    assert all(map(same, *planned))


def test_change_guard_keeps_what_moved_until_it_was_seen(
    scene: Scene, still: FrameContext, run: Run, hide_pruned: HidePruned
) -> None:
    geometry, steps = scene(12)
    pruner = TriStagePruner(GUARDED)
    run(pruner, geometry, steps[:6], still)
    pruner.begin_step()
    hidden = (~pruner.plan(geometry, still).keep_2d).nonzero()[:3, 0]
    assert still.color_mean is not None
    color = still.color_mean.clone()
    color[hidden] += 13 / 255
    moved = replace(still, color_mean=color)
    masks = pruner.plan(geometry, moved)
    assert masks.keep_2d[hidden].all()
    assert masks.keep_3d[torch.isin(geometry.patch_of_point, hidden)].all()
    assert pruner.report().changed_patches == 3
    pruner.observe(geometry, masks, hide_pruned(steps[6], masks))
    pruner.plan(geometry, moved)
    assert pruner.report().changed_patches == 0


def test_change_guard_adds_up_slow_motion(scene: Scene, still: FrameContext, run: Run, hide_pruned: HidePruned) -> None:
    geometry, steps = scene(13)
    pruner = TriStagePruner(replace(GUARDED, background_drop=1.0))
    assert still.color_mean is not None
    run(pruner, geometry, steps[:1], still)
    unseen = torch.ones(64, dtype=torch.bool)
    caught = []
    for shift in (5, 10, 15):
        frame = replace(still, color_mean=still.color_mean + shift / 255)
        masks = pruner.plan(geometry, frame)
        caught.append(bool(masks.keep_2d[unseen].all()))
        unseen &= ~masks.keep_2d
        pruner.observe(geometry, masks, hide_pruned(steps[1], masks))
    assert caught == [False, False, True]


def test_guard_sees_depth_and_survives_its_absence(scene: Scene, still: FrameContext, run: Run) -> None:
    geometry, steps = scene(14)
    pruner = TriStagePruner(GUARDED)
    run(pruner, geometry, steps[:3], still)
    nearer = replace(still, depth_mean=torch.full((64,), 0.4))
    masks = pruner.plan(geometry, nearer)
    assert masks.keep_2d.all()
    assert masks.keep_3d.all()
    assert not complete(pruner.plan(geometry, replace(still, depth_mean=None)))
    assert not complete(pruner.plan(geometry, replace(still, depth_mean=torch.full((64,), torch.nan))))


def test_each_modality_remembers_what_it_saw(still: FrameContext, run: Run, hide_pruned: HidePruned) -> None:
    geometry = TokenGeometry(torch.tensor([0, 1]), 64)
    salience = Salience(torch.ones(64), torch.ones(2), torch.ones(64, 1), torch.ones(2, 1))
    pruner = TriStagePruner(GUARDED)
    run(pruner, geometry, [salience], still)
    moved = FrameContext(torch.full((64, 3), 0.9), torch.full((64,), 0.9))
    masks = TokenMasks(torch.arange(64) != 1, torch.tensor([False, True]))  # 0 without 3D, 1 without 2D, 2.. are empty
    pruner.observe(geometry, masks, hide_pruned(salience, masks), moved)
    seen = pruner.state_dict()["seen"]
    assert seen["color"][:3, 0].tolist() == pytest.approx([0.9, 0.5, 0.9])
    assert seen["depth"][:3].tolist() == pytest.approx([0.5, 0.9, 0.9])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rate", [None, 0.5, 0.95])
def test_invariants_of_every_step(seed: int, rate: float | None, scene: Scene, hide_pruned: HidePruned) -> None:
    geometry, steps = scene(seed)
    pruner = TriStagePruner(PruningConfig(target_rate=rate, seed=seed))
    for salience in steps:
        masks = pruner.plan(geometry)
        assert masks.keep_2d.any()
        assert masks.keep_3d[geometry.patch_of_point < 0].all()
        if complete(masks):
            pruner.observe(geometry, masks, salience)
            continue
        objects = pruner.report().semantic_set == 2
        held = torch.zeros(geometry.patches + 1, dtype=torch.bool)
        held[geometry.patch_of_point[masks.keep_3d]] = True  # -1 goes to the spare last place
        assert (masks.keep_2d | held[:-1])[objects].all()
        pruner.observe(geometry, masks, hide_pruned(salience, masks))


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_what_is_watched_takes_no_more_than_its_share(
    share: float, scene: Scene, still: FrameContext, run: Run
) -> None:
    geometry, steps = scene(15)
    config = replace(PruningConfig.robot(), target_rate=0.5, token_bucket=1, refresh_every=None)
    attentive = TriStagePruner(replace(config, watch_share=0.0))
    run(attentive, geometry, steps[:6], still)
    pruner = TriStagePruner(replace(config, watch_share=share))
    pruner.load_state_dict(attentive.state_dict())
    assert still.color_mean is not None
    moved = replace(still, color_mean=still.color_mean + 0.2)  # everywhere
    wanted, masks = attentive.plan(geometry, moved), pruner.plan(geometry, moved)
    size = tokens(wanted)
    assert tokens(masks) == size
    assert pruner.report().budget_excess == 0
    both = int((wanted.keep_2d & masks.keep_2d).sum() + (wanted.keep_3d & masks.keep_3d).sum())
    assert size - both <= round(share * size)
    assert (size - both > 0) == (share > 0)


def test_changed_patches_beyond_the_share_wait_for_their_turn(
    scene: Scene, still: FrameContext, run: Run, hide_pruned: HidePruned
) -> None:
    geometry, steps = scene(16)
    config = replace(PruningConfig.robot(), token_bucket=1, refresh_every=None, max_age=None, watch_share=0.25)
    pruner = TriStagePruner(config)
    run(pruner, geometry, steps[:6], still)
    assert still.color_mean is not None
    moved = replace(still, color_mean=still.color_mean + 0.2)
    waiting = []
    for salience in steps[6:12] * 3:
        masks = pruner.plan(geometry, moved)
        waiting.append(pruner.report().changed_patches)
        pruner.observe(geometry, masks, hide_pruned(salience, masks))
    assert waiting[0] == 64
    assert waiting == sorted(waiting, reverse=True)
    assert waiting[-1] == 0


def test_neither_changed_nor_due_patches_wait_for_ever(
    scene: Scene, still: FrameContext, run: Run, hide_pruned: HidePruned
) -> None:
    geometry, steps = scene(17)
    pruner = TriStagePruner(replace(PruningConfig.robot(), token_bucket=1, refresh_every=None, watch_share=0.25))
    run(pruner, geometry, steps[:6], still)
    assert still.color_mean is not None
    color, ages = still.color_mean.clone(), []
    for step in range(60):  # half of the view changes in every step
        color[:32] = 0.2 + 0.5 * (step % 2)
        frame = replace(still, color_mean=color.clone())
        masks = pruner.plan(geometry, frame)
        salience = steps[step % len(steps)]
        pruner.observe(geometry, masks, hide_pruned(salience, masks), frame)
        ages.append(pruner.report().oldest_patch)
    assert max(ages) <= 30


def test_what_the_stages_drop_competes_with_its_attention() -> None:
    geometry = TokenGeometry(torch.arange(8), 8)
    ones = torch.ones(8)
    attention = torch.tensor([[8.0], [7], [6], [5], [4], [3], [2], [1]])
    salience = Salience(ones, 9 * ones, attention / 2, attention / 2)  # stage 1 makes every patch 3D only
    config = PruningConfig(target_rate=0.5, token_bucket=1, stages=frozenset({1, 3}))
    kept = {}
    for weight in (None, 0.0, 0.6, 1.0):
        pruner = Weighted(config, dropped=weight, points=1.0)
        pruner.observe(geometry, pruner.plan(geometry), salience)
        masks = pruner.plan(geometry)
        kept[weight] = masks.keep_2d.nonzero()[:, 0].tolist(), masks.keep_3d.nonzero()[:, 0].tolist()
    assert kept[None] == kept[0.0] == ([0], [0, 1, 2, 3, 4, 5, 6])  # one 2D token always
    assert kept[0.6] == ([0, 1, 2], [0, 1, 2, 3, 4])  # 0.6 * 6 exceeds 3
    assert kept[1.0] == ([0, 1, 2, 3], [0, 1, 2, 3])


def test_3d_tokens_compete_with_their_weight() -> None:
    geometry = TokenGeometry(torch.arange(8), 8)
    ones = torch.ones(8)
    attention = torch.tensor([[8.0], [7], [6], [5], [4], [3], [2], [1]])
    salience = Salience(ones, ones, attention / 2, attention / 2)
    kept = {}
    for weight in (0.0, 0.6, 1.0, 3.0):
        config = PruningConfig(target_rate=0.5, token_bucket=1, stages=frozenset({3}))
        pruner = Weighted(config, dropped=None, points=weight)
        pruner.observe(geometry, pruner.plan(geometry), salience)
        masks = pruner.plan(geometry)
        kept[weight] = masks.keep_2d.nonzero()[:, 0].tolist(), masks.keep_3d.nonzero()[:, 0].tolist()
    assert kept[0.0] == (list(range(8)), [])
    assert kept[0.6] == ([0, 1, 2, 3, 4], [0, 1, 2])  # 4 exceeds 0.6 * 5
    assert kept[1.0] == ([0, 1, 2, 3], [0, 1, 2, 3])
    assert kept[3.0] == ([0, 1], [0, 1, 2, 3, 4, 5])
