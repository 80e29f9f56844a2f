"""Stage 1 fitted to a model by recorded salience: the scale of its magnitudes, or thresholds for a wanted rate.

The scale is what another model needs: with it the published thresholds mean what they meant. Thresholds by quantiles
are for a rate that somebody wants.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tristage_ros.pruning.checks import checked_magnitudes
from tristage_ros.pruning.config import PruningConfig
from tristage_ros.pruning.scale import Magnitudes, compare_magnitudes
from tristage_ros.pruning.stages import (
    PatchState,
    StageClock,
    background_to_keep,
    fuse,
    learn,
    modality_candidates,
    propose,
    salience_of_patches,
)
from tristage_ros.pruning.values import (
    Candidates,
    Salience,
    TokenGeometry,
    TokenMasks,
    patches_with_any,
    value_at_points,
)

HALVINGS = 40
LEAST_STEPS = 2  # of a trace
NO_POINTS = "no patch of the trace holds 3D tokens: check the camera's pose and the crop of the cloud"


@dataclass(frozen=True)
class TraceStep:
    """Hold what one unpruned step of a recorded run showed."""

    geometry: TokenGeometry
    salience: Salience
    begins: bool = False  # another episode, whose pruner knows nothing of the one before


@dataclass(frozen=True)
class Rates:
    """Sum up what thresholds do to a recorded run: tokens pruned, and what stage 1 leaves of a 3D-bearing patch."""

    rate: float  # of all visual tokens, all stages together, without budget and guards
    rate_2d: float
    rate_3d: float
    only_2d: float  # share of the 3D-bearing patches, by stage 1 alone
    both: float
    only_3d: float


@dataclass(frozen=True)
class Calibration:
    """Hold new settings of stage 1, what they do, and the distribution that they come from; M_3d is raw."""

    began: PruningConfig  # what `before` is of
    config: PruningConfig  # with the scale, and with tau_2d and tau_3d in its units
    before: Rates
    after: Rates
    magnitudes: Magnitudes
    m_3d: Tensor  # float32 [n] predicted M_3d of stage 1 of every 3D-bearing patch in every step
    m_3d_s2: Tensor  # float32 [n] likewise of stage 2, which has no unit
    mean_of_all: float  # of M_3d over all patches, those without 3D tokens counted as 0, as the paper's Table 1 does
    mean_of_bearing: float  # over the 3D-bearing patches


@dataclass(frozen=True)
class _Planned:
    """Hold what a step is planned from, whatever the thresholds."""

    geometry: TokenGeometry
    has_points: Tensor  # bool [P]
    m_3d: Tensor  # float32 [P] of stage 1
    m_3d_s2: Tensor  # float32 [P] of stage 2
    semantic: Candidates


def magnitudes_of(trace: Sequence[TraceStep]) -> Magnitudes:
    """Return how a model's magnitudes compare in the steps of `trace`; raise ValueError where none shows 3D tokens."""
    shown = []
    for step in trace:
        masks = TokenMasks.all_kept(step.geometry)
        patches = salience_of_patches(step.geometry, masks, checked_magnitudes(masks, step.salience))
        shown.append(patches.magnitudes[:, :, 0])
    found = compare_magnitudes(torch.cat(shown, 1)) if shown else None
    if found is None:
        raise ValueError(NO_POINTS)
    return found


def calibrate(trace: Sequence[TraceStep], config: PruningConfig, rate: float, balance: float = 1.0) -> Calibration:
    """Choose tau_2d and tau_3d such that the stages of `config` prune `rate` of all visual tokens of `trace`.

    Both are quantiles of M_3d over 3D-bearing patches; `balance` is the share of 2D among the patches that stage 1
    reduces to one modality: 1 as in the paper, whose stage 1 leaves no patch its 3D tokens alone. A scale that is left
    to the model is that of the trace. Budget and guards are left out. Raises ValueError for a rate that no thresholds
    reach, for settings without stage 1 and for a trace of fewer than 2 steps.
    """
    check_request(config, rate, balance)
    found = magnitudes_of(trace)
    config = config.carried(config.scale_3d or found.scale)
    steps = _replay(trace, config)
    ordered = torch.cat([step.m_3d[step.has_points] for step in steps]).sort().values
    least, most = (_rates(steps, *_thresholds(ordered, single, balance)).rate for single in (0.0, 1.0))
    if not least <= rate <= most:
        reach = f"stage 2 alone prunes {least:.3f}, with stage 1 up to {most:.3f}"
        raise ValueError(f"rate = {rate} is out of reach: {reach}")
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        reached = _rates(steps, *_thresholds(ordered, middle, balance)).rate
        low, high = (middle, high) if reached < rate else (low, middle)
    tau_2d, tau_3d = _thresholds(ordered, high, balance)
    before = _rates(steps, config.tau_2d, config.tau_3d)
    return _calibration(config, before, replace(config, tau_2d=tau_2d, tau_3d=tau_3d), steps, found)


