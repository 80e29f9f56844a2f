"""From the stages' proposal to the masks of a step: guards, protection and budget."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tristage_ros.pruning.budget import budget_size, excess, keep_best, with_anchor
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
    changed: Tensor  # patches that moved since they were seen
    due: Tensor  # patches to be seen again: never observed, or too long ago


@dataclass(frozen=True)
class Decision:
    """Hold the masks of a step and what led to them."""

    masks: TokenMasks
    proposal: Proposal
    circumstances: Circumstances
    newest: Indicators  # unsmoothed, of the same step as the prediction
    geometry: TokenGeometry
    budget_excess: Tensor  # long scalar, protected tokens beyond the budget


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
    forced = circumstances.changed | circumstances.due
    fused, sets, attention = proposal.fused, proposal.sets, predicted.attention
    protected = forced | (sets == OBJECT)
    if config.background_sampling == "rotating" and 2 in config.stages:
        protected = protected | ((sets == BACKGROUND) & circumstances.keep_background)
    candidate_2d, candidate_3d = fused.keep_2d | forced, fused.keep_3d | forced
    protected_2d = with_anchor(candidate_2d & protected, candidate_2d, attention)
    kept_2d, kept_3d = candidate_2d | protected_2d, value_at_points(geometry, candidate_3d, True)
    if config.target_rate is None:
        over = protected.new_zeros((), dtype=torch.long)
        return Decision(TokenMasks(kept_2d, kept_3d), proposal, circumstances, newest, geometry, over)
    tokens_protected = torch.cat([protected_2d, value_at_points(geometry, candidate_3d & protected, True)])
    size = budget_size(len(tokens_protected), config.target_rate, config.token_bucket)
    tokens_attention = torch.cat([attention, value_at_points(geometry, attention, 0.0)])
    keep = keep_best(tokens_protected, torch.cat([kept_2d, kept_3d]), tokens_attention, size)
    over = excess(tokens_protected, size)
    masks = TokenMasks(keep[: geometry.patches], keep[geometry.patches :])
    return Decision(masks, proposal, circumstances, newest, geometry, over)
