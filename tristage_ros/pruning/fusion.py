"""Fusion of the stages' candidates, and the proposal that all of them make together."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tristage_ros.pruning.clock import StageClock
from tristage_ros.pruning.config import PruningConfig
from tristage_ros.pruning.modality import modality_candidates
from tristage_ros.pruning.semantic import BACKGROUND, semantic_candidates, semantic_sets
from tristage_ros.pruning.values import Candidates, Indicators


@dataclass(frozen=True)
class Proposal:
    """Hold what the stages want to keep, before guards and budget."""

    modality: Candidates  # stage 1 alone
    semantic: Candidates  # stage 2 alone
    fused: Candidates
    sets: Tensor  # long [P] BACKGROUND, ROBOT or OBJECT; all BACKGROUND where stage 2 is off


def fuse(modality: Candidates, semantic: Candidates) -> Candidates:
    """Return what both stages keep, and what stage 2 keeps where that is nothing (Alg. 1, step 4)."""
    both_2d = semantic.keep_2d & modality.keep_2d
    both_3d = semantic.keep_3d & modality.keep_3d
    agreed = both_2d | both_3d
    return Candidates(
        torch.where(agreed, both_2d, semantic.keep_2d),
        torch.where(agreed, both_3d, semantic.keep_3d),
    )


def propose(
    config: PruningConfig, indicators: Indicators, has_points: Tensor, keep_background: Tensor, clock: StageClock
) -> Proposal:
    """Run the stages that are switched on over `indicators` and fuse their candidates (Alg. 1, steps 2-4)."""
    if 1 in config.stages:
        with clock.timed("stage1"):
            modality = modality_candidates(indicators.m_3d_s1, has_points, config.tau_2d, config.tau_3d)
    else:
        modality = Candidates.all_kept(has_points)
    if 2 in config.stages:
        with clock.timed("stage2"):
            sets = semantic_sets(indicators.attention, config.clusters)
            floor, epsilon = config.obj_2d_floor, config.obj_3d_epsilon
            semantic = semantic_candidates(sets, indicators.share_s2, keep_background, floor, epsilon)
    else:
        sets = torch.full_like(has_points, BACKGROUND, dtype=torch.long)
        semantic = Candidates.all_kept(has_points)
    with clock.timed("fusion"):
        return Proposal(modality, semantic, fuse(modality, semantic), sets)
