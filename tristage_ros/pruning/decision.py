"""From the stages' proposal to the masks of a step: guards, protection and budget."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tristage_ros.pruning.budget import PROTECTED, budget_size, excess, keep_highest, ranks, with_anchor
from tristage_ros.pruning.config import PruningConfig
from tristage_ros.pruning.fusion import Proposal
from tristage_ros.pruning.patches import value_at_points
from tristage_ros.pruning.semantic import BACKGROUND, OBJECT
from tristage_ros.pruning.values import Indicators, TokenGeometry, TokenMasks


@dataclass(frozen=True)
class Circumstances:
    """Hold what a step decides by, beside the predicted indicators; bool [P] each."""

    has_points: Tensor  # patches with 3D tokens in this step
    keep_background: Tensor  # patches to keep should they be background
    changed: Tensor | None  # patches that moved since they were seen, where that was watched
    due: Tensor  # patches to be seen again: never observed, or too long ago


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
    predicted: Indicators,
    newest: Indicators,
) -> Decision:
    """Turn `proposal` into token masks.

    Changed and due patches keep both modalities. Protected from the budget are the candidates of object patches,
    of changed and due ones and of background whose turn it is, and the 3D tokens outside the image.
    """
    changed, forced = circumstances.changed, circumstances.due
    forced = forced if changed is None else forced | changed
    fused, sets, attention = proposal.fused, proposal.sets, predicted.attention
    candidate = torch.stack([fused.keep_2d, fused.keep_3d]) | forced
    if config.target_rate is None:
        keep_2d, keep_3d = candidate.unbind()
        masks = TokenMasks(with_anchor(keep_2d, keep_2d, attention), value_at_points(geometry, keep_3d, True))
        return Decision(masks, proposal, circumstances, newest, geometry)
    protected = forced | (sets == OBJECT)
    if config.background_sampling == "rotating" and 2 in config.stages:
        protected |= (sets == BACKGROUND) & circumstances.keep_background
    rank_2d, rank_3d = ranks(candidate & protected, candidate, attention).unbind()
    # The best 2D token is a protected one or becomes it: a model without any has lost its view of the scene.
    rank_2d.index_fill_(0, rank_2d.argmax(0, keepdim=True), PROTECTED)
    rank = torch.cat([rank_2d, value_at_points(geometry, rank_3d, PROTECTED)])
    size = budget_size(rank.shape[0], config.target_rate, config.token_bucket)
    keep = keep_highest(rank, size)
    masks = TokenMasks(keep[: geometry.patches], keep[geometry.patches :])
    return Decision(masks, proposal, circumstances, newest, geometry, rank, size)
