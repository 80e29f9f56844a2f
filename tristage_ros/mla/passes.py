"""The denoising passes of a control step: the noise schedule, their order, and how the decoder runs them.

`DdimSampler` knows the schedule and takes a noisy action to a less noisy one by what the model predicts. `Denoising`
says which of its steps are evaluated next, one or many; the policy runs them and sends the predictions back. An
`Engine` runs the decoder over a prefix that stays and suffixes that change: a diffusion step and noisy actions each.

`captured` does on a GPU what `CachedEngine` does here, in recorded passes; the decoder itself is in `llama`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Literal, Protocol, TypeAlias, get_args

import torch
from torch import Tensor

from tristage_ros.mla.config import DIFFUSION_STEPS, Prediction
from tristage_ros.mla.device import constant
from tristage_ros.mla.llama import KvCache, Llama, branched_mask

# The cosine noise schedule and its deterministic DDIM sampler.

_Table: TypeAlias = tuple[tuple[float, ...], ...]


def cosine_betas(steps: int = DIFFUSION_STEPS) -> Tensor:
    """Return the variance added by every training step, float64 [steps], capped at 0.999 (arXiv 2102.09672, Eq. 17)."""

    def alpha_bar(share: float) -> float:
        return math.cos((share + 0.008) / 1.008 * math.pi / 2) ** 2

    ratios = [alpha_bar((i + 1) / steps) / alpha_bar(i / steps) for i in range(steps)]
    return torch.tensor([min(1 - ratio, 0.999) for ratio in ratios], dtype=torch.float64)


def signal_shares() -> Tensor:
    """Return the share of signal after every training step, float64 [DIFFUSION_STEPS]."""
    return torch.cumprod(1 - cosine_betas(), 0)


@dataclass(frozen=True)
class DdimSampler:
    """Take noise to an action in a few deterministic steps (arXiv 2010.02502, Eq. 12 with sigma = 0).

    A model predicts the noise e in x = sqrt(s) a + sqrt(1 - s) e, where s is the share of signal, or the velocity
    v = sqrt(s) e - sqrt(1 - s) a (arXiv 2202.00512, section 4), from which e = sqrt(s) v + sqrt(1 - s) x follows. The
    noise alone says ever less about the action as s goes to 0; the velocity is equally good at any s.
    """

    timesteps: tuple[int, ...]  # training steps that are visited, largest first
    alpha_bar: tuple[float, ...]  # share of signal at each of them, then 1 for the clean action
    prediction: Prediction = "noise"  # what `step` is given
    clip: bool = False  # whether every step's guess of the clean action is clipped to -1..1

    @classmethod
    def with_steps(cls, steps: int, clip: bool = False, prediction: Prediction = "noise") -> DdimSampler:
        """Space `steps` evenly from 0 with the smallest integer stride; a single step starts in the middle."""
        strides = (range(0, DIFFUSION_STEPS, stride) for stride in range(1, DIFFUSION_STEPS + 1))
        visited = [50] if steps == 1 else next((list(s) for s in strides if len(s) == steps), None)
        if visited is None:
            raise ValueError(f"no integer stride over {DIFFUSION_STEPS} training steps makes {steps} denoising steps")
        signal = signal_shares()
        visited.reverse()
        return cls(tuple(visited), (*(float(signal[t]) for t in visited), 1.0), prediction, clip)

    def step(self, index: int, noisy: Tensor, predicted: Tensor) -> Tensor:
        """Return the less noisy action after visiting `timesteps[index]`, by what the model predicted there."""
        now, later = self.alpha_bar[index], self.alpha_bar[index + 1]
        clean = self.clean(slice(index, index + 1), noisy[None], predicted[None])[0]
        epsilon = (noisy - math.sqrt(now) * clean) / math.sqrt(1 - now)
        return math.sqrt(later) * clean + math.sqrt(1 - later) * epsilon

    def clean(self, visited: slice, noisy: Tensor, predicted: Tensor) -> Tensor:
        """Return the clean actions that the model's predictions speak for, [n, ...] of the n `visited` timesteps."""
        shares = constant(self.alpha_bar[:-1], noisy.dtype, noisy.device)
        share = shares[visited].view(-1, *[1] * (noisy.ndim - 1))
        if self.prediction == "velocity":
            clean = share.sqrt() * noisy - (1 - share).sqrt() * predicted
        else:
            clean = (noisy - (1 - share).sqrt() * predicted) / share.sqrt()
        return clean.clamp(-1, 1) if self.clip else clean

    def path(self, noise: Tensor, clean: Tensor) -> Tensor:
        """Return the noisy action at every timestep and the clean one at last, [N + 1, ...].

        Args:
            noise: [...] where the path begins.
            clean: [N, ...] the clean action that the model speaks for at every timestep.
        """
        of_noise, of_clean = (constant(table, noise.dtype, noise.device) for table in self._path_tables)
        path: Tensor = torch.tensordot(of_noise, noise[None], 1) + torch.tensordot(of_clean, clean, 1)
        return path

    @cached_property
    def _path_tables(self) -> tuple[_Table, _Table]:
        """Return the factors of the noise, [N + 1, 1], and of every clean action, [N + 1, N], on the path.

        A step leads from x to sqrt(s') a + sqrt(1 - s') (x - sqrt(s) a) / sqrt(1 - s), linear in x and in a.
        """
        steps = len(self.timesteps)
        rows = [[1.0] + [0.0] * steps]
        for index, (now, later) in enumerate(pairwise(self.alpha_bar)):
            stay = math.sqrt((1 - later) / (1 - now))
            rows.append([stay * factor for factor in rows[-1]])
            rows[-1][1 + index] = math.sqrt(later) - stay * math.sqrt(now)
        return tuple((row[0],) for row in rows), tuple(tuple(row[1:]) for row in rows)


