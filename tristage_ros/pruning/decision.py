"""From the stages' proposal to the masks of a step: what is protected, and which tokens a budget leaves.

The budget keeps exactly so many tokens, so that shapes stay the same from step to step; the stages decide which. Its
functions serve the baselines, too. Without a target rate the proposal is what is kept, with what must be seen again.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, inf

import torch
from torch import Tensor

from tristage_ros.pruning.config import PruningConfig
from tristage_ros.pruning.guard import urgency
from tristage_ros.pruning.stages import BACKGROUND, OBJECT, Proposal
from tristage_ros.pruning.values import Indicators, TokenGeometry, TokenMasks, value_at_points

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


def split_budget(protected_2d: Tensor, protected_3d: Tensor, size: int, share_2d: float) -> int:
    """Return how many of `size` tokens are 2D where that is a share of them, from what is protected, bool [P] and [N3].

    What exceeds the tokens of a modality goes to the other, and neither loses a protected token that the budget holds.
    """
    most = min(size - int(protected_3d.sum()), len(protected_2d))
    least = max(int(protected_2d.sum()), size - len(protected_3d))
    return max(min(round(share_2d * size), most), least)


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


# The decision of a step: proposal, circumstances and budget together.


@dataclass(frozen=True)
class Circumstances:
    """Hold what a step decides by, beside the predicted indicators; bool [P] each."""

    has_points: Tensor  # patches with 3D tokens in this step
    keep_background: Tensor  # patches to keep should they be background
    changed: Tensor | None  # patches that moved since they were seen, where that was watched
    due: Tensor  # patches to be seen again: never observed, or too long ago
    age: Tensor  # long [P] steps since a patch was seen


@dataclass(frozen=True)
class Decision:
    """Hold the masks of a step and what led to them."""

    masks: TokenMasks
    proposal: Proposal
    circumstances: Circumstances
    newest: Indicators  # unsmoothed, of the same step as the prediction
    geometry: TokenGeometry
    rank: Tensor | None = None  # long [P + N3] by which a budget kept the tokens; None: there is no budget
    budget: int = 0  # tokens

    @property
    def budget_excess(self) -> int:
        """Return how many protected tokens there were beyond the budget; waits for the device."""
        return 0 if self.rank is None else int(excess(self.rank == PROTECTED, self.budget))


def decide(
    config: PruningConfig,
    geometry: TokenGeometry,
    proposal: Proposal,
    circumstances: Circumstances,
    attention: Tensor,
    newest: Indicators,
    share_2d: float | None = None,
    drop_weight: float | None = None,
) -> Decision:
    """Turn `proposal` into token masks; a budget goes by the `attention` of 2D and 3D tokens of every patch, [2, P].

    Changed and due patches keep both modalities. Protected from the budget are the candidates of object patches and
    what is watched, within its share of the budget: the candidates of changed and due patches and of background whose
    turn it is. So are the 3D tokens outside the image. With `share_2d` a budget keeps that share of
    2D tokens and the highest ranks of either modality; with `drop_weight` what the stages drop competes with so much of
    its attention.
    """
    forced = circumstances.due if circumstances.changed is None else circumstances.due | circumstances.changed
    candidate = torch.stack([proposal.fused.keep_2d, proposal.fused.keep_3d])
    if config.target_rate is None:
        keep_2d, keep_3d = (candidate | forced).unbind()
        anchored = with_anchor(keep_2d, keep_2d, attention[0])
        masks = TokenMasks(anchored, value_at_points(geometry, keep_3d, True))
        return Decision(masks, proposal, circumstances, newest, geometry)
    turn = candidate & _turn(config, proposal, circumstances)
    watched = turn | forced
    protected = candidate & (proposal.sets == OBJECT)
    size = budget_size(geometry.patches + geometry.patch_of_point.shape[0], config.target_rate, config.token_bucket)
    if config.watch_share is None:
        rank = _ranked(geometry, candidate | watched, protected | watched, attention, drop_weight)
    else:
        rank = _ranked(geometry, candidate & ~turn, protected, attention, drop_weight)
        wanted = torch.cat([watched[0], value_at_points(geometry, watched[1], False)]) & (rank < PROTECTED)
        wait = urgency(circumstances.age, circumstances.changed)
        wait = torch.cat([wait, value_at_points(geometry, wait, 0)])
        rank.masked_fill_(most_urgent(wanted, wait, round(config.watch_share * size)), WATCHED)
    if share_2d is None:
        keep = keep_highest(rank, size)
        masks = TokenMasks(keep[: geometry.patches], keep[geometry.patches :])
    else:
        masks = _split(geometry, rank, size, share_2d)
    return Decision(masks, proposal, circumstances, newest, geometry, rank, size)


def _split(geometry: TokenGeometry, rank: Tensor, size: int, share_2d: float) -> TokenMasks:
    """Keep so many of each modality by `rank`; 3D tokens outside the image and one 2D token go ahead of the split."""
    rank_2d, outside = rank[: geometry.patches], geometry.patch_of_point < 0
    rank_3d = rank[geometry.patches :].masked_fill(outside, PROTECTED + 1)
    best = torch.zeros_like(rank_2d, dtype=torch.bool).index_fill_(0, _highest(rank_2d, 1), True)
    size_2d = split_budget(best, outside, size, share_2d)
    kept_2d, kept_3d = _highest(rank_2d, size_2d), _highest(rank_3d, size - size_2d)
    return TokenMasks(best.index_fill(0, kept_2d, True), outside.index_fill(0, kept_3d, True))


def _turn(config: PruningConfig, proposal: Proposal, circumstances: Circumstances) -> Tensor:
    """Return the background patches that a rotation shows in this step, bool [P]."""
    if config.background_sampling == "rotating" and 2 in config.stages:
        return (proposal.sets == BACKGROUND) & circumstances.keep_background
    return torch.zeros_like(circumstances.due)


def _ranked(
    geometry: TokenGeometry, candidate: Tensor, protected: Tensor, attention: Tensor, drop_weight: float | None
) -> Tensor:
    """Return what a budget goes by, long [P + N3], from what both modalities of a patch are, [2, P] each."""
    if drop_weight is not None:
        attention = torch.where(candidate, attention, drop_weight * attention)
        candidate = torch.zeros_like(candidate)
    rank_2d, rank_3d = ranks(protected, candidate, attention).unbind()
    # The best 2D token is a protected one or becomes it: a model without any has lost its view of the scene.
    rank_2d.index_fill_(0, rank_2d.argmax(0, keepdim=True), PROTECTED)
    return torch.cat([rank_2d, value_at_points(geometry, rank_3d, PROTECTED)])
