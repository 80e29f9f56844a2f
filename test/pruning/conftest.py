"""Scenes for the pruning tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tristage_ros.pruning import FrameContext, Salience, TokenGeometry, TokenMasks, TriStagePruner


def draw_geometry(generator: torch.Generator, patches: int = 64, points: int = 80) -> TokenGeometry:
    """Scatter 3D tokens over the first half of the patches, some of them outside the image."""
    return TokenGeometry(torch.randint(-1, patches // 2, (points,), generator=generator), patches)


def draw_salience(generator: torch.Generator, geometry: TokenGeometry, heads: int = 4) -> Salience:
    """Draw magnitudes and attention that is high on few patches, spread enough to reach every branch."""
    patches, points = geometry.patches, len(geometry.patch_of_point)
    level = torch.rand(patches, generator=generator) ** 4
    level_of_point = torch.cat([level, level.new_ones(1)])[geometry.patch_of_point]
    return Salience(
        feature_2d=torch.rand(patches, generator=generator) + 0.1,
        feature_3d=torch.rand(points, generator=generator) ** 3,
        attention_2d=torch.rand(patches, heads, generator=generator) * level[:, None],
        attention_3d=torch.rand(points, heads, generator=generator) * level_of_point[:, None],
    )


@pytest.fixture(scope="session")
def scene() -> Callable[[int], tuple[TokenGeometry, list[Salience]]]:
    """Return a maker of one geometry and 12 steps of salience from a seed."""

    def make(seed: int) -> tuple[TokenGeometry, list[Salience]]:
        generator = torch.Generator().manual_seed(seed)
        geometry = draw_geometry(generator)
        return geometry, [draw_salience(generator, geometry) for _ in range(12)]

    return make


@pytest.fixture(scope="session")
def hide_pruned() -> Callable[[Salience, TokenMasks], Salience]:
    """Return what puts NaN where the model saw nothing."""
    return hide


def hide(salience: Salience, masks: TokenMasks) -> Salience:
    """Put NaN into the rows of pruned tokens."""

    def hidden(rows: Tensor, keep: Tensor) -> Tensor:
        return torch.where(keep.view(-1, *[1] * (rows.ndim - 1)), rows, torch.nan)

    return Salience(
        hidden(salience.feature_2d, masks.keep_2d),
        hidden(salience.feature_3d, masks.keep_3d),
        hidden(salience.attention_2d, masks.keep_2d),
        hidden(salience.attention_3d, masks.keep_3d),
    )


@pytest.fixture(scope="session")
def run() -> Callable[..., list[TokenMasks]]:
    """Return what takes steps one after another, observing what their own masks left, and returns these."""

    def take(
        pruner: TriStagePruner, geometry: TokenGeometry, steps: list[Salience], frame: FrameContext | None = None
    ) -> list[TokenMasks]:
        planned = []
        for salience in steps:
            pruner.begin_step()
            planned.append(pruner.plan(geometry, frame))
            pruner.observe(geometry, planned[-1], hide(salience, planned[-1]))
        return planned

    return take


@pytest.fixture
def still() -> FrameContext:
    """Return a frame of grey patches at 0.5 m."""
    return FrameContext(color_mean=torch.full((64, 3), 0.5), depth_mean=torch.full((64,), 0.5))
