"""The three stages of tri-stage pruning (Alg. 1 of arXiv 2604.09244) with their equations, patch by patch.

A pass shows how large the features of its tokens are and what attention they received. Summed up per patch, that gives
five indicators: two of stage 1 (Eq. 1), two of stage 2 (Eqs. 4-6) and the total attention.

Stage 1, data preprocessing, keeps of every patch the modality that the model depends on, or both.
Stage 2, semantic synthesis, sorts patches into background, robot and object, and thins out each in its own way.
Stage 3, action iteration, smooths the indicators over the steps (Eqs. 7-9), so that the other two can decide before the
frame is encoded.

`learn` takes an observation into the state of the patches, `propose` says by the state's predictions what to keep.
What becomes of it under guard and budget is in `decision`, the clustering in `kmeans`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from tristage_ros.pruning.config import PruningConfig
from tristage_ros.pruning.kmeans import exact_kmeans_1d
from tristage_ros.pruning.values import Candidates, Indicators, TokenGeometry, TokenMasks, sum_over_patches

# Salience of a patch: from what its tokens showed to the indicators of Eqs. 1 and 4-6.


@dataclass(frozen=True)
class PatchSalience:
    """Hold one step's observation per patch; rows of a modality that was not observed mean nothing."""

    magnitudes: Tensor  # float64 [2, P, 1 + H] of 2D and 3D: the feature's L1 norm, then the attention of every head
    observed: Tensor  # bool [2, P]; in 3D: a token was kept, or there is none and the 2D token was kept
    tokens_3d: Tensor  # float64 [P] number of 3D tokens, kept or not
    kept_3d: Tensor  # bool [P] a 3D token was kept

    @cached_property
    def seen(self) -> Tensor:
        """Tell which patches the model saw a token of, bool [P]."""
        return self.observed[0] | self.kept_3d

    @property
    def feature_3d(self) -> Tensor:
        """Return the mean L1 norm over the kept 3D tokens of every patch, [P]."""
        return self.magnitudes[1, :, 0]

    @property
    def attention_2d(self) -> Tensor:
        """Return the attention that the 2D token of every patch received, [P, H]."""
        return self.magnitudes[0, :, 1:]

    @property
    def attention_3d(self) -> Tensor:
        """Return the attention that all 3D tokens of every patch received together, [P, H]."""
        return self.magnitudes[1, :, 1:]


def salience_of_patches(geometry: TokenGeometry, masks: TokenMasks, magnitudes: Tensor) -> PatchSalience:
    """Gather per patch what `checked_magnitudes` gave of every token, [P + N3, 3 + H].

    Attention is mass: where only some of a patch's 3D tokens were kept, their sum is scaled up to all of them.
    A patch without 3D tokens whose 2D token was kept counts as observed empty: its 3D magnitudes are zero.
    """
    of_3d = sum_over_patches(geometry, magnitudes[geometry.patches :])
    tokens, kept, feature, attention = of_3d.split_with_sizes([1, 1, 1, of_3d.shape[1] - 3], 1)
    divisor = kept.clamp(min=1.0)
    feature.div_(divisor)
    attention.mul_(tokens / divisor)
    kept_3d = kept[:, 0] > 0
    return PatchSalience(
        magnitudes=torch.stack([magnitudes[: geometry.patches], of_3d])[:, :, 2:],
        observed=torch.stack([masks.keep_2d, torch.where(geometry.has_points, kept_3d, masks.keep_2d)]),
        tokens_3d=tokens[:, 0],
        kept_3d=kept_3d,
    )


def feature_indicators(feature: Tensor, scale: float = 1.0) -> Tensor:
    """Return M_2d and M_3d of stage 1 (Eq. 1), [2, P], from the L1 norms of 2D and 3D, [2, P]; 0/0 is 0.

    In units of `scale`, which f_3d is divided by: the odds of M_3d are then those of the raw one over `scale`.
    """
    of_2d, of_3d = feature.unbind()
    feature = torch.stack([of_2d, of_3d / scale])
    return _ratio(feature, feature.sum(0))


def attention_indicators(attention: Tensor) -> Tensor:
    """Return M_2d and M_3d of stage 2 (Eqs. 5, 6) and the total, [3, P], from the attention of 2D and 3D, [2, P, H].

    What of 3D's own part is no more than rounding error counts as zero, or it would decide between patches whose
    attention vectors are parallel.
    """
    norm_2d, norm_3d = attention.sum(2).unbind()
    total = norm_2d + norm_3d
    own = orthogonal_part(attention).abs_().sum(1)
    own.masked_fill_(own <= norm_3d * (16 * torch.finfo(own.dtype).eps), 0.0)
    indicators = torch.stack([norm_2d, own, total])
    indicators[:2].div_(total).nan_to_num_(0.0, 0.0, 0.0)
    return indicators


