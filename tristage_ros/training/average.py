"""A moving average of the weights: steadier than any single step."""

from __future__ import annotations

import copy

import torch

from tristage_ros.mla.model import Mla


class AveragedModel:
    """Follow a model with a copy that moves slowly."""

    def __init__(self, model: Mla, decay: float) -> None:
        """Start at the weights of `model`; `decay` is what stays of the average in every step, less at the start."""
        self.model, self._decay = copy.deepcopy(model).eval().requires_grad_(False), decay

    @torch.no_grad()
    def follow(self, model: Mla, step: int) -> None:
        """Move towards `model` after its step number `step`, from 0; running statistics are averaged, too."""
        decay = min(self._decay, (1 + step) / (10 + step))
        mine, theirs = (list(m.state_dict().values()) for m in (self.model, model))
        torch._foreach_lerp_(mine, theirs, 1 - decay)
