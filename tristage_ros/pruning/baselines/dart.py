"""A baseline that needs no attention: DART (arXiv 2502.11494) keeps what is no duplicate."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from tristage_ros.pruning.baselines.in_pass import InPassBaseline
from tristage_ros.pruning.config import PruningConfig
from tristage_ros.pruning.decision import excess, with_anchor
from tristage_ros.pruning.values import LayerAttention, LayerStates, TokenGeometry, TokenMasks


class Dart(InPassBaseline):
    """Keep a few pivots and, pivot by pivot, the tokens that are least similar to it.

    Pivots are the tokens of the largest keys (L1 norm) in the layer before `mid_layer`: as many of the 2D tokens, of
    the 3D tokens and of the text, whose pivots only compare. Each takes the same number of those that are left, by the
    cosine of the layer's outputs behind the decoder's final norm. Left open by the paper, or decided otherwise: it
    knows image tokens of one kind only; the pivots take their turns by modality and position, where the released code
    walks over a set; what does not divide by the pivots goes to the first of them, so that the budget is exact. Text
    is what stands behind the visual tokens, the state included.
    """

    mid_states: ClassVar[bool] = True

    def __init__(
        self, config: PruningConfig | None = None, *, mid_layer: int = 2, pivots: int = 4, for_good: bool = False
    ) -> None:
        """Take the released code's settings.

        Args:
            mid_layer: first layer on fewer tokens.
            pivots: of every modality, at least 1.
            for_good: see `InPassBaseline`.
        """
        if pivots < 1:
            raise ValueError(f"pivots = {pivots} must be at least 1")
        super().__init__(config, mid_layer, 0, for_good)
        self.pivots = pivots

    def _choose_inside(self, geometry: TokenGeometry, attention: LayerAttention) -> TokenMasks:
        states = attention.states
        if states is None:
            raise ValueError("states = None, but Dart looks at them: give mid_pass() those of the layer")
        protected_2d, protected_3d = self._protection(geometry)
        protected_2d = with_anchor(protected_2d, torch.zeros_like(protected_2d), states.key_2d)
        keep, size = torch.cat([protected_2d, protected_3d]), self._size(geometry)
        self._step.excess = excess(keep, size)
        keep = self._different(states, keep, size - int(keep.sum()))
        return TokenMasks(keep[: geometry.patches], keep[geometry.patches :])

    def _different(self, states: LayerStates, keep: Tensor, room: int) -> Tensor:
        """Add `room` tokens to those that are kept, bool [P + N3]: pivots, then what differs from them."""
        patches = len(states.key_2d)
        of_2d, of_3d, of_text = (self._largest(key) for key in (states.key_2d, states.key_3d, states.key_text))
        pivots = torch.cat([of_2d, of_3d + patches])
        visual = F.normalize(torch.cat([states.hidden_2d, states.hidden_3d]).float(), dim=1)
        text = F.normalize(states.hidden_text[of_text].float(), dim=1)
        keys = torch.cat([states.key_2d, states.key_3d])
        added = pivots[~keep[pivots]]
        added = added[keys[added].sort(descending=True, stable=True).indices][: max(room, 0)]
        keep, room = keep.index_fill(0, added, True), max(room - len(added), 0)
        compared = torch.cat([visual[pivots], text])
        for turn, pivot in enumerate(compared):
            share = room // len(compared) + (turn < room % len(compared))
            free = (~keep).nonzero()[:, 0]
            least = (visual[free] @ pivot).sort(stable=True).indices[:share]
            keep = keep.index_fill(0, free[least], True)
        return keep

    def _largest(self, key: Tensor) -> Tensor:
        """Return where the largest keys are, long, ascending; the earlier of equal ones."""
        return key.sort(descending=True, stable=True).indices[: self.pivots].sort().values
