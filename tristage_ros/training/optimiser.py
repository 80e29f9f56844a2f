"""How the weights move: Muon for the matrices between the layers, AdamW for the rest, learning rate and average.

The moving average is steadier than any single step; it is what is saved and rolled out.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tristage_ros.mla.model import Mla
from tristage_ros.training.recipe import Optimisation

BETAS = (0.9, 0.95)  # of AdamW
MOMENTUM = 0.95  # of Muon


class Optimiser:
    """Move a model and what is trained along with it.

    Muon (arXiv 2502.16982) makes the update of a matrix orthogonal and as large as AdamW's would be, so that one
    learning rate does for both. It is for matrices whose inputs and outputs are hidden: not for embeddings,
    convolutions, the last layer, norms and biases.
    """

    def __init__(self, model: nn.Module, heads: nn.Module, weight_decay: float) -> None:
        """Start without momentum; ValueError where PyTorch has no Muon yet."""
        check_version()
        self.parameters = [*model.parameters(), *heads.parameters()]
        hidden = [p for name, p in model.named_parameters() if _is_hidden(name, p)]
        chosen = {id(p) for p in hidden}
        others = [p for p in self.parameters if id(p) not in chosen]
        decayed, free = ([p for p in others if (p.dim() > 1) == matrix] for matrix in (True, False))
        groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]
        muon = torch.optim.Muon(hidden, weight_decay=weight_decay, momentum=MOMENTUM, adjust_lr_fn="match_rms_adamw")
        self._parts: Sequence[torch.optim.Optimizer] = (muon, torch.optim.AdamW(groups, betas=BETAS, fused=True))

    def step(self, rate: float, gradient_norm: float) -> Tensor:
        """Move at a learning rate against gradients bounded to a norm, forget them, and return their norm before."""
        norm = nn.utils.clip_grad_norm_(self.parameters, gradient_norm)
        for part in self._parts:
            for group in part.param_groups:
                group["lr"] = rate
            part.step()
            part.zero_grad(set_to_none=True)
        return norm

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` goes on from."""
        return {type(part).__name__: part.state_dict() for part in self._parts}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Go on from a state; KeyError for one of another optimiser."""
        for part in self._parts:
            part.load_state_dict(saved[type(part).__name__])


def check_version() -> None:
    """Raise ValueError where this PyTorch cannot train."""
    if not hasattr(torch.optim, "Muon"):
        raise ValueError(f"training needs PyTorch 2.9 or later, here is {torch.__version__}: pip install -U torch")


def _is_hidden(name: str, parameter: Tensor) -> bool:
    return parameter.dim() == 2 and "embed" not in name and not name.startswith("final_layer")


def learning_rate(step: int, settings: Optimisation) -> float:
    """Return the rate of a step, from 0: a linear warm-up, then a cosine down to `final_rate` of the peak."""
    warm = min(1.0, (step + 1) / settings.warm_up)
    wave = 0.5 * (1 + math.cos(math.pi * min(1.0, step / settings.steps)))
    return settings.learning_rate * warm * (settings.final_rate + (1 - settings.final_rate) * wave)


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