# The order in which the denoising steps of a control step are evaluated: one after the other, or all at once.

InitialNoise = Literal["fresh", "zero"]


@dataclass(frozen=True)
class Denoised:
    """Hold what denoising came to."""

    action: Tensor  # [1, chunk, action_dim] normalised
    clean: Tensor  # [N, chunk, action_dim] the clean actions that the model spoke for on the way


# Yields the first of the denoising steps to evaluate and the noisy actions from there on, [n, chunk, action_dim]; is
# sent the model's predictions of them.
Passes: TypeAlias = Generator[tuple[int, Tensor], Tensor, Denoised]


def sequential(sampler: DdimSampler, noise: Tensor) -> Passes:
    """Visit one timestep after the other, from `noise`, [1, chunk, action_dim]."""
    noisy, clean = noise, []
    for index in range(len(sampler.timesteps)):
        predicted = yield index, noisy
        clean.append(sampler.clean(slice(index, index + 1), noisy, predicted))
        noisy = sampler.step(index, noisy, predicted)
    return Denoised(noisy, torch.cat(clean))


@dataclass(frozen=True)
class ParallelDenoising:
    """Settings of parallel denoising (Picard iteration; arXiv 2305.16317 uses it for images).

    All timesteps are evaluated in one pass, a sweep, each at the noisy action that the last sweep's clean actions lead
    to. Sweep i settles the first i timesteps for good, so that as many sweeps as there are timesteps are sequential
    denoising, whatever the model is. Those before are left out of the sweeps that follow.
    """

    tolerance: float = 0.01  # normalised units; no noisy action moved by more in the last sweep
    sweeps: int | None = None  # at most; None: as many as there are timesteps. Fewer than needed is an approximation

    def __post_init__(self) -> None:
        """Refuse what would never end or never begin."""
        if not self.tolerance >= 0:
            raise ValueError(f"tolerance = {self.tolerance} must be 0 or more, in normalised units")
        if self.sweeps is not None and self.sweeps < 1:
            raise ValueError(f"sweeps = {self.sweeps} must be at least 1, or None")

    def passes(self, sampler: DdimSampler, noise: Tensor, clean: Tensor | None = None) -> Passes:
        """Denoise `noise`, [1, chunk, action_dim].

        `clean`, [N, chunk, action_dim], is what to expect: of a control step just before that began with the same
        noise. None expects zeros, the middle of the actions' range.
        """
        steps = len(sampler.timesteps)
        last = min(self.sweeps or steps, steps)
        clean = noise.new_zeros(steps, *noise.shape[1:]) if clean is None else clean
        path = sampler.path(noise[0], clean)
        for settled in range(last):
            predicted = yield settled, path[settled:-1]
            found = sampler.clean(slice(settled, None), path[settled:-1], predicted)
            clean = torch.cat([clean[:settled], found])
            before, path = path, sampler.path(noise[0], clean)
            if settled + 1 < last and float((path - before).abs().max()) <= self.tolerance:
                break
        return Denoised(path[-1:], clean)


@dataclass(frozen=True)
class Denoising:
    """Say how a policy denoises."""

    initial_noise: InitialNoise = "fresh"  # in every step; zero makes steps deterministic
    steps: int | None = None  # None: the model's own number; fewer are faster and less exact
    parallel: ParallelDenoising | None = None  # None: one timestep after the other

    def __post_init__(self) -> None:
        """Refuse noise that there is not."""
        if self.initial_noise not in get_args(InitialNoise):
            raise ValueError(f"initial_noise = {self.initial_noise!r} must be fresh or zero")

    def passes(self, sampler: DdimSampler, noise: Tensor, clean: Tensor | None) -> Passes:
        """Denoise `noise`; `clean` is what the control step before came to.

        Only parallel denoising from zero noise begins there: with other noise the way is another one.
        """
        if self.parallel is None:
            return sequential(sampler, noise)
        return self.parallel.passes(sampler, noise, clean if self.initial_noise == "zero" else None)


SEQUENTIAL = Denoising()


# The two ways to run the passes: the prefix once, or anew in every pass.

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


# A pass that loses tokens on its way through the blocks.


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
        if name == "cached" or mid.for_good:
            self._engines.append(CachedEngine(self._parts[-1], self._kept(hidden), suffix_positions, branches))
        else:
            self._engines.clear()
        self._whole = llm if name == "recompute" else None  # what later passes go through, dropped for good
        self._forgets = mid.for_good

    def _prefill(self, mid: MidPass) -> tuple[list[Engine], Tensor, Tensor]:
        """Run the prefix as far as the choice, let it be made, and return engines, rows and outputs so far."""
        prefix, engines, attention = self.prefix, list[Engine](), None
        queries = len(prefix) if mid.queries is None else min(mid.queries, len(prefix))
        for part in self._parts[:-1]:
            engine = CachedEngine(part, prefix, self.suffix_positions, self._branches)
            hidden, attention = engine.prefill(queries if part is self._parts[-2] else 0)
            prefix = replace(prefix, embeddings=hidden)
            engines.append(engine)
        keys = engine.cache.store[-1, 0, 0, :, : len(prefix)]
        rows = mid.choose(BlockOutput(attention, prefix.embeddings[0], keys))
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
        if self._forgets:
            self._forget()
        return replace(output, attention=torch.stack(shares).sum(0) / layers if shares else None)

    def _forget(self) -> None:
        """Let the passes to come know the kept rows alone."""
        if self._whole is None:
            for engine in self._engines[:-1]:
                engine.keep(self._rows)
        else:
            self._parts = [self._whole]
            self._engines = [RecomputeEngine(self._whole, self.prefix.keep(self._rows), self.suffix_positions)]
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
