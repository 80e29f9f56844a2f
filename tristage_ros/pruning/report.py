"""What one step of pruning did, in numbers that can be published."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


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
    rate_2d: float = 0.0  # as applied
    rate_3d: float = 0.0
    rate: float = 0.0  # of all visual tokens, as applied
    ema_changed: float = 0.0  # share of patches whose fused candidates stage 3 changed
    salience_2d_stage1: float = 0.0  # means over patches of the newest raw indicators
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
