"""Thresholds that are carried over: a factor on all 3D features, as another model has it, changes nothing at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import exp, log

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tristage_ros.pruning import PruningConfig, Salience, TokenGeometry, TokenMasks, TriStagePruner
from tristage_ros.pruning.calibration import TraceStep, magnitudes_of
from tristage_ros.pruning.scale import PAPER_MEAN, Magnitudes, carried_threshold, compare_magnitudes, odds

Scene = Callable[[int], tuple[TokenGeometry, list[Salience]]]
Run = Callable[..., list[TokenMasks]]
PRESETS = {
    "paper": PruningConfig(tau_2d=0.07, tau_3d=0.13),
    "robot": replace(PruningConfig.robot(), change_guard=None, change_guard_depth=None, refresh_every=5),
    "stage 1 alone": PruningConfig(stages=frozenset({1, 3})),
    "no prediction": PruningConfig(stages=frozenset({1, 2})),
}


def louder(steps: list[Salience], factor: float) -> list[Salience]:
    return [replace(salience, feature_3d=salience.feature_3d.double() * factor) for salience in steps]


def measured(geometry: TokenGeometry, steps: list[Salience]) -> Magnitudes:
    return magnitudes_of([TraceStep(geometry, salience) for salience in steps])


@pytest.mark.parametrize("at_the_first_look", [False, True])
@pytest.mark.parametrize("preset", PRESETS)
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000), exponent=st.floats(-12, 12))
def test_a_factor_on_the_3d_features_leaves_every_mask_of_a_run_as_it_was(
    preset: str, at_the_first_look: bool, seed: int, exponent: float, scene: Scene, run: Run
) -> None:
    config = PRESETS[preset]
    geometry, steps = scene(seed)
    masks = []
    for shown in (steps, louder(steps, exp(exponent))):
        scale = None if at_the_first_look else measured(geometry, shown).scale
        masks.append(run(TriStagePruner(config.carried(scale)), geometry, shown))
    for before, after in zip(*masks, strict=True):
        assert torch.equal(before.keep_2d, after.keep_2d) and torch.equal(before.keep_3d, after.keep_3d)


def test_with_published_thresholds_the_factor_decides_everything(scene: Scene, run: Run) -> None:
    geometry, steps = scene(3)
    config = PruningConfig(stages=frozenset({1, 3}))
    quiet, loud = (run(TriStagePruner(config), geometry, louder(steps, f))[-1] for f in (1e-4, 1e4))
    on_image = geometry.patch_of_point >= 0
    assert quiet.keep_2d.all() and not quiet.keep_3d[on_image].any()
    assert loud.keep_3d.all() and not loud.keep_2d[geometry.has_points].any()


@pytest.mark.parametrize("scale", [0.03, 1.0, 38.0])
def test_of_a_single_look_it_is_the_rule_for_thresholds(scale: float, scene: Scene) -> None:
    geometry, steps = scene(5)
    config = PruningConfig(stages=frozenset({1}))
    taus = config.raw_thresholds(scale)
    assert [odds(t) for t in taus] == pytest.approx([scale * odds(0.08), scale * odds(0.20)])
    ruled = replace(config, tau_2d=taus[0], tau_3d=taus[1])
    masks = []
    for settings_ in (config.carried(scale), ruled):
        pruner = TriStagePruner(settings_)
        pruner.observe(geometry, pruner.plan(geometry), louder(steps[:1], 5.0)[0])
        masks.append(pruner.plan(geometry))
    assert torch.equal(masks[0].keep_2d, masks[1].keep_2d) and torch.equal(masks[0].keep_3d, masks[1].keep_3d)
    assert [carried_threshold(tau, scale) for tau in (0.0, 1.0)] == [0.0, 1.0]


def test_a_scale_is_the_mean_logit_over_bearing_patches_beside_either_reading_of_the_papers() -> None:
    nan = torch.nan
    found = compare_magnitudes(torch.tensor([[1.0, 2.0, 4.0, nan, 1.0], [4.0, 32.0, 0.0, 1.0, nan]]))
    assert found is not None
    assert (found.mean_logit, found.bearing, found.patches) == pytest.approx((log(8.0), 0.4, 2))
    assert found.scale == pytest.approx(8.0 * 9.0)
    assert found.scale_if_empty_count == pytest.approx(8.0 * 3.0)  # 0.1 over all is 0.25 over 0.4 of them
    with pytest.raises(ValueError, match=r"share of 0\.090"):
        _ = replace(found, bearing=PAPER_MEAN - 0.01).scale_if_empty_count
    assert compare_magnitudes(torch.tensor([[1.0, nan], [0.0, 2.0]])) is None


def test_the_first_look_gives_the_scale_once_and_a_reset_leaves_it(scene: Scene) -> None:
    geometry, steps = scene(7)
    pruner = TriStagePruner(PruningConfig().carried())
    everything = TokenMasks.all_kept(geometry)
    assert pruner.scale is None
    empty = replace(geometry, patch_of_point=torch.full_like(geometry.patch_of_point, -1))
    pruner.observe(empty, everything, steps[0])
    assert pruner.scale is None, "nothing was seen of it"
    pruner.reset()
    pruner.observe(geometry, everything, steps[1])
    assert pruner.scale == pytest.approx(measured(geometry, steps[1:2]).scale)
    found = pruner.scale
    pruner.reset()
    pruner.observe(geometry, everything, louder(steps, 9.0)[2])
    assert pruner.scale == found
    kept = TriStagePruner(PruningConfig().carried(), {"lm_head": 2.0, "pre_norm": 3.0})
    kept.observe(geometry, everything, steps[0])
    assert kept.scale == 2.0 and TriStagePruner(PruningConfig(), {"lm_head": 2.0}).scale == 1.0


def test_another_unit_begins_anew_and_what_is_reported_is_in_none(scene: Scene) -> None:
    geometry, steps = scene(8)
    everything = TokenMasks.all_kept(geometry)
    literal, carried = TriStagePruner(), TriStagePruner(PruningConfig().carried(30.0))
    for pruner in (literal, carried):
        pruner.observe(geometry, everything, steps[0])
    shares = [(r.salience_2d_stage1, r.salience_3d_stage1) for r in (literal.report(), carried.report())]
    assert shares[0] == shares[1]
    assert not carried.configure(replace(carried.config, tau_3d=0.3))
    assert carried.configure(carried.config.carried(31.0)) and carried.state_dict()["patches"] is None
