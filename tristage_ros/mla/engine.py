"""The two ways to run the denoising passes of one control step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import torch
from torch import Tensor

from tristage_ros.mla.llama import KvCache, Llama

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
    """Run passes of a prefix that stays and a suffix that changes."""

    def run(self, suffix: Tensor, observe: bool = False) -> PassOutput:
        """Run the suffix, [1, n, width], behind the prefix."""

    def renew(self, embed: Callable[[], Prefix]) -> None:
        """Take the prefix from `embed` once more, where the engine computes nothing once only."""

    def keep(self, rows: Tensor) -> None:
        """Drop every row of the prefix but `rows`, long [n] ascending, for the passes to come."""


class CachedEngine:
    """Run the prefix once and then the suffix alone, over the prefix's keys and values."""

    def __init__(self, llm: Llama, prefix: Prefix, suffix_positions: Tensor, watched: int = 0) -> None:
        """Prefill, keeping the attention of the last `watched` tokens of the prefix as `attention`."""
        self.llm, self.positions = llm, suffix_positions
        self.cache = KvCache(llm.config, len(prefix), len(suffix_positions), prefix.embeddings)
        self.hidden, self.attention = llm(prefix.embeddings, prefix.positions, self.cache, watched=watched)

    def run(self, suffix: Tensor, observe: bool = False) -> PassOutput:
        """Run the suffix behind the prefix."""
        start = self.cache.prefix
        watched = suffix.shape[1] if observe else 0
        hidden, attention = self.llm(suffix, self.positions, self.cache, start, watched)
        return PassOutput(hidden, self.hidden, None if attention is None else attention[:, :start])

    def renew(self, embed: Callable[[], Prefix]) -> None:
        """Do nothing: the prefix is the same in all passes."""

    def keep(self, rows: Tensor) -> None:
        """Drop rows from the cache; what is left has seen the dropped ones during the prefill."""
        self.cache.keep(rows)
        self.hidden = self.hidden[:, rows]


class RecomputeEngine:
    """Run the whole sequence in every pass, tokenizers included, as the released code does."""

    def __init__(self, llm: Llama, prefix: Prefix, suffix_positions: Tensor) -> None:
        """Keep the prefix; there is nothing to compute ahead."""
        self.llm, self.prefix, self.suffix_positions = llm, prefix, suffix_positions

    def run(self, suffix: Tensor, observe: bool = False) -> PassOutput:
        """Run prefix and suffix."""
        tokens, start = suffix.shape[1], len(self.prefix)
        x = torch.cat([self.prefix.embeddings, suffix], 1)
        positions = torch.cat([self.prefix.positions, self.suffix_positions])
        hidden, attention = self.llm(x, positions, watched=tokens if observe else 0)
        return PassOutput(hidden[:, start:], hidden[:, :start], None if attention is None else attention[:, :start])

    def renew(self, embed: Callable[[], Prefix]) -> None:
        """Replace the prefix."""
        self.prefix = embed()

    def keep(self, rows: Tensor) -> None:
        """Drop rows from the sequence; the passes to come have never seen the others."""
        self.prefix = self.prefix.keep(rows)


def make_engine(name: EngineName, llm: Llama, prefix: Prefix, suffix_positions: Tensor) -> Engine:
    """Return the engine called `name`, prefilled where it has a cache."""
    return (CachedEngine if name == "cached" else RecomputeEngine)(llm, prefix, suffix_positions)
