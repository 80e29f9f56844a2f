"""Random pruning: the least that any other method has to beat."""

from __future__ import annotations

import torch

from tristage_ros.pruning.baselines.base import Baseline
from tristage_ros.pruning.values import FrameContext, TokenGeometry, TokenMasks


class NaiveRandom(Baseline):
    """Keep tokens by lot in every step, as many of each modality as the target rate leaves of it.

    The lot depends on the configuration's seed and the step alone, so that a step can be planned again.
    """

    def _choose(self, geometry: TokenGeometry, frame: FrameContext | None) -> TokenMasks:
        generator = torch.Generator().manual_seed((self.config.seed * 1_000_003 + self._step.number) % 2**63)
        score = torch.rand(geometry.patches + len(geometry.patch_of_point), generator=generator)
        score = score.to(geometry.patch_of_point.device)
        nothing = torch.zeros_like(score, dtype=torch.bool)
        return self._keep_best(geometry, nothing, score, self._size(geometry), by_modality=True)
