"""Baselines that decide before the frame is encoded: no pruning, random pruning, and SP-VLA (arXiv 2506.12723).

Random pruning is the least that any other method has to beat. SP-VLA keeps edges and what was attended to, fewer tokens
when the arm moves slowly.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from tristage_ros.pruning.baselines.base import Baseline, at_tokens, patch_attention
from tristage_ros.pruning.config import PruningConfig
from tristage_ros.pruning.values import FrameContext, TokenGeometry, TokenMasks, value_at_points


class Unpruned(Baseline):
    """Keep every token in every step; a `target_rate` has no effect."""

    needs_rate: ClassVar[bool] = False


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


class SpVla(Baseline):
    """Keep the patches that hold an edge, then those of the highest accumulated attention.

    The method's threshold tau(v) on attention, v the speed of the tool, is not published. Here it follows from a
    rate: the target rate at rest, falling in proportion to the speed to `fast_share` of it at `fast_speed`, since
    the method keeps more tokens when the arm moves fast. Edges are those of colour and, for 3D tokens, of depth.
    The attention is that of the action queries in past steps, where the paper takes the image encoder's; it is
    accumulated with weight `decay` on the past. Steps before the first observation run unpruned. The paper's second
    half, a small model that acts in the large one's place, is left out.
    """

    learns: ClassVar[bool] = True
    wants_edges: ClassVar[bool] = True

    def __init__(
        self,
        config: PruningConfig | None = None,
        *,
        fast_speed: float = 0.25,
        fast_share: float = 0.5,
        decay: float = 0.8,
    ) -> None:
        """Take what the paper leaves open.

        Args:
            fast_speed: m/s, speed of the tool from which on the rate falls no further.
            fast_share: share of the target rate that is left there, 0..1.
            decay: weight of the past in the accumulated attention, 0 <= decay < 1.
        """
        if fast_speed <= 0 or not 0 <= fast_share <= 1 or not 0 <= decay < 1:
            values = f"fast_speed = {fast_speed}, fast_share = {fast_share}, decay = {decay}"
            raise ValueError(f"{values} must be above 0, in [0, 1] and in [0, 1)")
        super().__init__(config)
        self.fast_speed, self.fast_share, self.decay = fast_speed, fast_share, decay

    def rate(self, tool_speed: float | None) -> float:
        """Return the share of tokens to prune at a speed of the tool, m/s; None counts as rest."""
        assert self.config.target_rate is not None  # checked when the pruner was made
        fast = min((tool_speed or 0.0) / self.fast_speed, 1.0)
        return self.config.target_rate * (1.0 - (1.0 - self.fast_share) * fast)

    def _check_frame(self, geometry: TokenGeometry, frame: FrameContext | None) -> None:
        edges = None if frame is None else frame.edges
        if edges is None:
            raise ValueError("edges = None, but SpVla looks at them: give plan() the frame's edge patches")
        if edges.dtype != torch.bool or list(edges.shape) != [geometry.patches]:
            raise ValueError(f"edges is {edges.dtype} {list(edges.shape)}; need bool [{geometry.patches}]")

    def _keeps_all(self) -> bool:
        return super()._keeps_all() or self._history is None

    def _learn(self, geometry: TokenGeometry, masks: TokenMasks, magnitudes: Tensor) -> Tensor:
        past = self._history
        newest = patch_attention(geometry, masks, magnitudes, past)
        return newest if past is None else torch.lerp(newest, past, self.decay)

    def _choose(self, geometry: TokenGeometry, frame: FrameContext | None) -> TokenMasks:
        assert frame is not None and frame.edges is not None and self._history is not None
        edges = frame.edges.to(geometry.patch_of_point.device)
        first = torch.cat([edges, value_at_points(geometry, edges, False)])
        size = self._size(geometry, self.rate(frame.tool_speed))
        return self._keep_best(geometry, first, at_tokens(geometry, self._history), size)
