"""The two ways to run the denoising passes of one control step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import torch
from torch import Tensor

from tristage_ros.mla.llama import KvCache, Llama, branched_mask

EngineName = Literal["cached", "recompute"]
ENGINES: tuple[EngineName, ...] = ("cached", "recompute")


@dataclass(frozen=True)
class Prefix:
    """Hold the tokens of a control step that stay the same while denoising."""

    embeddings: Tensor  # [1, S, width]
    positions: Tensor  # long [S], of the unpruned sequence

    def __len__(self) -> int:
        """Return S."""
        return len(self.positions)

    def keep(self, rows: Tensor) -> Prefix:
        """Return the prefix with only the given rows, long [n] ascending."""
        return replace(self, embeddings=self.embeddings[:, rows], positions=self.positions[rows])


@dataclass(frozen=True)
class PassOutput:
    """Hold what one denoising pass gave."""

    suffix: Tensor  # [1, n, width] last block's output before the final norm, of the suffix
    prefix: Tensor  # [1, S, width] the same of the prefix
    attention: Tensor | None  # float32 [heads, S] that the prefix received from the suffix; None unless observed


class Engine(Protocol):
    """Run passes of a prefix that stays and suffixes that change."""

    def run(self, suffix: Tensor, observe: bool = False) -> PassOutput:
        """Run suffixes of n tokens each, [1, n * k, width], side by side behind the prefix: none sees another.

        What is observed is the attention of the last one.
        """

    def renew(self, embed: Callable[[], Prefix]) -> None:
        """Take the prefix from `embed` once more, where the engine computes nothing once only."""

    def keep(self, rows: Tensor) -> None:
        """Drop every row of the prefix but `rows`, long [n] ascending, for the passes to come."""


class CachedEngine:
    """Run the prefix once, along with the first suffixes, and then suffixes alone over its keys and values."""

    def __init__(self, llm: Llama, prefix: Prefix, suffix_positions: Tensor, branches: int = 1) -> None:
        """Reserve room for up to `branches` suffixes side by side."""
        self.llm, self.prefix, self.suffix_positions = llm, prefix, suffix_positions
        self.cache = KvCache(llm.config, len(prefix), len(suffix_positions) * branches, prefix.embeddings)
        self.hidden: Tensor | None = None  # of the prefix, once it was run

    def prefill(self, watched: int = 0) -> tuple[Tensor, Tensor | None]:
        """Run the prefix alone, and return its last outputs and what its last `watched` tokens attended to."""
        rows = last(watched, len(self.prefix), self.prefix.positions) if watched else None
        self.hidden, attention = self.llm(self.prefix.embeddings, self.prefix.positions, self.cache, watched=rows)
        return self.hidden, attention

    def run(self, suffix: Tensor, observe: bool = False) -> PassOutput:
        """Run suffixes side by side behind the prefix; the first time, the prefix goes with them."""
        if self.hidden is None:
            output = _together(self.llm, self.prefix, suffix, self.suffix_positions, observe, self.cache)
            self.hidden = output.prefix
            return output
        start, tokens = self.cache.prefix, len(self.suffix_positions)
        branches = suffix.shape[1] // tokens
        seen = branched_mask(suffix.shape[1], start, tokens, branches, suffix.device)
        positions = self.suffix_positions.repeat(branches)
        watched = last(tokens, suffix.shape[1], positions) if observe else None
        hidden, attention = self.llm(suffix, positions, self.cache, start, watched, seen)
        return PassOutput(hidden, self.hidden, None if attention is None else attention[:, :start])

    def renew(self, embed: Callable[[], Prefix]) -> None:
        """Do nothing: the prefix is the same in all passes."""

    def keep(self, rows: Tensor) -> None:
        """Drop rows from the cache; what is left has seen the dropped ones during the prefill."""
        assert self.hidden is not None  # rows are chosen by a pass
        self.cache.keep(rows)
        self.hidden = self.hidden[:, rows]


class RecomputeEngine:
    """Run the whole sequence in every pass, tokenizers included, as the released code does."""

    def __init__(self, llm: Llama, prefix: Prefix, suffix_positions: Tensor) -> None:
        """Keep the prefix; there is nothing to compute ahead."""
        self.llm, self.prefix, self.suffix_positions = llm, prefix, suffix_positions

    def run(self, suffix: Tensor, observe: bool = False) -> PassOutput:
        """Run prefix and suffixes."""
        return _together(self.llm, self.prefix, suffix, self.suffix_positions, observe)

    def renew(self, embed: Callable[[], Prefix]) -> None:
        """Replace the prefix."""
        self.prefix = embed()

    def keep(self, rows: Tensor) -> None:
        """Drop rows from the sequence; the passes to come have never seen the others."""
        self.prefix = self.prefix.keep(rows)


def make_engine(name: EngineName, llm: Llama, prefix: Prefix, suffix_positions: Tensor, branches: int = 1) -> Engine:
    """Return the engine called `name`, with room for up to `branches` suffixes side by side."""
    if name == "cached":
        return CachedEngine(llm, prefix, suffix_positions, branches)
    return RecomputeEngine(llm, prefix, suffix_positions)


def _together(
    llm: Llama, prefix: Prefix, suffix: Tensor, suffix_positions: Tensor, observe: bool, cache: KvCache | None = None
) -> PassOutput:
    """Run the prefix and suffixes side by side in one pass."""
    start, tokens = len(prefix), len(suffix_positions)
    branches = suffix.shape[1] // tokens
    positions = torch.cat([prefix.positions, suffix_positions.repeat(branches)])
    seen = branched_mask(len(positions), start, tokens, branches, suffix.device) if branches > 1 else None
    x = torch.cat([prefix.embeddings, suffix], 1)
    watched = last(tokens, len(positions), positions) if observe else None
    hidden, attention = llm(x, positions, cache, watched=watched, seen=seen)
    return PassOutput(hidden[:, start:], hidden[:, :start], None if attention is None else attention[:, :start])


def last(count: int, total: int, like: Tensor) -> Tensor:
    """Return which are the last `count` of `total` tokens, long, on the device of `like`."""
    return torch.arange(total - count, total, device=like.device)