def carry_over(trace: Sequence[TraceStep], config: PruningConfig) -> Calibration:
    """Carry the thresholds of `config` over to the model of `trace` by its scale; before, they are taken literally.

    Raises ValueError where no step shows 3D tokens, and for a trace of fewer than 2 steps.
    """
    found = magnitudes_of(trace)
    literal, carried = config.carried(1.0), config.carried(found.scale)
    before = _rates(_replay(trace, literal), config.tau_2d, config.tau_3d)
    return _calibration(literal, before, carried, _replay(trace, carried), found)


def _calibration(
    began: PruningConfig, before: Rates, config: PruningConfig, steps: Sequence[_Planned], found: Magnitudes
) -> Calibration:
    scale = config.scale_3d or 1.0
    raw = [scale * step.m_3d / (1.0 - step.m_3d + scale * step.m_3d) for step in steps]
    m_3d = torch.cat([m[step.has_points] for m, step in zip(raw, steps, strict=True)])
    return Calibration(
        began=began,
        config=config,
        before=before,
        after=_rates(steps, config.tau_2d, config.tau_3d),
        magnitudes=found,
        m_3d=m_3d,
        m_3d_s2=torch.cat([step.m_3d_s2[step.has_points] for step in steps]),
        mean_of_all=float(torch.cat([m * step.has_points for m, step in zip(raw, steps, strict=True)]).mean()),
        mean_of_bearing=float(m_3d.mean()),
    )


def check_request(config: PruningConfig, rate: float, balance: float) -> None:
    """Raise ValueError for what `calibrate` refuses whatever the trace is."""
    if 1 not in config.stages:
        raise ValueError(f"stages = {sorted(config.stages)} is without stage 1, whose thresholds are to be chosen")
    if not 0 < rate < 1:
        raise ValueError(f"rate = {rate} must be between 0 and 1")
    if not 0 <= balance <= 1:
        raise ValueError(f"balance = {balance} must be in [0, 1]")


def _replay(trace: Sequence[TraceStep], config: PruningConfig) -> list[_Planned]:
    """Return what every step would have been planned from, had all before it been observed; not that of a first one."""
    if len(trace) < LEAST_STEPS:
        raise ValueError(f"the trace has {len(trace)} steps; at least {LEAST_STEPS} are needed")
    state, planned, clock, number = None, [], StageClock(), 0
    for step in trace:
        geometry, salience = step.geometry, step.salience
        state, number = (None, 1) if step.begins else (state, number + 1)
        if state is not None and 3 in config.stages:
            planned.append(_planned(config, geometry, state, number))
        if state is None:
            heads = salience.attention_2d.shape[1]
            state = PatchState.unobserved(geometry.patches, heads, geometry.patch_of_point.device)
        masks = TokenMasks.all_kept(geometry)
        shown = salience_of_patches(geometry, masks, checked_magnitudes(masks, salience))
        state = learn(config, state, shown, clock, config.scale_3d or 1.0)
        if 3 not in config.stages:
            planned.append(_planned(config, geometry, state, number))
    return planned


def _planned(config: PruningConfig, geometry: TokenGeometry, state: PatchState, number: int) -> _Planned:
    has_points = patches_with_any(geometry)
    rotating = config.background_sampling == "rotating"
    background = background_to_keep(
        geometry.patches, config.background_drop, rotating, config.seed, number, has_points.device
    )
    proposal = propose(config, state.predicted, has_points, background, StageClock())
    return _Planned(geometry, has_points, state.predicted.m_3d_s1, state.predicted.m_3d_s2, proposal.semantic)


def _thresholds(ordered: Tensor, single: float, balance: float) -> tuple[float, float]:
    """Return tau_2d and tau_3d that reduce a share `single` of the `ordered` values to one modality."""
    last = len(ordered) - 1
    below, above = round(last * single * balance), round(last * (1 - single * (1 - balance)))
    return float(ordered[below]), float(ordered[max(above, below)])


def _rates(steps: Sequence[_Planned], tau_2d: float, tau_3d: float) -> Rates:
    kept_2d, kept_3d, first = [], [], []
    for step in steps:
        modality = modality_candidates(step.m_3d, step.has_points, tau_2d, tau_3d)
        fused = fuse(modality, step.semantic)
        kept_2d.append(fused.keep_2d)
        kept_3d.append(value_at_points(step.geometry, fused.keep_3d, True))
        first.append(torch.stack([modality.keep_2d, modality.keep_3d])[:, step.has_points])
    all_2d, all_3d, stage1 = torch.cat(kept_2d), torch.cat(kept_3d), torch.cat(first, 1).float()
    return Rates(
        rate=1.0 - float(torch.cat([all_2d, all_3d]).float().mean()),
        rate_2d=1.0 - float(all_2d.float().mean()),
        rate_3d=1.0 - float(all_3d.float().mean()) if len(all_3d) else 0.0,
        only_2d=1.0 - float(stage1[1].mean()),
        both=float((stage1[0] * stage1[1]).mean()),
        only_3d=1.0 - float(stage1[0].mean()),
    )
