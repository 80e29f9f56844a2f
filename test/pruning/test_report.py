from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from tristage_ros.pruning import PruningConfig, PruningReport, Salience, TokenGeometry, TokenMasks, TriStagePruner

Scene = Callable[[int], tuple[TokenGeometry, list[Salience]]]


@pytest.fixture
def four() -> tuple[TokenGeometry, Salience]:
    """One object, one robot, two background patches; 3D in the first three."""
    geometry = TokenGeometry(torch.tensor([0, 1, 2, -1]), 4)
    salience = Salience(
        feature_2d=torch.tensor([1.0, 3.0, 9.9, 1.0]),
        feature_3d=torch.tensor([1.0, 1.0, 0.1, 1.0]),  # M_3d 0.5, 0.25, 0.01, 0
        attention_2d=torch.tensor([[6.0, 0.0], [2.0, 0.0], [0.5, 0.0], [0.25, 0.0]]),
        attention_3d=torch.tensor([[0.0, 2.0], [2.0, 0.0], [0.0, 0.0], [9.0, 9.0]]),
    )
    return geometry, salience


@pytest.mark.parametrize("stages", [{1, 3}, {1, 2, 3}])
def test_what_is_left_of_the_patches_with_points(stages: set[int], scene: Scene) -> None:
    """Without budget and guard that is what the masks keep of them."""
    geometry, steps = scene(21)
    geometry = TokenGeometry(geometry.patch_of_point.clamp(min=0), geometry.patches)
    pruner = TriStagePruner(PruningConfig(tau_2d=0.2, tau_3d=0.4, stages=frozenset(stages)))
    pruner.observe(geometry, pruner.plan(geometry), steps[0])
    masks, report = pruner.plan(geometry), pruner.report()
    bearing = set(geometry.patch_of_point.tolist())
    points = {p: bool(masks.keep_3d[geometry.patch_of_point == p].all()) for p in bearing}
    kinds = [(bool(masks.keep_2d[p]), points[p]) for p in bearing]
    wanted = [kinds.count(kind) / len(bearing) for kind in ((True, False), (True, True), (False, True))]
    assert [report.fused_only_2d, report.fused_both, report.fused_only_3d] == pytest.approx(wanted)
    first = [report.stage1_only_2d, report.stage1_both, report.stage1_only_3d]
    assert sum(first) == pytest.approx(1.0) and min(first) > 0.0
    assert stages != {1, 3} or first == pytest.approx(wanted)


def test_nothing_to_report_at_first() -> None:
    report = TriStagePruner().report()
    assert (report.step, report.pruned, report.tokens_2d, report.set_sizes) == (0, False, 0, (0, 0, 0))
    assert set(report.milliseconds) == {"stage1", "stage2", "stage3", "fusion"}


def test_numbers_of_a_small_scene(four: tuple[TokenGeometry, Salience]) -> None:
    geometry, salience = four
    pruner = TriStagePruner(PruningConfig(background_drop=1.0))
    pruner.observe(geometry, pruner.plan(geometry), salience)
    first = pruner.report()
    assert (first.step, first.pruned, first.rate, first.tokens_2d, first.tokens_3d) == (1, False, 0, 4, 4)
    assert first.semantic_set.tolist() == [2, 1, 0, 0]
    masks = pruner.plan(geometry)
    report = pruner.report()
    assert (report.step, report.pruned) == (2, True)
    # Stage 1: {3D} {3D} {2D} {2D}; stage 2: object both; robot M_3d 0 and M_2d 0.5 below the means: nothing.
    assert (report.stage1_rate_2d, report.stage1_rate_3d) == (0.5, 0.25)
    assert (report.stage2_rate_2d, report.stage2_rate_3d) == (0.75, 0.5)
    assert (report.fused_rate_2d, report.fused_rate_3d) == (1.0, 0.5)
    assert (report.rate_2d, report.rate_3d, report.rate) == (0.75, 0.5, 0.625)  # one 2D token survives
    assert (report.tokens_2d, report.tokens_3d) == (int(masks.keep_2d.sum()), int(masks.keep_3d.sum())) == (1, 2)
    assert (report.salience_2d_stage1, report.salience_3d_stage1) == pytest.approx((0.81, 0.19))
    assert (report.salience_2d_stage2, report.salience_3d_stage2) == pytest.approx((3.25 / 4, 0.25 / 4))
    assert report.set_sizes == (2, 1, 1)
    assert report.salience_2d_by_set == pytest.approx((1.0, 0.5, 0.75))
    assert report.salience_3d_by_set == pytest.approx((0.0, 0.0, 0.25))
    assert (report.ema_changed, report.changed_patches, report.budget_excess) == (0, 0, 0)
    assert report.oldest_patch == 1
    assert report.milliseconds["stage2"] > 0


def test_smoothing_that_changes_candidates_is_counted(four: tuple[TokenGeometry, Salience]) -> None:
    geometry, salience = four
    pruner = TriStagePruner(PruningConfig(stages=frozenset({1, 3})))
    flipped = Salience(
        torch.tensor([9.9, 3.0, 9.9, 1.0]),
        torch.tensor([0.1, 1.0, 0.1, 1.0]),
        salience.attention_2d,
        salience.attention_3d,
    )
    everything = TokenMasks.all_kept(geometry)
    pruner.observe(geometry, everything, salience)
    pruner.observe(geometry, everything, flipped)  # M_3d of patch 0: raw 0.01, smoothed 0.255
    masks = pruner.plan(geometry)
    assert masks.keep_2d.tolist() == [False, False, True, True]
    assert pruner.report().ema_changed == 0.25


def test_refresh_reports_what_the_stages_wanted(scene: Scene) -> None:
    geometry, steps = scene(20)
    pruner = TriStagePruner(PruningConfig(refresh_every=2, target_rate=0.99, token_bucket=1))
    excess = []
    for salience in steps[:3]:
        masks = pruner.plan(geometry)
        report = pruner.report()
        excess.append(report.budget_excess)
        pruner.observe(geometry, masks, salience)
    assert (report.step, report.pruned, report.rate) == (3, False, 0)
    assert [number > 0 for number in excess] == [False, True, False]
    assert report.fused_rate_2d > 0


def test_masks_of_others_are_reported(scene: Scene) -> None:
    geometry, steps = scene(21)
    pruner = TriStagePruner()
    masks = TokenMasks(torch.arange(64) < 16, torch.arange(80) < 40)
    pruner.observe(geometry, masks, steps[0])
    report = pruner.report()
    assert (report.rate_2d, report.rate_3d, report.tokens_2d, report.tokens_3d) == (0.75, 0.5, 16, 40)


def test_every_field_is_filled(scene: Scene) -> None:
    geometry, steps = scene(22)
    pruner = TriStagePruner(PruningConfig(target_rate=0.95, token_bucket=1))
    for salience in steps:
        pruner.observe(geometry, pruner.plan(geometry), salience)
    report, blank = vars(pruner.report()), vars(PruningReport())
    untouched = {name for name in blank if name != "semantic_set" and report[name] == blank[name]}
    assert untouched <= {"changed_patches", "ema_changed", "fused_both"}  # no patch kept both
