"""Baselines that decide inside the pass, from what an early layer attends to."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch

from tristage_ros.pruning.baselines.base import Baseline
from tristage_ros.pruning.checks import check_layer_attention
from tristage_ros.pruning.config import PruningConfig
from tristage_ros.pruning.values import LayerAttention, TokenGeometry, TokenMasks


class InPassBaseline(Baseline, ABC):
    """Embed every token, run the layers before `mid_layer` on all, and the others on what `mid_pass()` keeps."""

    def __init__(self, config: PruningConfig | None, mid_layer: int, mid_queries: int | None) -> None:
        """Say when to decide and whose attention to look at.

        Args:
            mid_layer: the first layer that runs on fewer tokens, from 1; the attention is that of the layer before.
            mid_queries: how many of the last tokens' attention to average; None: that of all tokens.
        """
        for name, value in (("mid_layer", mid_layer), ("mid_queries", mid_queries)):
            if value is not None and value < 1:
                raise ValueError(f"{name} = {value} must be at least 1")
        super().__init__(config)
        self.mid_layer, self.mid_queries = mid_layer, mid_queries

    @torch.no_grad()
    def mid_pass(self, layer: int, attention: LayerAttention) -> TokenMasks | None:
        """Return what the layers from `layer` on are to see, or None where that is everything.

        Raises RuntimeError before the step's `plan()`, ValueError for attention of other shapes or bad numbers.
        """
        step = self._step
        if step.geometry is None:
            raise RuntimeError("mid_pass() belongs between plan() and observe() of a step: call plan() first")
        check_layer_attention(step.geometry, attention)
        if layer != self.mid_layer or self._keeps_all():
            return None
        with step.clock.timed("fusion"):
            step.masks = self._choose_inside(step.geometry, attention)
        return step.masks

    @abstractmethod
    def _choose_inside(self, geometry: TokenGeometry, attention: LayerAttention) -> TokenMasks:
        """Return the masks from what the layer shows."""
