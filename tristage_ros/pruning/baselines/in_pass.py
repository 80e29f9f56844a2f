"""Baselines that decide inside the pass, from what an early layer attends to: FastV and VLA-Pruner.

FastV (arXiv 2403.06764): attention of an early layer says which tokens the later ones need. VLA-Pruner (arXiv
2511.16449) unites what the prompt looks at now with what the actions looked at before.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from tristage_ros.pruning.baselines.base import Baseline, at_tokens, patch_attention
from tristage_ros.pruning.checks import check_layer_attention
from tristage_ros.pruning.config import PruningConfig
from tristage_ros.pruning.decision import excess, with_anchor
from tristage_ros.pruning.values import LayerAttention, TokenGeometry, TokenMasks


class InPassBaseline(Baseline, ABC):
    """Embed every token, run the layers before `mid_layer` on all, and the others on what `mid_pass()` keeps.

    The choice is made in the first denoising pass of a step. As published, for models of one pass, the layers before it
    go on showing all tokens; with `for_good` the passes to come run on what is kept alone, from the first layer on.
    """

    mid_states: ClassVar[bool] = False  # whether `mid_pass()` is to be given the states of the layer's tokens

    def __init__(
        self, config: PruningConfig | None, mid_layer: int, mid_queries: int | None, for_good: bool = False
    ) -> None:
        """Say when to decide, whose attention to look at, and what becomes of the passes after the first.

        Args:
            mid_layer: the first layer that runs on fewer tokens, from 1; the attention is that of the layer before.
            mid_queries: how many of the last tokens' attention to average; None: that of all tokens, 0: no attention.
            for_good: whether what is dropped is dropped from the passes to come, early layers and encoders included.
        """
        if mid_layer < 1:
            raise ValueError(f"mid_layer = {mid_layer} must be at least 1")
        super().__init__(config)
        self.mid_layer, self.mid_queries, self.for_good = mid_layer, mid_queries, for_good

    @torch.no_grad()
    def mid_pass(self, layer: int, attention: LayerAttention) -> TokenMasks | None:
        """Return what the layers from `layer` on are to see, or None where that is everything.

        Raises RuntimeError before the step's `plan()`, ValueError for attention of other shapes or bad numbers.
        """
        step = self._step
        if step.geometry is None:
            raise RuntimeError("mid_pass() belongs between plan() and observe() of a step: call plan() first")
        check_layer_attention(step.geometry, attention)
        if layer != self.mid_layer or self._keeps_all():
            return None
        with step.clock.timed("fusion"):
            step.masks = self._choose_inside(step.geometry, attention)
        return step.masks

    @abstractmethod
    def _choose_inside(self, geometry: TokenGeometry, attention: LayerAttention) -> TokenMasks:
        """Return the masks from what the layer shows."""


class FastV(InPassBaseline):
    """Keep the tokens that the last token attends to most in the layer before `mid_layer`, mean over heads.

    The paper knows image tokens of one kind only; what it leaves open for two modalities is `by_modality`. The last
    token is that of the prefix, which stays the same while denoising: decided once, in the first pass of a step.
    """

    def __init__(
        self,
        config: PruningConfig | None = None,
        *,
        mid_layer: int = 2,
        by_modality: bool = False,
        for_good: bool = False,
    ) -> None:
        """Take the paper's layer.

        Args:
            mid_layer: the paper's K.
            by_modality: False ranks the tokens of both modalities together, True prunes both at the same rate.
            for_good: see `InPassBaseline`.
        """
        super().__init__(config, mid_layer, 1, for_good)
        self.by_modality = by_modality

    def _choose_inside(self, geometry: TokenGeometry, attention: LayerAttention) -> TokenMasks:
        score = torch.cat([attention.attention_2d, attention.attention_3d]).mean(1)
        nothing = torch.zeros_like(score, dtype=torch.bool)
        return self._keep_best(geometry, nothing, score, self._size(geometry), self.by_modality)


class VlaPruner(InPassBaseline):
    """Unite the best tokens of two rankings and thin them out to the most different ones.

    One ranking is by the attention that the tokens before the actions pay in the layer before `mid_layer`, the other
    by the attention that the action queries paid in the last `window` steps, weighted by decay^age, newest first. A
    step runs unpruned until there are as many; with `full_history` False, until there is one. Differences are cosine
    distances of the embeddings. Left open by the paper, or decided otherwise:
    the actions' attention is the mean over all layers, where the released code takes one in the middle; tokens that
    a step pruned keep their last score (`unseen_is_zero` gives them zero, as the released code does, and with it a
    history that confirms itself); both modalities are ranked together; 3D tokens share their patch's history.
    """

    learns: ClassVar[bool] = True

    def __init__(
        self,
        config: PruningConfig | None = None,
        *,
        mid_layer: int = 3,
        mid_queries: int | None = None,
        window: int = 3,
        decay: float = 0.8,
        full_history: bool = True,
        unseen_is_zero: bool = False,
        for_good: bool = False,
    ) -> None:
        """Take the released code's settings.

        Args:
            mid_layer: first layer on fewer tokens.
            mid_queries: tokens whose attention ranks; None: all of the prefix, 1: the last, as FastV.
            window: steps of history, at least 1.
            decay: weight of a step of history by that of the next, 0 < decay <= 1.
            full_history: wait for all of `window` before pruning.
            unseen_is_zero: score of the tokens that a step pruned.
            for_good: see `InPassBaseline`.
        """
        if mid_queries is not None and mid_queries < 1:
            raise ValueError(f"mid_queries = {mid_queries} must be at least 1")
        if window < 1 or not 0 < decay <= 1:
            raise ValueError(f"window = {window} and decay = {decay} must be at least 1 and in (0, 1]")
        super().__init__(config, mid_layer, mid_queries, for_good)
        self.window, self.decay, self.unseen_is_zero = window, decay, unseen_is_zero
        self.enough = window if full_history else 1

    @property
    def looks(self) -> int:
        """Return how many steps after a reset keep every token."""
        return max(super().looks, self.enough)

    def _keeps_all(self) -> bool:
        return super()._keeps_all() or self._history is None or len(self._history) < self.enough

    def _learn(self, geometry: TokenGeometry, masks: TokenMasks, magnitudes: Tensor) -> Tensor:
        past = self._history
        unseen = None if past is None or self.unseen_is_zero else past[0]
        newest = patch_attention(geometry, masks, magnitudes, unseen)[None]
        return newest if past is None else torch.cat([newest, past])[: self.window]

    def _choose_inside(self, geometry: TokenGeometry, attention: LayerAttention) -> TokenMasks:
        assert self._history is not None  # or the step would not be pruned
        steps = len(self._history)
        weight = self.decay ** torch.arange(steps, device=self._history.device, dtype=self._history.dtype)
        by_actions = at_tokens(geometry, (weight[:, None, None] * self._history).sum(0))
        by_prompt = torch.cat([attention.attention_2d, attention.attention_3d]).mean(1)
        embedding = torch.cat([attention.embedding_2d, attention.embedding_3d])
        protected_2d, protected_3d = self._protection(geometry)
        keep = self._select(geometry, torch.cat([protected_2d, protected_3d]), by_actions, by_prompt, embedding)
        if not bool(keep[: geometry.patches].any()):
            anchor = with_anchor(protected_2d, protected_2d, by_prompt[: geometry.patches])
            keep = self._select(geometry, torch.cat([anchor, protected_3d]), by_actions, by_prompt, embedding)
        return TokenMasks(keep[: geometry.patches], keep[geometry.patches :])

    def _select(
        self, geometry: TokenGeometry, protected: Tensor, by_actions: Tensor, by_prompt: Tensor, embedding: Tensor
    ) -> Tensor:
        size = self._size(geometry)
        self._step.excess = excess(protected, size)
        room = max(size - int(protected.sum()), 0)
        candidate = top(by_actions, room, ~protected) | top(by_prompt, room, ~protected)
        return protected.index_fill(0, most_different(embedding, candidate.nonzero()[:, 0], room), True)


def top(score: Tensor, count: int, among: Tensor) -> Tensor:
    """Tell the `count` tokens of the highest score [T] `among` (bool [T]) all, bool [T]; the earlier wins a tie."""
    order = score.masked_fill(~among, -torch.inf).sort(descending=True, stable=True).indices
    return torch.zeros_like(among).index_fill(0, order[:count], True) & among


def most_different(embedding: Tensor, tokens: Tensor, count: int) -> Tensor:
    """Pick `count` of `tokens` (long [C]) one after another, each the farthest from those picked, long [count].

    Distance is one minus the cosine of the `embedding` rows [T, W]; the first is the one farthest from its nearest.
    All are picked where there are no more than `count`.
    """
    if len(tokens) <= count:
        return tokens
    unit = F.normalize(embedding[tokens].float(), dim=1)
    distance = 1 - unit @ unit.T
    distance = torch.minimum(distance, distance.T)  # two that are each other's nearest tie, however the sum was rounded
    nearest = distance.fill_diagonal_(torch.inf).min(1).values
    picked = torch.zeros(count, dtype=torch.long, device=tokens.device)
    for rank in range(count):
        picked[rank] = nearest.argmax()
        away = distance[picked[rank]]
        nearest = torch.minimum(nearest, away) if rank else away.clone()
        nearest[picked[rank]] = -torch.inf
    return tokens[picked]
