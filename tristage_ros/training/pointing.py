"""Pointing at the visual tokens where the tool is to go: a second thing to learn, so that objects are found sooner."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

NEAR_POINTS = 0.03  # m, standard deviation of the wanted distribution over point tokens
NEAR_PATCHES = 0.7  # tokens, likewise over image tokens


class PointingHead(nn.Module):
    """Let the state token choose among visual tokens."""

    def __init__(self, width: int) -> None:
        """Build for a model of `width` channels."""
        super().__init__()
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, state: Tensor, tokens: Tensor, places: Tensor, goal: Tensor, spread: float) -> Tensor:
        """Return the mean information, nats, that the choice lacks about the place of the goal.

        Args:
            state: [B, width] last output at the state token.
            tokens: [B, T, width] last outputs at the tokens of one kind.
            places: float32 [B, T, 2] where they are.
            goal: float32 [B, 2] where the tool is to go.
            spread: standard deviation of the wanted distribution, in the unit of `places`.
        """
        logits = (self.key(tokens) @ self.query(state)[..., None])[..., 0].float() / math.sqrt(state.shape[-1])
        near = (places - goal[:, None]).square().sum(-1) / (-2 * spread**2)
        return nn.functional.kl_div(
            logits.log_softmax(-1), near.log_softmax(-1), log_target=True, reduction="batchmean"
        )


def token_places(grid: int, device: torch.device) -> Tensor:
    """Return column and row, float32 [grid * grid, 2], of the middles of all image tokens."""
    line = torch.arange(grid, device=device) + 0.5
    rows, columns = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([columns, rows], -1).flatten(0, 1)