def orthogonal_part(attention: Tensor) -> Tensor:
    """Return the part of every 3D row at right angles to its 2D row (Eq. 4), [P, H], from both, [2, P, H] 2D first.

    A 2D row of zeros leaves the 3D row as it is.
    """
    reference, vector = attention.unbind()
    square, product = (attention * reference).sum(2).unbind()
    return torch.addcmul(vector, _ratio(product, square)[:, None], reference, value=-1)


def attention_share(attention: Tensor, seen: Tensor) -> Tensor:
    """Return the share of the predicted `attention` [P] that the `seen` (bool [P]) patches hold, a scalar.

    Attention over fewer tokens sums up to the same mass, so each one's share grows; multiplying by this undoes it.
    One when every patch was seen, and when nothing is predicted.
    """
    total = attention.sum(dtype=torch.float64)
    return ((attention * seen).sum(dtype=torch.float64) / total).nan_to_num_(1.0)


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    return (part / whole).nan_to_num_(0.0, 0.0, 0.0)


# Stage 1, data preprocessing: which modality of a patch the model depends on.


def modality_candidates(m_3d: Tensor, has_points: Tensor, tau_2d: float, tau_3d: float) -> Candidates:
    """Return 2D below `tau_2d`, 3D above `tau_3d`, both between, by M_3d of stage 1 [P] (Alg. 1, step 2).

    A patch without 3D tokens in this step (`has_points`, bool [P], false) is 2D: nothing else is there to keep.
    """
    return Candidates((m_3d <= tau_3d) | ~has_points, (m_3d >= tau_2d) & has_points)


# Stage 2, semantic synthesis: background, robot and object by attention, and what each of them keeps.

BACKGROUND, ROBOT, OBJECT = 0, 1, 2


def semantic_sets(attention: Tensor, clusters: int) -> Tensor:
    """Sort patches by total attention [P] into BACKGROUND, ROBOT and OBJECT, long [P] (Sec. 4.2).

    The cluster with the highest centre is the object, the lowest the background, whatever lies between the robot.
    One distinct value is all object.
    """
    label = exact_kmeans_1d(attention, clusters)
    sets = label if clusters <= 3 else label.clamp(max=ROBOT)  # up to three, only the highest can exceed ROBOT
    return sets.masked_fill(label == label.max(), OBJECT)


def semantic_candidates(
    sets: Tensor, share: Tensor, keep_background: Tensor, obj_2d_floor: float, obj_3d_epsilon: float
) -> Candidates:
    """Return what every patch keeps by its set and its M_2d and M_3d of stage 2, `share` [2, P] (Alg. 1, step 3).

    Background: both where `keep_background` (bool [P]), else nothing. Robot: both above the mean of M_3d, else 2D
    above the mean of M_2d, else nothing. Object: both, or 2D where M_2d > floor and M_3d < epsilon.
    """
    # The mean in float64 equals float32 values that are all alike, so that none of them exceeds it by rounding.
    m_2d, m_3d = share.unbind()
    above_2d, robot_3d = (share > share.mean(1, keepdim=True, dtype=torch.float64)).unbind()
    robot_2d = robot_3d | above_2d
    object_3d = (m_2d <= obj_2d_floor) | (m_3d >= obj_3d_epsilon)
    robot, target = sets == ROBOT, sets == OBJECT
    return Candidates(
        keep_2d=torch.where(robot, robot_2d, keep_background | target),
        keep_3d=torch.where(robot, robot_3d, torch.where(target, object_3d, keep_background)),
    )


# The background that stage 2 keeps, so that the model retains a weak view of everything.


def background_to_keep(patches: int, drop: float, rotating: bool, seed: int, step: int, device: torch.device) -> Tensor:
    """Return the patches to keep should they be background, bool [P], a share of 1 - `drop` of them.

    The answer depends on `seed` and `step` alone, so that a step can be planned again and a run repeated. Random:
    every patch by itself. Rotating: a window walks over a fixed permutation, and in any ceil(1 / (1 - drop))
    steps in a row every patch is kept at least once.
    """
    if rotating:
        offset = (_rotation_order(patches, seed, device) - (step * (1.0 - drop)) % 1.0) % 1.0
        return offset < 1.0 - drop
    generator = torch.Generator().manual_seed((seed * 1_000_003 + step) % 2**63)
    return (torch.rand(patches, generator=generator) >= drop).to(device, non_blocking=True)


