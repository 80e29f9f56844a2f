"""A pass that loses tokens on its way through the blocks, by the choice of what one of them shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from tristage_ros.mla.engines import (
    CachedEngine,
    EngineName,
    PassOutput,
    Prefix,
    Suffix,
    together,
)
from tristage_ros.mla.llama import Llama


@dataclass(frozen=True)
class BlockOutput:
    """Hold what a block shows of the prefix that ran through it."""

    attention: Tensor | None  # float32 [heads, S] that the prefix received from its last tokens; None: none watched
    hidden: Tensor  # [S, width] after the block
    keys: Tensor  # [heads, S, head_width] rotated


@dataclass(frozen=True)
class MidPass:
    """Say where in the pass rows of the prefix are dropped, by whose choice, and for how long."""

    layer: int  # the first block that runs on what is kept, from 1
    queries: int | None  # of the prefix's last tokens, whose attention is averaged; None: all, 0: none is watched
    choose: Callable[[BlockOutput], Tensor | None]  # which rows to keep, from the block before; None: all
    for_good: bool = False  # whether the passes after the first run on the kept rows alone, from the first block on


class MidPassEngine:
    """Chain two or three engines over parts of the blocks, of which the last runs on the kept rows alone.

    What is dropped stays in the early blocks' keys and values, so that later tokens go on attending to it there; kept
    rows keep their positions. The choice is made once, by the prefix, which is the same in every pass: both kinds of
    engine give the same result. Recomputing, it costs one run of the early blocks over the prefix more.

    Where rows are dropped for good, that holds for the first pass alone, which goes on from the choice. Later ones find
    no dropped row in any block: recomputed, they are those of a sequence that never had it; cached, the kept rows stay
    as the first pass left them.
    """

    def __init__(
        self, name: EngineName, llm: Llama, prefix: Prefix, suffix: Suffix, mid: MidPass, branches: int = 1
    ) -> None:
        """Prefill as far as the choice, and with `cached` to the end. Raises ValueError for a layer out of range."""
        layers = llm.config.layers
        if not 1 <= mid.layer < layers:
            raise ValueError(f"mid_layer = {mid.layer} must be from 1 to {layers - 1}: the model has {layers} layers")
        self.prefix, self.suffix, self._branches = prefix, suffix, branches
        bounds = sorted({0, mid.layer - 1, mid.layer, layers})
        self._parts = [llm.part(slice(*ends)) for ends in pairwise(bounds)]
        self._engines, self._rows, hidden = self._prefill(mid)
        if name == "cached" or mid.for_good:
            self._engines.append(CachedEngine(self._parts[-1], self._kept(hidden), suffix, branches))
        else:
            self._engines.clear()
        self._whole = llm if name == "recompute" else None  # what later passes go through, dropped for good
        self._forgets = mid.for_good

    def _prefill(self, mid: MidPass) -> tuple[list[CachedEngine], Tensor, Tensor]:
        """Run the prefix as far as the choice, let it be made, and return engines, rows and outputs so far."""
        prefix, engines, attention = self.prefix, list[CachedEngine](), None
        queries = len(prefix) if mid.queries is None else min(mid.queries, len(prefix))
        for part in self._parts[:-1]:
            engine = CachedEngine(part, prefix, self.suffix, self._branches)
            hidden, attention = engine.prefill(queries if part is self._parts[-2] else 0)
            prefix = replace(prefix, embeddings=hidden)
            engines.append(engine)
        keys = engine.cache.store[0, -1, 0, :, engine.cache.front :]
        rows = mid.choose(BlockOutput(attention, prefix.embeddings[0], keys))
        everything = torch.arange(len(prefix), device=prefix.positions.device)
        return engines, everything if rows is None else rows, prefix.embeddings

    def _kept(self, hidden: Tensor) -> Prefix:
        return Prefix(hidden, self.prefix.positions).keep(self._rows)

    def run(self, first: int, actions: Tensor, observe: bool = False) -> PassOutput:
        """Run actions; `prefix` and `attention` of the result are those of the kept rows."""
        if not self._engines:
            actions = torch.cat([self.suffix.times[first : first + len(actions), None], actions], 1)
        output, shares = PassOutput(actions, self.prefix.embeddings, None), []
        for index, part in enumerate(self._parts):
            late = part is self._parts[-1]
            if self._engines:
                if output.steps is not None:
                    self._engines[index].take(output.steps)
                output = self._engines[index].run(first, output.actions, observe)
            else:
                prefix = self._kept(output.prefix) if late else Prefix(output.prefix, self.prefix.positions)
                output = together(part, prefix, output.actions, self.suffix, observe)
            if output.attention is not None:
                kept = output.attention if late else output.attention[:, self._rows]
                shares.append(kept * part.config.layers)
        if not self._engines:
            output = replace(output, actions=output.actions[:, 1:])
        layers = sum(part.config.layers for part in self._parts)
        if self._forgets:
            self._forget()
        return replace(output, attention=torch.stack(shares).sum(0) / layers if shares else None)

    def _forget(self) -> None:
        """Let the passes to come know the kept rows alone."""
        if self._whole is None:
            for engine in self._engines[:-1]:
                engine.keep(self._rows)
        else:
            self._parts, self.prefix = [self._whole], self.prefix.keep(self._rows)
            self._engines.clear()
        self._rows, self._forgets = torch.arange(len(self._rows), device=self._rows.device), False

    def renew(self, embed: Callable[[], Prefix]) -> None:
        """Replace the prefix where every pass computes it; by that of the kept rows, once the others are forgotten."""
        for engine in self._engines:
            engine.renew(embed)
        if not self._engines:
            self.prefix = embed()

    def keep(self, rows: Tensor) -> None:
        """Drop rows, counted among the kept ones, for the late blocks of the passes to come."""
        self._rows = self._rows[rows]
        for engine in self._engines[-1:]:
            engine.keep(rows)
