from __future__ import annotations

import pytest
import torch

from tristage_ros.pruning import PruningConfig
from tristage_ros.pruning.baselines import LABELS
from tristage_ros.pruning.values import TokenGeometry
from tristage_ros.simulation.instructions import TABLE
from tristage_ros.studies.compared import after_layer_1, rescaled
from tristage_ros.studies.options import METHODS, TASKS
from tristage_ros.studies.parts.choosing import CANDIDATES
from tristage_ros.studies.parts.core import Table2, Table3
from tristage_ros.studies.parts.matrix import variants
from tristage_ros.studies.variant import OBSERVED, OneModalityRandom, Variant

GEOMETRY = TokenGeometry(torch.arange(64) % 16, 16)


def test_the_options_offer_what_there_is() -> None:
    assert set(METHODS) == set(LABELS)
    assert set(TASKS) == set(TABLE)


def test_the_robot_preset_is_the_robots() -> None:
    from dataclasses import replace

    assert Variant("tristage", 0.7, True, "robot").config(seed=3) == replace(PruningConfig.robot(), seed=3)
    assert Variant("tristage").config(seed=0) == PruningConfig.paper()


def test_every_guarded_variant_has_the_same_guard_and_bucket() -> None:
    for method in METHODS[1:]:
        for variant in variants(method, 0.6, 4):
            config, robot = variant.config(0), PruningConfig.robot()
            assert config.token_bucket == robot.token_bucket
            assert config.target_rate == (0.8 if variant.over_layers else 0.6)
            assert (config.change_guard == robot.change_guard) == variant.guard
            assert (config.max_age == robot.max_age) == variant.guard


def test_methods_that_decide_inside_the_pass_come_as_published_and_as_early_as_they_can() -> None:
    for method, published in (("fastv", 2), ("dart", 2), ("vla_pruner", 3)):
        layers = {variant.layer: variant.pruner(0).mid_layer for variant in variants(method, 0.7, 4)}
        assert layers == {None: published, 1: 1}
    assert {variant.layer for variant in variants("sp_vla", 0.7, 4)} == {None}


def test_names_and_labels_tell_variants_apart() -> None:
    all_ = [variant for method in METHODS for rate in (0.5, 0.7) for variant in variants(method, rate, 4)]
    candidates = [variant for some in CANDIDATES.values() for variant in some.values()]
    distinct = {*all_, *Table2.numbers, *Table3.numbers}
    assert len({variant.name for variant in distinct}) == len(distinct)
    assert len({(variant.label, variant.rate) for variant in distinct}) == len(distinct)
    assert len({variant.key for variant in candidates}) == len(candidates)


@pytest.mark.parametrize(("layers", "rate"), [(4, 0.5), (4, 0.7), (32, 0.8)])
def test_a_rate_over_all_layers_counts_the_layer_that_sees_everything(layers: int, rate: float) -> None:
    *_, alike = variants("fastv", rate, layers)
    behind = alike.config(0).target_rate
    assert alike.over_layers and behind is not None
    assert (1 + (layers - 1) * (1 - behind)) / layers == pytest.approx(1 - rate, abs=1e-3)
    assert alike.label == "FastV, compute-matched, guard"


def test_a_rate_over_all_layers_holds_from_the_second_step_on() -> None:
    *_, alike = variants("vla_pruner", 0.7, 4)
    assert alike.pruner(0).enough == 1
    assert after_layer_1("vla_pruner", 0.7).pruner(0).enough == 1
    assert Variant("vla_pruner", 0.7, True, layer=1).pruner(0).enough == 3


def test_a_larger_scale_moves_the_odds_of_both_thresholds() -> None:
    config = rescaled(0.7, 2.0, "twice").config(0)
    for tau, published in ((config.tau_2d, 0.08), (config.tau_3d, 0.20)):
        assert tau / (1 - tau) == pytest.approx(2 * published / (1 - published), rel=1e-3)
    assert config.scale_3d is None


def test_where_the_first_layer_is_too_much_there_is_no_rate_over_all_layers() -> None:
    assert not any(variant.over_layers for variant in variants("fastv", 0.8, 4))


@pytest.mark.parametrize(("modality", "other"), [("2D", "keep_3d"), ("3D", "keep_2d")])
def test_one_modality_is_pruned_to_its_rate_and_the_other_is_not(modality: str, other: str) -> None:
    pruner = Variant("random", 0.75, modality=modality).pruner(seed=5)
    masks = pruner.plan(GEOMETRY)
    mine = masks.keep_2d if modality == "2D" else masks.keep_3d
    assert int(mine.sum()) == len(mine) // 4
    assert bool(getattr(masks, other).all())


def test_the_lot_depends_on_seed_and_step_alone() -> None:
    def masks(seed: int, steps: int) -> torch.Tensor:
        pruner = Variant("random", 0.5, modality="3D").pruner(seed)
        for _ in range(steps):
            pruner.begin_step()
        return pruner.plan(GEOMETRY).keep_3d

    assert torch.equal(masks(1, 1), masks(1, 1))
    assert not torch.equal(masks(1, 1), masks(1, 2))
    assert not torch.equal(masks(1, 1), masks(2, 1))


def test_another_modality_is_refused() -> None:
    with pytest.raises(ValueError, match="'4D' must be 2D or 3D"):
        OneModalityRandom(PruningConfig(target_rate=0.5), "4D")  # type: ignore[arg-type]


def test_observing_keeps_everything() -> None:
    pruner = OBSERVED.pruner(0)
    for _ in range(3):
        pruner.begin_step()
        masks = pruner.plan(GEOMETRY)
        assert bool(masks.keep_2d.all() and masks.keep_3d.all())
        assert pruner.wants_salience
