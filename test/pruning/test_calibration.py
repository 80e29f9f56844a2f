from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from tristage_ros.pruning import PruningConfig, Salience, TokenGeometry, TokenMasks, TriStagePruner
from tristage_ros.pruning.calibration import TraceStep, calibrate, carry_over, magnitudes_of

Scene = Callable[[int], tuple[TokenGeometry, list[Salience]]]


@pytest.fixture
def trace(scene: Scene) -> list[TraceStep]:
    geometry, steps = scene(30)
    return [TraceStep(geometry, salience) for salience in steps]


def applied(config: PruningConfig, trace: list[TraceStep]) -> float:
    """Return the rate that a pruner reaches on the trace when every step is observed in full."""
    pruner, kept = TriStagePruner(config), []
    for step in trace:
        pruner.begin_step()
        everything = TokenMasks.all_kept(step.geometry)
        masks = pruner.plan(step.geometry)
        pruner.observe(step.geometry, everything, step.salience)
        if 3 not in config.stages:
            masks = pruner.plan(step.geometry)
        kept.append(torch.cat([masks.keep_2d, masks.keep_3d]))
    return 1 - float(torch.stack(kept[3 in config.stages :]).float().mean())


@pytest.mark.parametrize("stages", [{1}, {1, 2}, {1, 3}, {1, 2, 3}])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_the_pruner_reaches_the_wanted_rate(stages: set[int], share: float, trace: list[TraceStep]) -> None:
    config = PruningConfig(stages=frozenset(stages))
    wide, narrow = replace(config, tau_2d=0.0, tau_3d=1.0), replace(config, tau_2d=0.2, tau_3d=0.2)
    least, most = applied(wide, trace), applied(narrow, trace)
    wanted = least + share * (most - least)
    result = calibrate(trace, config, wanted)
    assert applied(result.config, trace) == pytest.approx(wanted, abs=0.01)
    assert result.after.rate == pytest.approx(applied(result.config, trace), abs=1e-6)
    assert result.before.rate == pytest.approx(applied(config, trace), abs=1e-6)
    assert replace(result.config, tau_2d=config.tau_2d, tau_3d=config.tau_3d) == config


def test_an_episode_begins_without_the_one_before(scene: Scene) -> None:
    parts = [[TraceStep(geometry, salience) for salience in steps] for geometry, steps in (scene(30), scene(31))]
    joined = [replace(step, begins=n == 0) for part in parts for n, step in enumerate(part)]
    config = PruningConfig()
    alone = [calibrate(part, config, calibrate(part, config, 0.6).before.rate).m_3d for part in parts]
    together = calibrate(joined, config, calibrate(joined, config, 0.6).before.rate)
    torch.testing.assert_close(together.m_3d, torch.cat(alone))
    carried = calibrate([*parts[0], *parts[1]], config, 0.6).m_3d
    assert len(carried) > len(together.m_3d)


def test_quantiles_are_of_bearing_patches_and_means_of_both(trace: list[TraceStep]) -> None:
    result = calibrate(trace, PruningConfig(stages=frozenset({1})), 0.3)
    shares = []
    for step in trace:
        index, salience = step.geometry.patch_of_point, step.salience
        for patch in range(step.geometry.patches):
            own = salience.feature_3d[index == patch]
            shares.append(float(own.mean() / (own.mean() + salience.feature_2d[patch])) if len(own) else None)
    bearing = [share for share in shares if share is not None]
    assert result.m_3d.tolist() == pytest.approx(bearing, abs=1e-6)
    assert result.mean_of_bearing == pytest.approx(sum(bearing) / len(bearing), abs=1e-6)
    assert result.mean_of_all == pytest.approx(sum(bearing) / len(shares), abs=1e-6)
    after = result.after
    assert after.only_2d == pytest.approx(sum(b < result.config.tau_2d for b in bearing) / len(bearing), abs=0.003)
    assert after.only_3d == pytest.approx(sum(b > result.config.tau_3d for b in bearing) / len(bearing), abs=0.003)
    assert after.only_2d + after.both + after.only_3d == pytest.approx(1)


def test_stage_2_is_told_beside_stage_1(trace: list[TraceStep]) -> None:
    result = calibrate(trace, PruningConfig(stages=frozenset({1})), 0.3)
    shares = []
    for step in trace:
        index, salience = step.geometry.patch_of_point, step.salience
        for patch in index[index >= 0].unique().tolist():
            of_2d, of_3d = salience.attention_2d[patch].double(), salience.attention_3d[index == patch].double().sum(0)
            own = of_3d - (of_3d @ of_2d) / (of_2d @ of_2d) * of_2d
            shares.append(float(own.abs().sum() / (of_2d.sum() + of_3d.sum())))
    assert result.m_3d_s2.tolist() == pytest.approx(shares, abs=1e-6)


def test_balance_says_which_modality_goes(trace: list[TraceStep]) -> None:
    config = PruningConfig(stages=frozenset({1}))
    only = {balance: calibrate(trace, config, 0.15, balance).after for balance in (0.2, 0.5, 0.8)}
    assert only[0.2].only_2d < only[0.5].only_2d < only[0.8].only_2d
    assert only[0.5].only_2d == pytest.approx(only[0.5].only_3d, abs=0.01)


def test_what_cannot_be_calibrated_is_refused(trace: list[TraceStep]) -> None:
    for rate in (0.99, 0.01):
        with pytest.raises(ValueError, match=rf"rate = {rate} is out of reach: stage 2 alone prunes 0\.\d+"):
            calibrate(trace, PruningConfig(), rate)
    with pytest.raises(ValueError, match="without stage 1"):
        calibrate(trace, PruningConfig(stages=frozenset({2, 3})), 0.5)
    with pytest.raises(ValueError, match="1 steps"):
        calibrate(trace[:1], PruningConfig(), 0.5)
    with pytest.raises(ValueError, match="balance = 2"):
        calibrate(trace, PruningConfig(), 0.5, 2)
    outside = replace(trace[0], geometry=TokenGeometry(torch.full((80,), -1), 64))
    with pytest.raises(ValueError, match="no patch of the trace holds 3D tokens"):
        calibrate([outside, outside], PruningConfig(), 0.5)


def test_carried_over_the_thresholds_stay_and_their_unit_is_the_models(trace: list[TraceStep]) -> None:
    config = PruningConfig(stages=frozenset({1, 3}))
    found = carry_over(trace, config)
    assert found.config == config.carried(magnitudes_of(trace).scale) and found.began == config
    assert found.before.rate == pytest.approx(applied(config, trace), abs=1e-6)
    assert found.after.rate == pytest.approx(applied(found.config, trace), abs=1e-6) != found.before.rate
    loud = [replace(s, salience=replace(s.salience, feature_3d=100 * s.salience.feature_3d)) for s in trace]
    again = carry_over(loud, config)
    assert again.after == found.after and again.before.only_3d > found.before.only_3d
    assert again.mean_of_bearing > found.mean_of_bearing


def test_a_scale_left_to_the_model_is_that_of_the_trace(trace: list[TraceStep]) -> None:
    scale = magnitudes_of(trace).scale
    config = PruningConfig(stages=frozenset({1}))
    left, given = (calibrate(trace, config.carried(s), 0.3) for s in (None, scale))
    assert left.config == given.config and left.config.scale_3d == scale
    assert left.after.only_3d == 0.0, "as in the paper no patch loses its image token"
