"""FastV (arXiv 2403.06764): attention of an early layer says which tokens the later ones need."""

from __future__ import annotations

import torch

from tristage_ros.pruning.baselines.in_pass import InPassBaseline
from tristage_ros.pruning.config import PruningConfig
from tristage_ros.pruning.values import LayerAttention, TokenGeometry, TokenMasks


class FastV(InPassBaseline):
    """Keep the tokens that the last token attends to most in the layer before `mid_layer`, mean over heads.

    The paper knows image tokens of one kind only; what it leaves open for two modalities is `by_modality`. The last
    token is that of the prefix, which stays the same while denoising: decided once, in the first pass of a step.
    """

    def __init__(self, config: PruningConfig | None = None, *, mid_layer: int = 2, by_modality: bool = False) -> None:
        """Take the paper's layer.

        Args:
            mid_layer: the paper's K.
            by_modality: False ranks the tokens of both modalities together, True prunes both at the same rate.
        """
        super().__init__(config, mid_layer, 1)
        self.by_modality = by_modality

    def _choose_inside(self, geometry: TokenGeometry, attention: LayerAttention) -> TokenMasks:
        score = torch.cat([attention.attention_2d, attention.attention_3d]).mean(1)
        nothing = torch.zeros_like(score, dtype=torch.bool)
        return self._keep_best(geometry, nothing, score, self._size(geometry), self.by_modality)
