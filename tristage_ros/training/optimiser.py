"""Muon for the matrices between the layers, AdamW for everything else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

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
