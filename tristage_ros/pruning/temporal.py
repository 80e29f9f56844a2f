"""Stage 3, action iteration: predict the next step's indicators from the past (Eqs. 7-9)."""

from __future__ import annotations

import torch
from torch import Tensor


def newest_weight(observations: Tensor, window: int, beta: float) -> Tensor:
    """Return the weight of the newest observation, float32 [P], from how many there were, this one included.

    One at the first, 1/n while 1 < n < window (Eq. 8), 1 - beta from then on (Eq. 9).
    """
    count = observations.float().clamp(min=1.0)
    return torch.where((count > 1) & (count >= window), 1.0 - beta, 1.0 / count)


def smooth(predicted: Tensor, observed: Tensor, weight: Tensor) -> Tensor:
    """Return the new prediction, [..., P], from the old one and the newest observation; [P] weights."""
    return torch.lerp(predicted, observed, weight.expand_as(observed))
