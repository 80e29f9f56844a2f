"""The two ways to run the passes of a control step: the prefix once, or anew in every pass.

An `Engine` runs the decoder over a prefix that stays, and behind it noisy actions that change. Between the two stands
the denoising step that is evaluated. Its token sees the prefix and no action, so that the tokens of all steps are known
beforehand: `CachedEngine` runs them along with the prefix, and then the actions alone.

`captured` does on a GPU what `CachedEngine` does here, in recorded passes; `mid_pass` drops tokens on their way through
the blocks. The decoder itself is in `llama`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import torch
from torch import Tensor

from tristage_ros.mla.llama import KvCache, Llama, attention_received, causal_mask

EngineName = Literal["cached", "recompute", "openvino", "onnx"]
ENGINES: tuple[EngineName, ...] = ("cached", "recompute")  # that run everything; the others are those of `exported`
ENGINE_CHOICES = ("auto", "cached", "recompute", "openvino", "onnx")  # auto: what is fastest here


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
class Suffix:
    """Say what follows the prefix: in a pass, one of the denoising steps and a chunk of noisy actions."""

    times: Tensor  # [N, width] embeddings of the denoising steps
    positions: Tensor  # long [1 + chunk] of a step and its actions

    @property
    def chunk(self) -> int:
        """Return how many actions follow a step."""
        return len(self.positions) - 1


@dataclass(frozen=True)
class Front:
    """Say what stands in front of the prefix in a pass: noisy actions, then denoising steps right before the prefix.

    A step sees itself, an action its step and those up to itself, and all of them the prefix.
    """

    chunk: int
    branches: int  # chunks of actions, side by side
    first: int  # among the steps, the one that the first chunk belongs to; the others follow
    steps: int

    @property
    def actions(self) -> int:
        """Return the number of action tokens."""
        return self.branches * self.chunk

    def __len__(self) -> int:
        """Return the number of tokens."""
        return self.actions + self.steps

    def sight(self, prefix: int, device: torch.device) -> Tensor:
        """Return what every token sees, itself included: bool [F, F + prefix]."""
        step = torch.arange(self.first, self.first + self.branches, device=device).repeat_interleave(self.chunk)
        step = torch.cat([step, torch.arange(self.steps, device=device)])
        turn = torch.arange(1, 1 + self.actions, device=device)
        turn = torch.cat([turn, turn.new_zeros(self.steps)])
        own = (step == step[:, None]) & (turn <= turn[:, None])
        return torch.cat([own, own.new_ones(len(self), prefix)], 1)


@dataclass(frozen=True)
class PassOutput:
    """Hold what one denoising pass gave."""

    actions: Tensor  # [n, chunk, width] last block's output before the final norm, of the noisy actions
    prefix: Tensor  # [1, S, width] the same of the prefix
    attention: Tensor | None  # float32 [heads, S] that the prefix received from a step and its actions, if observed
    steps: Tensor | None = None  # [N, width] the last block's output of all denoising steps, where all of them were run


class Engine(Protocol):
    """Run passes of a prefix that stays and suffixes that change."""

    def run(self, first: int, actions: Tensor, observe: bool = False) -> PassOutput:
        """Run embedded noisy actions, [n, chunk, width], of the n denoising steps from `first` on, side by side.

        None of the n sees another. What is observed is the attention of the last one.
        """

    def renew(self, embed: Callable[[], Prefix]) -> None:
        """Take the prefix from `embed` once more, where the engine computes nothing once only."""

    def keep(self, rows: Tensor) -> None:
        """Drop every row of the prefix but `rows`, long [n] ascending, for the passes to come."""


@dataclass(frozen=True)
class StepTokens:
    """Hold what the tokens of all denoising steps left in a cache, where every pass has its own of them."""

    keys_and_values: Tensor  # [2, layers, 1, heads, N, head_width]
    queries: Tensor  # [layers, 1, heads, N, head_width]

    @classmethod
    def of(cls, cache: KvCache, steps: int) -> StepTokens:
        """Take them out of a cache over which all of them just ran."""
        places = slice(cache.front - steps, cache.front)
        return cls(cache.store[..., places, :].clone(), cache.queries[..., places, :].clone())

    def place(self, cache: KvCache, first: int, count: int) -> None:
        """Put `count` of them, from `first` on, in front of the prefix."""
        cache.store[..., cache.front - count : cache.front, :] = self.keys_and_values[..., first : first + count, :]

    def received(self, cache: KvCache, front: Front, step: int, known: int) -> Tensor:
        """Return the attention that a prefix of `known` tokens received in the latest pass: `PassOutput.attention`.

        `step` is the number of its last denoising step.
        """
        begin, last = cache.front - len(front), front.actions - front.chunk
        queries = cache.queries[..., begin + last : begin + front.actions, :]
        queries = torch.cat([queries, self.queries[..., step : step + 1, :]], -2)
        sight, row = front.sight(known, queries.device), front.actions + front.first + front.branches - 1
        seen = torch.cat([sight[last : front.actions], sight[row : row + 1]])
        keys = cache.store[0][..., begin : cache.front + known, :]
        return attention_received(queries, keys, seen)[..., len(front) :].mean((0, 1, 3))


class CachedEngine:
    """Run the prefix once, along with all denoising steps and the first actions, and then actions alone."""

    def __init__(self, llm: Llama, prefix: Prefix, suffix: Suffix, branches: int = 1) -> None:
        """Reserve room for the actions of up to `branches` steps side by side."""
        self.llm, self.prefix, self.suffix = llm, prefix, suffix
        steps, actions = len(suffix.times), branches * suffix.chunk
        self.cache = KvCache(llm.config, actions + steps, len(prefix), prefix.embeddings)
        positions = [suffix.positions[1:].repeat(branches), suffix.positions[:1].expand(steps), prefix.positions]
        self._angles = llm.angles(torch.cat(positions))
        self._hidden: Tensor | None = None  # of the prefix, once it was run
        self._steps: StepTokens | None = None  # likewise

    def prefill(self, watched: int = 0) -> tuple[Tensor, Tensor | None]:
        """Run the prefix alone.

        Returns: the last block's output, [1, S, width], and what the last `watched` tokens attended to in that block,
            float32 [heads, S], mean over them.
        """
        front, queries = self.cache.front, list[Tensor]()
        write = self.cache.writer(front, len(self.prefix))

        def remember(layer: int, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
            queries.append(query)
            return write(layer, query, key, value)

        cos, sin = (part[front:] for part in self._angles)
        self._hidden = self.llm.run(self.prefix.embeddings, (cos, sin), remember)
        if not watched:
            return self._hidden, None
        seen = causal_mask(watched, len(self.prefix), cos.device)
        shares = attention_received(queries[-1][0, :, -watched:], self.cache.store[0, -1, 0, :, front:], seen)
        return self._hidden, shares.mean(1)

    def run(self, first: int, actions: Tensor, observe: bool = False) -> PassOutput:
        """Run actions behind their steps and the prefix, which the first time go with them."""
        cache, branches, rows = self.cache, len(actions), [actions.flatten(0, 1)]
        if self._steps is None:
            front = Front(self.suffix.chunk, branches, first, len(self.suffix.times))
            rows.append(self.suffix.times)
        else:
            front = Front(self.suffix.chunk, branches, 0, branches)
            self._steps.place(cache, first, branches)
        told, begin = sum(map(len, rows)), cache.front - len(front)
        if self._hidden is None:
            rows.append(self.prefix.embeddings[0])
        x = torch.cat(rows)[None]
        seen = None if told == 1 else front.sight(cache.prefix, x.device)[:told]
        place = begin if self._steps is None else 0
        cos, sin = (part[place : place + x.shape[1]] for part in self._angles)
        write = cache.writer(begin, x.shape[1], queries=observe or self._steps is None)
        hidden = self.llm.run(x, (cos, sin), write, told, seen)
        steps = None
        if self._steps is None:
            self._steps, steps = StepTokens.of(cache, front.steps), hidden[0, front.actions : told]
        if self._hidden is None:
            self._hidden = hidden[:, told:]
        last = first + branches - 1
        attention = self._steps.received(cache, front, last, cache.prefix) if observe else None
        return PassOutput(hidden[0, : front.actions].view_as(actions), self._hidden, attention, steps)

    def take(self, times: Tensor) -> None:
        """Run other denoising steps, [N, width], from now on."""
        self.suffix, self._steps = replace(self.suffix, times=times), None

    def renew(self, embed: Callable[[], Prefix]) -> None:
        """Do nothing: the prefix is the same in all passes."""

    def keep(self, rows: Tensor) -> None:
        """Drop rows from the cache; what is left of the prefix has seen the dropped ones, no later step does."""
        assert self._hidden is not None  # rows are chosen by a pass
        self.cache.keep(rows)
        self._hidden, self._steps = self._hidden[:, rows], None


class RecomputeEngine:
    """Run the whole sequence in every pass, tokenizers included, as the released code does."""

    def __init__(self, llm: Llama, prefix: Prefix, suffix: Suffix) -> None:
        """Keep the prefix; there is nothing to compute ahead."""
        self.llm, self.prefix, self.suffix = llm, prefix, suffix

    def run(self, first: int, actions: Tensor, observe: bool = False) -> PassOutput:
        """Run the prefix, and behind it the steps and their actions."""
        steps = self.suffix.times[first : first + len(actions), None]
        output = together(self.llm, self.prefix, torch.cat([steps, actions], 1), self.suffix, observe)
        return replace(output, actions=output.actions[:, 1:])

    def renew(self, embed: Callable[[], Prefix]) -> None:
        """Replace the prefix."""
        self.prefix = embed()

    def keep(self, rows: Tensor) -> None:
        """Drop rows from the sequence; the passes to come have never seen the others."""
        self.prefix = self.prefix.keep(rows)


def make_engine(name: EngineName, llm: Llama, prefix: Prefix, suffix: Suffix, branches: int = 1) -> Engine:
    """Return the engine called `name`, with room for the actions of up to `branches` steps side by side."""
    if name == "cached":
        return CachedEngine(llm, prefix, suffix, branches)
    return RecomputeEngine(llm, prefix, suffix)


def together(llm: Llama, prefix: Prefix, embeddings: Tensor, suffix: Suffix, observe: bool) -> PassOutput:
    """Run the prefix and behind it, side by side, steps with their actions, [n, 1 + chunk, width].

    Of these are the `actions` of the result, steps included.
    """
    start, (branches, branch, _) = len(prefix), embeddings.shape
    positions = torch.cat([prefix.positions, suffix.positions.repeat(branches)])
    seen = branched_mask(start, branch, branches, positions.device) if branches > 1 else None
    x = torch.cat([prefix.embeddings, embeddings.flatten(0, 1)[None]], 1)
    watched = torch.arange(len(positions) - branch, len(positions), device=x.device) if observe else None
    hidden, attention = llm(x, positions, watched, seen)
    received = None if attention is None else attention[:, :start]
    return PassOutput(hidden[0, start:].view_as(embeddings), hidden[:, :start], received)


def branched_mask(prefix: int, branch: int, branches: int, device: torch.device) -> Tensor:
    """Return which tokens see which, bool [S, S], where branches of `branch` tokens follow a prefix side by side.

    Every branch sees the prefix and itself, causally, as if there were no other.
    """
    seen = causal_mask(prefix + branch * branches, prefix + branch * branches, device)
    number = torch.arange(-prefix, branch * branches, device=device).div(branch, rounding_mode="floor").clamp_(min=-1)
    return seen & ((number < 0) | (number == number[:, None]))
