"""The order in which the denoising steps of a control step are evaluated: one after the other, or all at once."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

from tristage_ros.mla.diffusion import DdimSampler

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
