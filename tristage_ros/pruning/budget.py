"""The budget: keep exactly so many tokens, and let the stages decide which."""

from __future__ import annotations

from math import ceil

import torch
from torch import Tensor


def budget_size(tokens: int, target_rate: float, bucket: int) -> int:
    """Return how many of `tokens` to keep: (1 - rate) of them, rounded, then up to a multiple of `bucket`."""
    kept = round((1.0 - target_rate) * tokens)
    return min(tokens, ceil(kept / bucket) * bucket)


def keep_best(protected: Tensor, candidate: Tensor, attention: Tensor, size: int) -> Tensor:
    """Keep the `size` best tokens and every protected one, bool [T].

    Best first by: protected, candidate (bool [T]), smoothed attention [T] >= 0, position. As semantic sets are ranges
    of attention this puts object before robot before background, and with the 2D tokens ahead of the 3D tokens 2D
    before 3D of the same patch.
    """
    tier = protected.long().mul_(2).add_(candidate)
    # The bits of a float that is not negative rise with its value, so that one sort does for both.
    rank = tier.bitwise_left_shift_(32).add_(attention.float().view(torch.int32))
    return protected.index_fill(0, rank.sort(descending=True, stable=True).indices[:size], True)


def excess(protected: Tensor, size: int) -> Tensor:
    """Return how many protected tokens (bool [T]) exceed the budget, a long scalar."""
    return (protected.sum() - size).clamp(min=0)


def with_anchor(protected_2d: Tensor, candidate_2d: Tensor, attention: Tensor) -> Tensor:
    """Protect one 2D token where none is: the candidate of the highest attention, or the highest of all; bool [P].

    A model without any image token has lost its view of the scene.
    """
    eligible = candidate_2d | ~candidate_2d.any()
    anchor = torch.where(eligible, attention, -1.0).argmax(0, keepdim=True)
    lone = protected_2d.index_select(0, anchor) | ~protected_2d.any()
    return protected_2d.index_copy(0, anchor, lone)