@lru_cache(maxsize=8)
def _rotation_order(patches: int, seed: int, device: torch.device) -> Tensor:
    permutation = torch.randperm(patches, generator=torch.Generator().manual_seed(seed % 2**63))
    return ((permutation.double() + 0.5) / patches).to(device)


# Stage 3, action iteration: predict the next step's indicators from the past (Eqs. 7-9).


def newest_weight(observations: Tensor, window: int, beta: float) -> Tensor:
    """Return the weight of the newest observation, float32 [P], from how many there were, this one included.

    One at the first, 1/n while 1 < n < window (Eq. 8), 1 - beta from then on (Eq. 9).
    """
    by_count = _weights(window, beta, observations.device)
    return by_count.index_select(0, observations.clamp(max=len(by_count) - 1))


@lru_cache(maxsize=8)
def _weights(window: int, beta: float, device: torch.device) -> Tensor:
    running_mean = [1.0, 1.0, *(1.0 / count for count in range(2, window))]
    return torch.tensor([*running_mean, 1.0 - beta], device=device)


def smooth(predicted: Tensor, observed: Tensor, weight: Tensor) -> Tensor:
    """Return the new prediction, [..., P], from the old one and the newest observation; [P] weights."""
    return torch.lerp(predicted, observed, weight)


# What is remembered of every patch from step to step.


@dataclass(frozen=True)
class PatchState:
    """Hold the newest magnitudes and the indicators of every patch. Values are replaced, never changed in place."""

    magnitudes: Tensor  # float64 [2, P, 1 + H] newest of 2D and 3D: L1 norm, then attention; NaN where never observed
    raw: Tensor  # float32 [5, P] newest indicators
    smoothed: Tensor  # float32 [5, P] predicted indicators
    observations: Tensor  # long [P] times that the indicators were observed
    last_seen: Tensor  # long [P] step in which the model last saw a token of the patch
    attention_scale: Tensor  # float64 scalar, what the newest attention was multiplied with

    @staticmethod
    def unobserved(patches: int, heads: int, device: torch.device) -> PatchState:
        """Return the state before any observation."""
        unknown = torch.full((2, patches, 1 + heads), torch.nan, dtype=torch.float64, device=device)
        indicators = torch.zeros(5, patches, device=device)
        zero = torch.zeros(patches, dtype=torch.long, device=device)
        one = torch.ones((), dtype=torch.float64, device=device)
        return PatchState(unknown, indicators, indicators, zero, zero, one)

    @property
    def patches(self) -> int:
        """Return P."""
        return self.observations.shape[0]

    @property
    def heads(self) -> int:
        """Return H."""
        return self.magnitudes.shape[2] - 1

    @property
    def newest(self) -> Indicators:
        """Return the newest indicators."""
        return Indicators(self.raw)

    @property
    def predicted(self) -> Indicators:
        """Return the smoothed indicators."""
        return Indicators(self.smoothed)

    def newest_features(self, shown: PatchSalience) -> Tensor:
        """Return the newest L1 norms of 2D and 3D after a pass that showed `shown`, [2, P]; NaN where unknown."""
        return torch.where(shown.observed, shown.magnitudes[:, :, 0], self.magnitudes[:, :, 0])

    def seen(self, patches: Tensor, step: int) -> PatchState:
        """Return the state after the model saw `patches` (bool [P]) in `step`."""
        last_seen = self.last_seen.masked_fill(patches, step)
        return PatchState(self.magnitudes, self.raw, self.smoothed, self.observations, last_seen, self.attention_scale)

    def to_dict(self) -> dict[str, Tensor]:
        """Return copies of all tensors by name."""
        return {field.name: getattr(self, field.name).clone() for field in fields(self)}

    @staticmethod
    def from_dict(tensors: Mapping[str, Any]) -> PatchState:
        """Return the state that `to_dict` gave. Raises ValueError for a missing, foreign or misshapen tensor."""
        names = [field.name for field in fields(PatchState)]
        if sorted(tensors) != sorted(names) or not all(isinstance(value, Tensor) for value in tensors.values()):
            raise ValueError(f"patch state holds {', '.join(map(str, tensors))}; need tensors {', '.join(names)}")
        heads = tensors["magnitudes"].shape[-1] - 1 if tensors["magnitudes"].ndim == 3 else 0
        template = PatchState.unobserved(len(tensors["observations"]), heads, torch.device("cpu")).to_dict()
        for name, wanted in template.items():
            value = tensors[name]
            if (value.dtype, value.shape) != (wanted.dtype, wanted.shape):
                need = f"{wanted.dtype} {list(wanted.shape)}"
                raise ValueError(f"{name} is {value.dtype} {list(value.shape)}; need {need}")
        return PatchState(**{name: tensors[name].clone() for name in names})


