"""A pass that loses tokens on its way through the blocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from tristage_ros.mla.engine import CachedEngine, EngineName, PassOutput, Prefix, RecomputeEngine
from tristage_ros.mla.llama import Llama


@dataclass(frozen=True)
class MidPass:
    """Say where in the pass rows of the prefix are dropped, and by whose choice."""

    layer: int  # the first block that runs on what is kept, from 1
    queries: int | None  # how many of the prefix's last tokens' attention is averaged; None: all of them
    choose: Callable[[Tensor], Tensor | None]  # from attention in the block before, float32 [heads, S]; None: all rows


class MidPassEngine:
    """Chain two or three engines over parts of the blocks, of which the last runs on the kept rows alone.

    What is dropped stays in the early blocks' keys and values, so that later tokens go on attending to it there; kept
    rows keep their positions. The choice is made once, by the attention of the prefix, which is the same in every pass:
    both kinds of engine give the same result. Recomputing, it costs one run of the early blocks over the prefix more.
    """

    def __init__(
        self, name: EngineName, llm: Llama, prefix: Prefix, suffix_positions: Tensor, mid: MidPass, branches: int = 1
    ) -> None:
        """Prefill as far as the choice, and with `cached` to the end. Raises ValueError for a layer out of range."""
        layers = llm.config.layers
        if not 1 <= mid.layer < layers:
            raise ValueError(f"mid_layer = {mid.layer} must be from 1 to {layers - 1}: the model has {layers} layers")
        self.prefix, self.suffix_positions, self._branches = prefix, suffix_positions, branches
        bounds = sorted({0, mid.layer - 1, mid.layer, layers})
        self._parts = [llm.part(slice(*ends)) for ends in pairwise(bounds)]
        self._engines, self._rows, hidden = self._prefill(mid)
        if name == "cached":
            self._engines.append(CachedEngine(self._parts[-1], self._kept(hidden), suffix_positions, branches))
        else:
            self._engines.clear()

    def _prefill(self, mid: MidPass) -> tuple[list[CachedEngine], Tensor, Tensor]:
        """Run the prefix as far as the choice, let it be made, and return engines, rows and outputs so far."""
        prefix, engines, attention = self.prefix, list[CachedEngine](), None
        queries = len(prefix) if mid.queries is None else min(mid.queries, len(prefix))
        for part in self._parts[:-1]:
            engines.append(CachedEngine(part, prefix, self.suffix_positions, self._branches))
            hidden, attention = engines[-1].prefill(queries if part is self._parts[-2] else 0)
            prefix = replace(prefix, embeddings=hidden)
        assert attention is not None  # it was watched
        rows = mid.choose(attention)
        everything = torch.arange(len(prefix), device=prefix.positions.device)
        return engines, everything if rows is None else rows, prefix.embeddings

    def _kept(self, hidden: Tensor) -> Prefix:
        return Prefix(hidden, self.prefix.positions).keep(self._rows)

    def run(self, suffix: Tensor, observe: bool = False) -> PassOutput:
        """Run the suffix; `prefix` and `attention` of the result are those of the kept rows."""
        output, shares = PassOutput(suffix, self.prefix.embeddings, None), []
        for index, part in enumerate(self._parts):
            late = part is self._parts[-1]
            if self._engines:
                output = self._engines[index].run(output.suffix, observe)
            else:
                prefix = self._kept(output.prefix) if late else Prefix(output.prefix, self.prefix.positions)
                output = RecomputeEngine(part, prefix, self.suffix_positions).run(output.suffix, observe)
            if output.attention is not None:
                kept = output.attention if late else output.attention[:, self._rows]
                shares.append(kept * part.config.layers)
        layers = sum(part.config.layers for part in self._parts)
        return replace(output, attention=torch.stack(shares).sum(0) / layers if shares else None)

    def renew(self, embed: Callable[[], Prefix]) -> None:
        """Replace the prefix where every pass computes it."""
        if not self._engines:
            self.prefix = embed()

    def keep(self, rows: Tensor) -> None:
        """Drop rows, counted among the kept ones, for the late blocks of the passes to come."""
        self._rows = self._rows[rows]
        for engine in self._engines[-1:]:
            engine.keep(rows)
