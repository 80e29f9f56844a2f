"""What the studies compare keeps the same number of tokens, and is called by names of its own."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tristage_ros.pruning import FrameContext, LayerAttention, PruningConfig, Salience, TokenGeometry, TokenMasks
from tristage_ros.pruning.baselines import METHODS
from tristage_ros.pruning.values import LayerStates
from tristage_ros.studies.compared import (
    IN_PASS,
    SPLITS,
    after_layer_1,
    attention_alone,
    carried_over,
    compute_matched,
    fixed_split,
    literal,
    lot_of_3d,
    no_3d_only,
    one_modality,
    weighted,
    without_stage_1,
)
from tristage_ros.studies.variant import Variant

STAGED = [
    carried_over(0.7), literal(0.7, "robot"), no_3d_only(0.7), without_stage_1(0.7),
    *(fixed_split(split, 0.7) for split in SPLITS),
]  # fmt: skip
EQUAL = [
    *(Variant(method, 0.7, guard) for method in ("random", "sp_vla") for guard in (False, True)),
    *(after_layer_1(method, 0.7, guard) for method in IN_PASS for guard in (False, True)),
    *(attention_alone(0.7, guard) for guard in (False, True)),
    *STAGED,
    *(weighted(variant) for variant in STAGED if variant.method == "tristage"),
    carried_over(0.7, "paper"),
    literal(0.7),
]
OTHERS = [
    *(row for method in IN_PASS if (row := compute_matched(method, 0.7, 4)) is not None),
    lot_of_3d(), one_modality("2D"), one_modality("3D"), carried_over(None, "paper"), carried_over(0.8),
]  # fmt: skip
PATCHES = POINTS = 256  # of the mini


def step(pruner, geometry: TokenGeometry, number: int) -> TokenMasks:
    """Take a control step as a model does."""
    generator = torch.Generator().manual_seed(number)
    frame = FrameContext(
        torch.full((PATCHES, 3), 0.5), torch.full((PATCHES,), 0.6), torch.arange(PATCHES) % 9 == 0, 0.0
    )
    pruner.begin_step()
    masks = pruner.plan(geometry, frame)
    if hasattr(pruner, "mid_pass"):
        rows = (torch.rand(PATCHES, 4, generator=generator), torch.rand(POINTS, 4, generator=generator))
        states = (*rows, rows[0][:9], *(torch.rand(n, generator=generator) for n in (PATCHES, POINTS, 9)))
        masks = pruner.mid_pass(pruner.mid_layer, LayerAttention(*rows, *rows, LayerStates(*states))) or masks
    level = 0.02 + (torch.arange(PATCHES + 1) % 40 == 7)  # the action attends to few patches
    shown = [
        torch.where(keep, torch.rand(len(keep), generator=generator), torch.nan)
        for keep in (masks.keep_2d, masks.keep_3d)
    ]
    attention = (
        values[:, None] * torch.rand(len(values), 4, generator=generator) * level[where][:, None]
        for values, where in zip(shown, (torch.arange(PATCHES), geometry.patch_of_point), strict=True)
    )
    pruner.observe(geometry, masks, Salience(*shown, *attention) if pruner.wants_salience else None)
    return masks


@pytest.mark.parametrize("variant", EQUAL, ids=lambda variant: variant.name)
def test_from_the_second_step_on_all_keep_as_many_tokens(variant: Variant) -> None:
    pruner = variant.pruner(seed=3)
    points = torch.randint(-1, 120, (POINTS,), generator=torch.Generator().manual_seed(1))
    kept = []
    for number in range(5):
        masks = step(pruner, TokenGeometry(points.roll(number), PATCHES), number)
        kept.append(int(masks.keep_2d.sum() + masks.keep_3d.sum()))
    assert kept[1:] == [160] * 4


def test_names_and_labels_tell_all_apart() -> None:
    rows = [*EQUAL, *OTHERS]
    assert len({variant.name for variant in rows}) == len({variant.key for variant in rows}) == len(rows)
    assert len({(variant.label, variant.rate) for variant in rows}) == len(rows)
    assert {variant.method for variant in rows} == set(METHODS) - {"none"}


@pytest.mark.parametrize(
    ("variant", "name", "label"),
    [
        (after_layer_1("fastv", 0.7), "fastv layer=1 for_good=True r=0.70 guard", "FastV after layer 1, guard"),
        (compute_matched("dart", 0.5, 4, False), "dart layer=1 r=0.50 target_rate=0.6667", "DART, compute-matched"),
        (attention_alone(0.7), "attention robot r=0.70 guard", "attention alone"),
        (fixed_split("3:1", 0.7), "split share_2d=0.75 robot r=0.70 guard", "tri-stage, fixed split, 3:1"),
        (one_modality("2D"), "one_modality modality=2D", "one modality alone, 2D"),
        (lot_of_3d(), "random 3D r=0.99", "naive, 3D tokens"),
        (no_3d_only(0.7), "tristage robot r=0.70 guard tau_2d=0.1 tau_3d=1.0", "tri-stage, robot, no 3D-only"),
    ],
)  # fmt: skip
def test_names_stay_what_they_are(variant: Variant, name: str, label: str) -> None:
    """Finished episodes are found again by them."""
    assert (variant.name, variant.label) == (name, label)


def test_what_differs_from_the_robot_preset_is_what_is_said() -> None:
    robot, seed = PruningConfig.robot(), 5
    expected = {
        without_stage_1(0.7): {"stages": frozenset({2, 3})},
        literal(0.7, "robot"): {"scale_3d": 1.0},
        carried_over(0.7): {},
        no_3d_only(0.7): {"tau_2d": 0.1, "tau_3d": 1.0},
        weighted(no_3d_only(0.7)): {"tau_2d": 0.1, "tau_3d": 1.0},
        fixed_split("1:3", 0.7): {},
        attention_alone(0.7): {"stages": frozenset({3})},
    }
    for variant, changes in expected.items():
        assert variant.pruner(seed).config == replace(robot, seed=seed, **changes), variant.name


def test_no_3d_only_leaves_every_patch_its_image_token() -> None:
    pruner = no_3d_only(0.7).pruner(0)
    geometry = TokenGeometry(torch.arange(POINTS) % 120, PATCHES)
    for number in range(4):
        step(pruner, geometry, number)
        report = pruner.report()
        assert report.stage1_only_3d == report.fused_only_3d == 0.0
    assert report.stage1_only_2d > 0.0 and report.stage1_both > 0.0
    assert report.stage1_only_2d + report.stage1_both == pytest.approx(1.0)


@pytest.mark.parametrize(("split", "kept"), [("3:1", (120, 40)), ("1:1", (80, 80)), ("1:3", (40, 120))])
def test_splits_are_those_of_what_is_kept(split: str, kept: tuple[int, int]) -> None:
    pruner = fixed_split(split, 0.7).pruner(0)
    geometry = TokenGeometry(torch.arange(POINTS) % 120, PATCHES)
    step(pruner, geometry, 0)
    for number in range(1, 5):
        masks = step(pruner, geometry, number)
        assert (int(masks.keep_2d.sum()), int(masks.keep_3d.sum())) == kept


def test_a_lot_of_99_percent_of_one_modality_is_half_of_all() -> None:
    pruner = lot_of_3d().pruner(0)
    masks = pruner.plan(TokenGeometry(torch.arange(POINTS) % 120, PATCHES))
    assert bool(masks.keep_2d.all()) and int(masks.keep_3d.sum()) == 3