# All stages on an observation: newest magnitudes, indicators, predictions.


def learn(
    config: PruningConfig, state: PatchState, shown: PatchSalience, clock: StageClock, scale: float = 1.0
) -> PatchState:
    """Return `state` after a pass that showed `shown`; indicators of stage 1 are in units of `scale`.

    A modality that was not observed keeps its newest magnitudes. Indicators are computed anew where one modality was
    observed and both are known, from the newest magnitudes of both; elsewhere they stay untouched. `shown` is used up.
    """
    with clock.timed("stage2"):
        if config.attention_share:
            share = attention_share(state.predicted.attention, shown.seen)
            shown.magnitudes[:, :, 1:].mul_(share)
        else:
            share = torch.ones_like(state.attention_scale)
        magnitudes = torch.where(shown.observed[:, :, None], shown.magnitudes, state.magnitudes)
        stage2 = attention_indicators(magnitudes[:, :, 1:])
    with clock.timed("stage1"):
        stage1 = feature_indicators(magnitudes[:, :, 0], scale)
    with clock.timed("stage3"):
        updated = shown.seen & (stage2[2] >= 0)  # the total is NaN where a modality is unknown
        raw = torch.where(updated, torch.cat([stage1, stage2]).float(), state.raw)
        observations = state.observations + updated
        smoothed = raw
        if 3 in config.stages:
            weight = newest_weight(observations, config.window, config.beta)
            smoothed = torch.where(updated, smooth(state.smoothed, raw, weight), state.smoothed)
    return PatchState(magnitudes, raw, smoothed, observations, state.last_seen, share)


# All stages on a plan: candidates of stages 1 and 2 by what stage 3 predicts, and their fusion (Eq. 10).


@dataclass(frozen=True)
class Proposal:
    """Hold what the stages want to keep, before guards and budget."""

    modality: Candidates  # stage 1 alone
    semantic: Candidates  # stage 2 alone
    fused: Candidates
    sets: Tensor  # long [P] BACKGROUND, ROBOT or OBJECT; all BACKGROUND where stage 2 is off


def fuse(modality: Candidates, semantic: Candidates) -> Candidates:
    """Return what both stages keep, and what stage 2 keeps where that is nothing (Alg. 1, step 4)."""
    both_2d = semantic.keep_2d & modality.keep_2d
    both_3d = semantic.keep_3d & modality.keep_3d
    agreed = both_2d | both_3d
    return Candidates(
        torch.where(agreed, both_2d, semantic.keep_2d),
        torch.where(agreed, both_3d, semantic.keep_3d),
    )


def propose(
    config: PruningConfig, indicators: Indicators, has_points: Tensor, keep_background: Tensor, clock: StageClock
) -> Proposal:
    """Run the stages that are switched on over `indicators` and fuse their candidates (Alg. 1, steps 2-4)."""
    if 1 in config.stages:
        with clock.timed("stage1"):
            modality = modality_candidates(indicators.m_3d_s1, has_points, config.tau_2d, config.tau_3d)
    else:
        modality = Candidates.all_kept(has_points)
    if 2 in config.stages:
        with clock.timed("stage2"):
            sets = semantic_sets(indicators.attention, config.clusters)
            floor, epsilon = config.obj_2d_floor, config.obj_3d_epsilon
            semantic = semantic_candidates(sets, indicators.share_s2, keep_background, floor, epsilon)
    else:
        sets = torch.full_like(has_points, BACKGROUND, dtype=torch.long)
        semantic = Candidates.all_kept(has_points)
    with clock.timed("fusion"):
        return Proposal(modality, semantic, fuse(modality, semantic), sets)


class StageClock:
    """Add up the milliseconds that stage1, stage2, stage3 and fusion took in one step.

    This is host time: on an asynchronous device it is the time to issue the work, not to finish it.
    """

    def __init__(self) -> None:
        """Start at zero."""
        self.milliseconds = {"stage1": 0.0, "stage2": 0.0, "stage3": 0.0, "fusion": 0.0}
        self._stage, self._start = "", 0.0

    def timed(self, stage: str) -> StageClock:
        """Add the time of the block that is entered with the result to `stage`; blocks do not nest."""
        self._stage = stage
        return self

    def __enter__(self) -> None:
        """Start the block's time."""
        self._start = perf_counter()

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.milliseconds[self._stage] += (perf_counter() - self._start) * 1e3
