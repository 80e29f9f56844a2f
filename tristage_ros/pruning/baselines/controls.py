"""Controls: tri-stage pruning with one part of it taken away, and what is too simple to be a method.

Whatever claims that the stages help has to beat attention alone; whatever claims that the split between the modalities
matters has to beat a fixed one; and whatever claims that the model needs both has to beat one alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import inf
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor

from tristage_ros.pruning.baselines.base import Baseline
from tristage_ros.pruning.config import PruningConfig
from tristage_ros.pruning.pruner import TriStagePruner
from tristage_ros.pruning.stages import PatchState, newest_weight, smooth
from tristage_ros.pruning.values import FrameContext, TokenGeometry, TokenMasks, sum_over_patches

Modality = Literal["2D", "3D"]


class AttentionTopK(TriStagePruner):
    """Fill the budget with the tokens of the highest smoothed attention, whichever modality they are of.

    Only the stages are missing: the same attention, smoothed and scaled in the same way, the same guard, age limit and
    budget. A token counts as much as the action queries attend to it alone: the 3D tokens of a patch share its
    attention, and what its 2D token received is no part of it. `stages` have no effect.
    """

    def __init__(self, config: PruningConfig | None = None, scales: Mapping[str, float] | None = None) -> None:
        """Start without state. Raises ValueError without a `target_rate`."""
        config = PruningConfig() if config is None else config
        if config.target_rate is None:
            raise ValueError("target_rate = None, but AttentionTopK prunes to a rate: set it")
        super().__init__(_without_stages(config), scales)

    def reset(self) -> None:
        """Forget everything."""
        super().reset()
        self._smoothed: Tensor | None = None  # float32 [2, P] attention of all 2D and of all 3D tokens of a patch

    def configure(self, config: PruningConfig) -> bool:
        """Take other settings, as `TriStagePruner.configure` does."""
        return super().configure(_without_stages(config))

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next steps depend on."""
        return super().state_dict() | {"smoothed": None if self._smoothed is None else self._smoothed.clone()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where `state_dict()` was taken. Raises ValueError for anything else, changing nothing."""
        if "smoothed" not in state:
            raise ValueError("pruner state lacks smoothed; give what state_dict() returned")
        super().load_state_dict(state)
        self._smoothed = None if state["smoothed"] is None else state["smoothed"].clone()

    def _learn(self, geometry: TokenGeometry, masks: TokenMasks, magnitudes: Tensor) -> Tensor:
        before = 0 if self._state is None else self._state.observations
        kept_3d = super()._learn(geometry, masks, magnitudes)
        state = self._state
        assert state is not None  # it was just observed
        attention = state.magnitudes[:, :, 1:].sum(2).float()
        past = torch.zeros_like(attention) if self._smoothed is None else self._smoothed
        weight = newest_weight(state.observations, self.config.window, self.config.beta)
        self._smoothed = torch.where(state.observations > before, smooth(past, attention, weight), past)
        return kept_3d

    def _attention(self, geometry: TokenGeometry, state: PatchState) -> Tensor:
        assert self._smoothed is not None  # there is a state
        of_2d, of_3d = self._smoothed
        tokens = sum_over_patches(geometry, torch.ones_like(geometry.bins, dtype=of_3d.dtype)[:, None])[:, 0]
        return torch.stack([of_2d, of_3d / tokens.clamp(min=1.0)])


def _without_stages(config: PruningConfig) -> PruningConfig:
    return replace(config, stages=frozenset({3}))  # which smooths


class FixedSplit(TriStagePruner):
    """Prune in three stages, but keep a fixed share of 2D tokens among all that are kept.

    Ranking, guard and budget are those of tri-stage pruning: within a modality the same tokens come first, so that a
    protected token is lost only where there are more of them than its modality's share. 3D tokens outside the image
    are kept ahead of the split, and what exceeds the tokens of a modality goes to the other.
    """

    def __init__(
        self, config: PruningConfig | None = None, scales: Mapping[str, float] | None = None, *, share_2d: float = 0.5
    ) -> None:
        """Take the share of 2D tokens, 0..1. Raises ValueError for another one and without a `target_rate`."""
        config = PruningConfig() if config is None else config
        if config.target_rate is None:
            raise ValueError("target_rate = None, but FixedSplit shares out a budget: set it")
        if not 0 <= share_2d <= 1:
            raise ValueError(f"share_2d = {share_2d} must be in [0, 1]")
        super().__init__(config, scales)
        self.share_2d = share_2d


class Weighted(TriStagePruner):
    """Prune in three stages, but let them advise a budget, and attention decide.

    What the stages drop competes with a share of its attention instead of coming last, and 3D tokens with a share of
    their patch's. That mends a stage 1 whose thresholds belong to another model.
    """

    def __init__(
        self,
        config: PruningConfig | None = None,
        scales: Mapping[str, float] | None = None,
        *,
        dropped: float | None = 0.75,
        points: float = 0.5,
    ) -> None:
        """Take both shares; `dropped`: 0..1, None: last; `points`: 0 or more. Raises ValueError for others."""
        if dropped is not None and not 0 <= dropped <= 1:
            raise ValueError(f"dropped = {dropped} must be in [0, 1]")
        if not 0 <= points < inf:
            raise ValueError(f"points = {points} must be 0 or more")
        super().__init__(config, scales)
        self.drop_weight, self._points = dropped, points

    def _attention(self, geometry: TokenGeometry, state: PatchState) -> Tensor:
        return super()._attention(geometry, state) * torch.tensor([[1.0], [self._points]], device=geometry.bins.device)


class OneModality(Baseline):
    """Keep every token of one modality and none of the other, in every step, whatever the rate and the guard say."""

    needs_rate: ClassVar[bool] = False

    def __init__(self, config: PruningConfig | None = None, *, modality: Modality = "2D") -> None:
        """Say which modality is kept. Raises ValueError for another one."""
        if modality not in get_args(Modality):
            raise ValueError(f"modality = {modality!r} must be 2D or 3D")
        super().__init__(config)
        self.modality = modality

    def _keeps_all(self) -> bool:
        return False

    def _choose(self, geometry: TokenGeometry, frame: FrameContext | None) -> TokenMasks:
        kept = TokenMasks.all_kept(geometry)
        if self.modality == "2D":
            return TokenMasks(kept.keep_2d, torch.zeros_like(kept.keep_3d))
        return TokenMasks(torch.zeros_like(kept.keep_2d), kept.keep_3d)
