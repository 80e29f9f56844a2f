"""What one step of pruning did, in numbers that can be published, and how they are summed up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from tristage_ros.pruning.config import PruningConfig
from tristage_ros.pruning.decision import Decision
from tristage_ros.pruning.stages import (
    BACKGROUND,
    OBJECT,
    ROBOT,
    PatchState,
    StageClock,
    feature_indicators,
    propose,
    semantic_sets,
)
from tristage_ros.pruning.values import Candidates, TokenGeometry, TokenMasks, value_at_points


@dataclass(frozen=True)
class PruningReport:
    """Sum up the newest `plan()` and `observe()` of a pruner. Rates are shares of tokens pruned, 0..1."""

    step: int = 0  # control steps since the last reset
    pruned: bool = False  # False: the step kept every token
    stage1_rate_2d: float = 0.0  # stage 1 alone
    stage1_rate_3d: float = 0.0
    stage2_rate_2d: float = 0.0  # stage 2 alone
    stage2_rate_3d: float = 0.0
    fused_rate_2d: float = 0.0  # fused, before budget and guards
    fused_rate_3d: float = 0.0
    stage1_only_2d: float = 0.0  # of the patches with 3D tokens, the share that stage 1 leaves their 2D token alone
    stage1_both: float = 0.0
    stage1_only_3d: float = 0.0
    fused_only_2d: float = 0.0  # the same fused, before budget and guards; the rest of them keeps neither
    fused_both: float = 0.0
    fused_only_3d: float = 0.0
    rate_2d: float = 0.0  # as applied
    rate_3d: float = 0.0
    rate: float = 0.0  # of all visual tokens, as applied
    ema_changed: float = 0.0  # share of patches whose fused candidates stage 3 changed
    salience_2d_stage1: float = 0.0  # means over patches of the newest raw indicators; of stage 1 whatever its scale
    salience_3d_stage1: float = 0.0
    salience_2d_stage2: float = 0.0
    salience_3d_stage2: float = 0.0
    salience_2d_by_set: tuple[float, float, float] = (0.0, 0.0, 0.0)  # background, robot, object
    salience_3d_by_set: tuple[float, float, float] = (0.0, 0.0, 0.0)
    set_sizes: tuple[int, int, int] = (0, 0, 0)  # patches in background, robot, object
    tokens_2d: int = 0  # kept
    tokens_3d: int = 0
    changed_patches: int = 0  # kept by the change guard
    oldest_patch: int = 0  # steps since the longest unseen patch was observed
    attention_scale: float = 1.0  # share that the seen patches held before; the newest attention was scaled to it
    budget_excess: int = 0  # protected tokens beyond the target
    semantic_set: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))  # [P] 0, 1, 2
    milliseconds: dict[str, float] = field(default_factory=dict)  # stage1, stage2, stage3, fusion


# Off the hot path: everything from here on may wait for the device.


def summarise(
    config: PruningConfig, step: int, masks: TokenMasks | None, decision: Decision | None, state: PatchState | None
) -> PruningReport:
    """Return the report of `step` from what was applied, decided and observed, as far as there is any."""
    numbers: dict[str, Any] = {"step": step}
    if masks is not None:
        numbers |= summarise_masks(masks)
    if decision is not None:
        numbers |= _decided(config, decision, refreshed=masks is not decision.masks)
    if state is not None:
        if decision is not None and 2 in config.stages:
            sets = decision.proposal.sets
        else:
            sets = semantic_sets(state.predicted.attention, config.clusters)
        numbers |= _observed(state, step) | _by_set(state, sets)
    return PruningReport(**numbers)


def summarise_masks(masks: TokenMasks) -> dict[str, Any]:
    """Return what was applied, by the names of the report."""
    kept_2d, kept_3d = int(masks.keep_2d.sum()), int(masks.keep_3d.sum())
    total_2d, total_3d = len(masks.keep_2d), len(masks.keep_3d)
    return {
        "pruned": kept_2d + kept_3d < total_2d + total_3d,
        "rate_2d": _rate(masks.keep_2d),
        "rate_3d": _rate(masks.keep_3d),
        "rate": _rate(torch.cat([masks.keep_2d, masks.keep_3d])),
        "tokens_2d": kept_2d,
        "tokens_3d": kept_3d,
    }


def _decided(config: PruningConfig, decision: Decision, refreshed: bool) -> dict[str, Any]:
    proposal, geometry, given = decision.proposal, decision.geometry, decision.circumstances
    raw = propose(config, decision.newest, given.has_points, given.keep_background, StageClock()).fused
    differs = (raw.keep_2d != proposal.fused.keep_2d) | (raw.keep_3d != proposal.fused.keep_3d)
    return {
        **_rates("stage1", geometry, proposal.modality),
        **_rates("stage2", geometry, proposal.semantic),
        **_rates("fused", geometry, proposal.fused),
        **_modalities("stage1", given.has_points, proposal.modality),
        **_modalities("fused", given.has_points, proposal.fused),
        "ema_changed": float(differs.float().mean()),
        "changed_patches": 0 if given.changed is None else int(given.changed.sum()),
        "budget_excess": 0 if refreshed else decision.budget_excess,
    }


def _observed(state: PatchState, step: int) -> dict[str, Any]:
    newest = state.newest
    m_2d, m_3d = feature_indicators(state.magnitudes[:, :, 0]).float().mean(1).tolist()
    return {
        "salience_2d_stage1": m_2d,
        "salience_3d_stage1": m_3d,
        "salience_2d_stage2": float(newest.m_2d_s2.mean()),
        "salience_3d_stage2": float(newest.m_3d_s2.mean()),
        "oldest_patch": int((step - state.last_seen).max()),
        "attention_scale": float(state.attention_scale),
    }


def _by_set(state: PatchState, sets: Tensor) -> dict[str, Any]:
    members = torch.stack([sets == BACKGROUND, sets == ROBOT, sets == OBJECT]).float()  # (3, P)
    sizes = members.sum(1)
    means = members @ state.raw[2:4].T / sizes.clamp(min=1.0)[:, None]  # (3, 2)
    return {
        "set_sizes": tuple(map(int, sizes.tolist())),
        "salience_2d_by_set": tuple(means[:, 0].tolist()),
        "salience_3d_by_set": tuple(means[:, 1].tolist()),
        "semantic_set": sets,
    }


def _rates(stage: str, geometry: TokenGeometry, candidates: Candidates) -> dict[str, float]:
    tokens_3d = value_at_points(geometry, candidates.keep_3d, True)
    return {f"{stage}_rate_2d": _rate(candidates.keep_2d), f"{stage}_rate_3d": _rate(tokens_3d)}


def _modalities(stage: str, has_points: Tensor, candidates: Candidates) -> dict[str, float]:
    """Return which shares of the patches with 3D tokens (bool [P]) are left one modality, and both."""
    keep_2d, keep_3d = candidates.keep_2d[has_points], candidates.keep_3d[has_points]
    shares = {"only_2d": keep_2d & ~keep_3d, "both": keep_2d & keep_3d, "only_3d": keep_3d & ~keep_2d}
    return {f"{stage}_{name}": float(left.float().mean()) if len(left) else 0.0 for name, left in shares.items()}


def _rate(keep: Tensor) -> float:
    return 1.0 - float(keep.float().mean()) if len(keep) else 0.0
