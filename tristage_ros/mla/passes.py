"""The denoising passes of a control step: the noise schedule, and their order.

`DdimSampler` knows the schedule and takes a noisy action to a less noisy one by what the model predicts. `Denoising`
says which of its steps are evaluated next, one or many; the policy runs them and sends the predictions back. How the
decoder runs them is in `engines`.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

from tristage_ros.mla.config import DIFFUSION_STEPS, Prediction
from tristage_ros.mla.device import constant

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
        return self.towards(index, noisy, self.clean(slice(index, index + 1), noisy[None], predicted[None])[0])

    def towards(self, index: int, noisy: Tensor, clean: Tensor) -> Tensor:
        """Return the less noisy action after `timesteps[index]`, where the clean one is thought to be `clean`."""
        now, later = self.alpha_bar[index], self.alpha_bar[index + 1]
        stay = math.sqrt((1 - later) / (1 - now))
        return torch.add(stay * noisy, clean, alpha=math.sqrt(later) - stay * math.sqrt(now))

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
        noisy = sampler.towards(index, noisy, clean[-1])
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
