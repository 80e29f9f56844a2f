"""Random pruning of 2D tokens alone or of 3D tokens alone: which of them does the model need (Table 1)?"""

from __future__ import annotations

from typing import Literal

import torch

from tristage_ros.pruning import PruningConfig
from tristage_ros.pruning.baselines import Baseline
from tristage_ros.pruning.values import FrameContext, TokenGeometry, TokenMasks

Modality = Literal["2D", "3D"]


class OneModalityRandom(Baseline):
    """Keep every token of one modality, and of the other by lot what the target rate, a share of it, leaves.

    No token bucket: the kept count is that of the paper's case studies. At least one token of each modality survives.
    """

    def __init__(self, config: PruningConfig | None, modality: Modality) -> None:
        """Say which modality is pruned. Raises ValueError for another one, and without a `target_rate`."""
        if modality not in ("2D", "3D"):
            raise ValueError(f"modality = {modality!r} must be 2D or 3D")
        super().__init__(config)
        self.modality = modality

    def _choose(self, geometry: TokenGeometry, frame: FrameContext | None) -> TokenMasks:
        rate = self.config.target_rate
        assert rate is not None  # checked when the pruner was made
        generator = torch.Generator().manual_seed((self.config.seed * 1_000_003 + self._step.number) % 2**63)
        everything = TokenMasks.all_kept(geometry)
        pruned = everything.keep_2d if self.modality == "2D" else everything.keep_3d
        size = max(round((1 - rate) * len(pruned)), 1)
        chosen = torch.randperm(len(pruned), generator=generator)[:size].to(pruned.device)
        kept = torch.zeros_like(pruned).index_fill(0, chosen, True)
        return TokenMasks(kept, everything.keep_3d) if self.modality == "2D" else TokenMasks(everything.keep_2d, kept)
