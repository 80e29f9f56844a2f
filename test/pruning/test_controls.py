"""Controls: tri-stage pruning without its stages, with a fixed split, and one modality alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from tristage_ros.pruning import FrameContext, PruningConfig, Salience, TokenGeometry, TokenMasks, TriStagePruner
from tristage_ros.pruning.baselines import AttentionTopK, FixedSplit, OneModality

Scene = Callable[[int], tuple[TokenGeometry, list[Salience]]]
Run = Callable[..., list[TokenMasks]]
HALF = PruningConfig(target_rate=0.5, token_bucket=1)
UNGUARDED = replace(PruningConfig.robot(), change_guard=None, change_guard_depth=None, max_age=None, refresh_every=None)


def test_attention_alone_keeps_the_tokens_of_the_highest_attention(scene: Scene) -> None:
    """Seen whole once, the budget is a plain ranking of what every token received."""
    geometry, steps = scene(1)
    geometry = TokenGeometry(geometry.patch_of_point.clamp(min=0), geometry.patches)
    pruner = AttentionTopK(HALF)
    pruner.observe(geometry, TokenMasks.all_kept(geometry), steps[0])
    pruner.begin_step()
    masks = pruner.plan(geometry)
    of_2d, of_3d = steps[0].attention_2d.sum(1).double(), steps[0].attention_3d.sum(1).double()
    inside = [geometry.patch_of_point == patch for patch in geometry.patch_of_point]
    score = torch.cat([of_2d, torch.stack([of_3d[same].mean() for same in inside])])  # a patch's tokens share
    order = score.sort(descending=True, stable=True).indices[:72]
    kept = torch.cat([masks.keep_2d, masks.keep_3d])
    assert int(kept.sum()) == 72
    assert float(score[kept].min()) >= float(score[~kept].max())
    assert len(set(order.tolist()) & set(kept.nonzero()[:, 0].tolist())) >= 70  # but for ties at the border


@pytest.mark.parametrize("share", [True, False])
def test_only_the_stages_are_missing(share: bool, scene: Scene, run: Run, still: FrameContext) -> None:
    """What is smoothed adds up to the attention that tri-stage pruning smooths, pruned tokens included."""
    geometry, steps = scene(2)
    config = replace(PruningConfig.robot(), target_rate=0.6, attention_share=share, stages=frozenset({3}))
    pruner, plain = AttentionTopK(config), TriStagePruner(config)
    for salience in steps:
        for which in (pruner, plain):
            which.begin_step()
        masks = pruner.plan(geometry, still)
        plain.plan(geometry, still)
        for which in (pruner, plain):
            which.observe(geometry, masks, salience)
        assert pruner._smoothed is not None and plain._state is not None
        torch.testing.assert_close(pruner._smoothed.sum(0), plain._state.predicted.attention, rtol=1e-5, atol=1e-6)


def test_other_settings_bring_no_stages_back() -> None:
    pruner = AttentionTopK(HALF)
    pruner.configure(PruningConfig.robot())
    assert pruner.config == replace(PruningConfig.robot(), stages=frozenset({3}))


@pytest.mark.parametrize(("share", "kept"), [(0.75, (33, 11)), (0.5, (22, 22)), (0.25, (11, 33)), (1.0, (44, 0))])
def test_a_split_is_exact(share: float, kept: tuple[int, int], scene: Scene, run: Run) -> None:
    geometry, steps = scene(3)
    geometry = TokenGeometry(geometry.patch_of_point.clamp(min=0), geometry.patches)  # nothing has to be kept
    config = replace(UNGUARDED, token_bucket=1, target_rate=1 - 44 / 144)
    for masks in run(FixedSplit(config, share_2d=share), geometry, steps)[1:]:
        assert (int(masks.keep_2d.sum()), int(masks.keep_3d.sum())) == kept


def test_what_a_modality_has_not_goes_to_the_other(scene: Scene, run: Run) -> None:
    geometry, steps = scene(4)
    geometry = TokenGeometry(geometry.patch_of_point.clamp(min=0), geometry.patches)
    config = replace(UNGUARDED, token_bucket=1, target_rate=1 - 100 / 144)
    for share, kept in ((1.0, (64, 36)), (0.0, (20, 80))):
        for masks in run(FixedSplit(config, share_2d=share), geometry, steps)[1:]:
            assert (int(masks.keep_2d.sum()), int(masks.keep_3d.sum())) == kept


def test_within_a_modality_a_split_ranks_as_tri_stage_does(scene: Scene) -> None:
    """With the split that tri-stage pruning comes to by itself, the masks are the same."""
    geometry, steps = scene(5)
    config = replace(UNGUARDED, target_rate=0.6)
    free = TriStagePruner(config)
    free.observe(geometry, TokenMasks.all_kept(geometry), steps[0])
    free.begin_step()
    masks = free.plan(geometry)
    split = FixedSplit(config, share_2d=float(masks.keep_2d.sum()) / 64)
    split.load_state_dict(free.state_dict())
    planned = split.plan(geometry)
    assert torch.equal(planned.keep_2d, masks.keep_2d) and torch.equal(planned.keep_3d, masks.keep_3d)


@pytest.mark.parametrize("modality", ["2D", "3D"])
def test_one_modality_alone_is_all_there_is(modality: str, scene: Scene, run: Run, still: FrameContext) -> None:
    geometry, steps = scene(6)
    pruner = OneModality(PruningConfig.robot(), modality=modality)  # type: ignore[arg-type]
    for masks in run(pruner, geometry, steps[:3], still):
        assert bool(masks.keep_2d.all()) == bool(masks.keep_2d.any()) == (modality == "2D")
        assert bool(masks.keep_3d.all()) == bool(masks.keep_3d.any()) == (modality == "3D")
    assert pruner.report().pruned
