"""Salience of a patch: from what its tokens showed to the indicators of Eqs. 1 and 4-6."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tristage_ros.pruning.patches import sum_over_patches
from tristage_ros.pruning.values import Salience, TokenGeometry, TokenMasks


@dataclass(frozen=True)
class PatchSalience:
    """Hold one step's observation per patch, float64; rows of a modality that was not observed mean nothing."""

    feature_2d: Tensor  # [P]
    feature_3d: Tensor  # [P] mean over the patch's kept 3D tokens
    attention_2d: Tensor  # [P, H]
    attention_3d: Tensor  # [P, H] sum over the patch's 3D tokens
    observed_2d: Tensor  # bool [P]
    observed_3d: Tensor  # bool [P] a 3D token was kept, or there is none and the 2D token was kept
    kept_3d: Tensor  # bool [P] a 3D token was kept


def salience_of_patches(geometry: TokenGeometry, masks: TokenMasks, salience: Salience) -> PatchSalience:
    """Gather the salience of the kept tokens per patch.

    Attention is mass: where only some of a patch's 3D tokens were kept, their sum is scaled up to all of them.
    A patch without 3D tokens whose 2D token was kept counts as observed empty: its 3D magnitudes are zero.
    """
    feature_3d, attention_3d = salience.feature_3d.detach()[:, None].double(), salience.attention_3d.detach().double()
    one = torch.ones_like(feature_3d)
    sums = sum_over_patches(geometry, torch.cat([one, feature_3d, attention_3d], dim=1), masks.keep_3d)
    seen, tokens = sums[:, 0], geometry.points_per_patch
    divisor = seen.clamp(min=1.0)
    return PatchSalience(
        feature_2d=salience.feature_2d.detach().double(),
        feature_3d=sums[:, 1] / divisor,
        attention_2d=salience.attention_2d.detach().double(),
        attention_3d=sums[:, 2:] * (tokens / divisor)[:, None],
        observed_2d=masks.keep_2d,
        observed_3d=(seen > 0) | ((tokens == 0) & masks.keep_2d),
        kept_3d=seen > 0,
    )


def feature_indicators(feature_2d: Tensor, feature_3d: Tensor) -> tuple[Tensor, Tensor]:
    """Return M_2d and M_3d of stage 1 (Eq. 1) from L1 norms [P]; 0/0 is 0."""
    total = feature_2d + feature_3d
    return _ratio(feature_2d, total), _ratio(feature_3d, total)


def attention_indicators(attention_2d: Tensor, attention_3d: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return M_2d and M_3d of stage 2 (Eqs. 5, 6) and the total attention, [P] each, from attention [P, H] >= 0.

    What of 3D's own part is no more than rounding error counts as zero, or it would decide between patches whose
    attention vectors are parallel.
    """
    norm_2d, norm_3d = attention_2d.sum(1), attention_3d.sum(1)
    total = norm_2d + norm_3d
    own = orthogonal_part(attention_3d, attention_2d).abs().sum(1)
    own = own.masked_fill(own <= 16 * torch.finfo(own.dtype).eps * norm_3d, 0.0)
    return _ratio(norm_2d, total), _ratio(own, total), total


def orthogonal_part(vector: Tensor, reference: Tensor) -> Tensor:
    """Return the part of every `vector` row [P, H] at right angles to its `reference` row (Eq. 4).

    A zero reference leaves the vector as it is.
    """
    scale = _ratio(torch.linalg.vecdot(vector, reference), torch.linalg.vecdot(reference, reference))
    return vector - scale[:, None] * reference


def attention_share(attention: Tensor, seen: Tensor) -> Tensor:
    """Return the share of the predicted `attention` [P] that the `seen` (bool [P]) patches hold, a scalar.

    Attention over fewer tokens sums up to the same mass, so each one's share grows; multiplying by this undoes it.
    One when every patch was seen, and when nothing is predicted.
    """
    attention = attention.double()
    total = attention.sum()
    return torch.where(total > 0, _ratio((attention * seen).sum(), total), torch.ones_like(total))


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    return (part / whole).nan_to_num_(0.0, 0.0, 0.0)
