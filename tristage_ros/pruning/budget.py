"""The budget: keep exactly so many tokens, and let the stages decide which."""

from __future__ import annotations

from math import ceil, inf

import torch
from torch import Tensor

PROTECTED = 2 << 32  # rank of every protected token
WATCHED = PROTECTED - 1  # of every one that is kept to be seen again, within its share of the budget


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
    return keep_highest(ranks(protected, candidate, attention), size)


def ranks(protected: Tensor, candidate: Tensor, attention: Tensor) -> Tensor:
    """Return one number for what `keep_best` goes by, save the position, long; the highest is the best."""
    # The bits of a float that is not negative rise with its value.
    rank = torch.add(attention.float().view(torch.int32), candidate.long(), alpha=1 << 32)
    return rank.masked_fill_(protected, PROTECTED)


def keep_highest(rank: Tensor, size: int) -> Tensor:
    """Keep every protected token and the `size` of the highest `rank` [T], the earlier of equal ones, as bool [T]."""
    return (rank == PROTECTED).index_fill_(0, _highest(rank, size), True)


def most_urgent(watched: Tensor, urgency: Tensor, count: int) -> Tensor:
    """Tell the `count` most urgent (long [T] >= 0) of the `watched` tokens (bool [T]), the earlier of equal ones."""
    best = _highest(urgency.masked_fill(~watched, -1), count)
    return torch.zeros_like(watched).index_fill_(0, best, True).logical_and_(watched)


def excess(protected: Tensor, size: int) -> Tensor:
    """Return how many protected tokens (bool [T]) exceed the budget, a long scalar."""
    return (protected.sum() - size).clamp(min=0)


def with_anchor(protected_2d: Tensor, candidate_2d: Tensor, attention: Tensor) -> Tensor:
    """Protect one 2D token where none is: the candidate of the highest attention, or the highest of all; bool [P].

    A model without any image token has lost its view of the scene.
    """
    worse = candidate_2d < candidate_2d.any()  # not a candidate, but there is one
    anchor = attention.masked_fill(worse, -1.0).masked_fill_(protected_2d, inf).argmax(0, keepdim=True)
    return protected_2d.index_fill(0, anchor, True)


def _highest(values: Tensor, count: int) -> Tensor:
    """Return where the `count` highest of `values` (long [T], below 2^34) are, the earlier of equal ones, unordered."""
    tokens = len(values)
    earlier = torch.arange(tokens - 1, -1, -1, device=values.device)
    return earlier.add_(values, alpha=tokens).topk(max(0, min(count, tokens)), sorted=False).indices
