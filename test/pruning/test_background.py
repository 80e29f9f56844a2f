from __future__ import annotations

from math import ceil

import pytest
import torch
from torch import Tensor

from tristage_ros.pruning.stages import background_to_keep

CPU = torch.device("cpu")


def kept(step: int, drop: float = 0.9, rotating: bool = False, seed: int = 0, patches: int = 256) -> Tensor:
    return background_to_keep(patches, drop, rotating, seed, step, CPU)


@pytest.mark.parametrize("drop", [0.0, 0.5, 0.75, 0.9, 0.95])
@pytest.mark.parametrize("start", [1, 7, 1000])
def test_rotation_shows_every_patch_in_turn(drop: float, start: int) -> None:
    steps = range(start, start + ceil(round(1 / (1 - drop), 6)))
    assert torch.stack([kept(step, drop, rotating=True) for step in steps]).any(0).all()


@pytest.mark.parametrize("rotating", [False, True])
def test_share_dropped(rotating: bool) -> None:
    share = torch.stack([kept(step, rotating=rotating) for step in range(1, 1001)]).float().mean(0)
    assert float(share.mean()) == pytest.approx(0.1, abs=0.003)
    assert share.min() > 0.05  # of every single patch, too
    assert share.max() < 0.15


@pytest.mark.parametrize("rotating", [False, True])
def test_extremes(rotating: bool) -> None:
    assert kept(3, 0.0, rotating).all()
    assert not kept(3, 1.0, rotating).any()


@pytest.mark.parametrize("rotating", [False, True])
def test_depends_on_seed_and_step_alone(rotating: bool) -> None:
    first = kept(3, 0.5, rotating)
    kept(4, 0.5, rotating)
    assert torch.equal(first, kept(3, 0.5, rotating))
    assert not torch.equal(first, kept(4, 0.5, rotating))
    assert not torch.equal(first, kept(3, 0.5, rotating, seed=1))
