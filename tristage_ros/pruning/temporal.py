"""Stage 3, action iteration: predict the next step's indicators from the past (Eqs. 7-9)."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor


def newest_weight(observations: Tensor, window: int, beta: float) -> Tensor:
    """Return the weight of the newest observation, float32 [P], from how many there were, this one included.

    One at the first, 1/n while 1 < n < window (Eq. 8), 1 - beta from then on (Eq. 9).
    """
    by_count = _weights(window, beta, observations.device)
    return by_count.index_select(0, observations.clamp(max=len(by_count) - 1))


@lru_cache(maxsize=8)
def _weights(window: int, beta: float, device: torch.device) -> Tensor:
    running_mean = [1.0, 1.0, *(1.0 / count for count in range(2, window))]
    return torch.tensor([*running_mean, 1.0 - beta], device=device)


def smooth(predicted: Tensor, observed: Tensor, weight: Tensor) -> Tensor:
    """Return the new prediction, [..., P], from the old one and the newest observation; [P] weights."""
    return torch.lerp(predicted, observed, weight)
