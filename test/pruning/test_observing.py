from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from tristage_ros.pruning import PruningConfig, Salience, TokenGeometry, TokenMasks, TriStagePruner

Scene = Callable[[int], tuple[TokenGeometry, list[Salience]]]
HidePruned = Callable[[Salience, TokenMasks], Salience]
Run = Callable[..., list[TokenMasks]]


def same(first: TokenMasks, second: TokenMasks) -> bool:
    return torch.equal(first.keep_2d, second.keep_2d) and torch.equal(first.keep_3d, second.keep_3d)


def test_pruned_rows_are_never_looked_at(scene: Scene, hide_pruned: HidePruned) -> None:
    geometry, steps = scene(2)
    blind, sighted = TriStagePruner(), TriStagePruner()
    for salience in steps:
        masks = blind.plan(geometry)
        assert same(masks, sighted.plan(geometry))
        blind.observe(geometry, masks, hide_pruned(salience, masks))
        sighted.observe(geometry, masks, salience)


def test_unobserved_patch_is_kept_in_both_modalities(hide_pruned: HidePruned) -> None:
    geometry = TokenGeometry(torch.tensor([0, 1, 2, 3, 4, 5]), 6)
    level = torch.tensor([9.0, 5.0, 0.0, 0.1, 0.0, 0.1])
    salience = Salience(torch.ones(6), torch.ones(6) * 0.1, level[:, None], level[:, None] * 0.1)
    masks = TokenMasks(torch.tensor([1, 1, 1, 1, 0, 1]).bool(), torch.tensor([1, 1, 1, 1, 0, 0]).bool())
    pruner = TriStagePruner(PruningConfig(background_drop=1.0))
    pruner.observe(geometry, masks, hide_pruned(salience, masks))
    planned = pruner.plan(geometry)
    assert planned.keep_2d.tolist() == [True, True, False, False, True, True]
    assert planned.keep_3d[4:].all()  # 4 was not seen at all, 5 not in 3D


def test_partial_observation_keeps_the_newest_magnitude_of_what_was_pruned(hide_pruned: HidePruned) -> None:
    geometry = TokenGeometry(torch.tensor([0, 1, 2, 3]), 4)
    pruner = TriStagePruner(PruningConfig(beta=0.0, window=1, attention_share=False))
    attention = torch.ones(4, 1)
    everything = TokenMasks.all_kept(geometry)
    pruner.observe(geometry, everything, Salience(torch.ones(4), torch.ones(4), attention, attention))
    masks = TokenMasks(torch.tensor([1, 1, 0, 0]).bool(), torch.tensor([1, 0, 1, 0]).bool())
    second = Salience(torch.full((4,), 3.0), torch.full((4,), 4.0), 3 * attention, 4 * attention)
    pruner.observe(geometry, masks, hide_pruned(second, masks))
    state = pruner.state_dict()["patches"]
    assert state["smoothed"][0].tolist() == pytest.approx([3 / 7, 3 / 4, 1 / 5, 1 / 2])  # both, 2D, 3D, neither
    assert state["smoothed"][4].tolist() == pytest.approx([7, 4, 5, 2])
    assert state["observations"].tolist() == [2, 2, 2, 1]
    assert state["last_seen"].tolist() == [2, 2, 2, 1]


def test_attention_is_scaled_to_the_share_of_the_seen_patches() -> None:
    geometry = TokenGeometry(torch.tensor([-1]), 4)
    masks = TokenMasks(torch.tensor([True, True, False, False]), torch.tensor([True]))
    shares = torch.tensor([0.1, 0.2, 0.3, 0.4])[:, None]
    pruner = TriStagePruner(PruningConfig(beta=0.0, window=1))
    pruner.observe(
        geometry, TokenMasks.all_kept(geometry), Salience(torch.ones(4), torch.ones(1), shares, torch.ones(1, 1))
    )
    assert pruner.report().attention_scale == 1.0
    grown = torch.where(masks.keep_2d[:, None], shares / 0.3, torch.nan)
    pruner.observe(geometry, masks, Salience(torch.ones(4), torch.ones(1), grown, torch.ones(1, 1)))
    assert pruner.report().attention_scale == pytest.approx(0.3)
    assert pruner.state_dict()["patches"]["smoothed"][4].tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_salience_is_wanted_every_few_steps(scene: Scene) -> None:
    geometry, steps = scene(11)
    pruner = TriStagePruner(PruningConfig(observe_every=3))
    wanted = []
    for salience in steps[:7]:
        wanted.append(pruner.wants_salience)
        masks = pruner.plan(geometry)
        assert pruner.wants_salience == wanted[-1]  # the same before the step and within it
        pruner.observe(geometry, masks, salience if wanted[-1] else None)
    assert wanted == [True, False, False, True, False, False, True]
    assert pruner.state_dict()["patches"]["observations"].max() == 3
    pruner.plan(geometry)
    pruner.observe(geometry, masks, steps[7])  # not wanted: not looked at
    assert pruner.state_dict()["patches"]["observations"].max() == 3


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_any_floating_point_type(dtype: torch.dtype, scene: Scene, run: Run) -> None:
    geometry, steps = scene(16)
    cast = [Salience(*(tensor.to(dtype) for tensor in vars(step).values())) for step in steps]
    again = [Salience(*(tensor.double() for tensor in vars(step).values())) for step in cast]
    assert all(map(same, run(TriStagePruner(), geometry, cast), run(TriStagePruner(), geometry, again)))
    wide = TokenGeometry(geometry.patch_of_point.int(), geometry.patches)
    assert all(map(same, run(TriStagePruner(), geometry, cast), run(TriStagePruner(), wide, cast)))


def test_degenerate_salience_has_a_result() -> None:
    geometry = TokenGeometry(torch.tensor([0, 1, -1]), 4)
    for value in (0.0, 1.0, 1e-30, 1e30):
        pruner = TriStagePruner()
        flat = Salience(*(torch.full(shape, value) for shape in ((4,), (3,), (4, 2), (3, 2))))
        for _ in range(4):
            masks = pruner.plan(geometry)
            pruner.observe(geometry, TokenMasks.all_kept(geometry), flat)
        assert pruner.report().set_sizes == ((2, 0, 2) if value else (0, 0, 4))
        assert masks.keep_2d.any()
        assert masks.keep_3d[2]
        state = pruner.state_dict()["patches"]
        assert state["smoothed"].isfinite().all()


def test_everything_pruned_last_step_is_survived(scene: Scene, run: Run, hide_pruned: HidePruned) -> None:
    geometry, steps = scene(17)
    pruner = TriStagePruner()
    run(pruner, geometry, steps[:2])
    nothing = TokenMasks(torch.zeros(64, dtype=torch.bool), torch.zeros(80, dtype=torch.bool))
    before = pruner.state_dict()["patches"]
    pruner.observe(geometry, nothing, hide_pruned(steps[2], nothing))
    after = pruner.state_dict()["patches"]
    assert all(before[name].equal(after[name]) for name in ("smoothed", "raw", "observations", "last_seen"))
    assert pruner.plan(geometry).keep_2d.any()
