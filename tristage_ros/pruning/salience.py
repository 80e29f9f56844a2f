"""Salience of a patch: from what its tokens showed to the indicators of Eqs. 1 and 4-6."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tristage_ros.pruning.patches import sum_over_patches
from tristage_ros.pruning.values import TokenGeometry, TokenMasks


@dataclass(frozen=True)
class PatchSalience:
    """Hold one step's observation per patch; rows of a modality that was not observed mean nothing."""

    magnitudes: Tensor  # float64 [2, P, 1 + H] of 2D and 3D: the feature's L1 norm, then the attention of every head
    observed: Tensor  # bool [2, P]; in 3D: a token was kept, or there is none and the 2D token was kept
    kept_3d: Tensor  # bool [P] a 3D token was kept

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
    """Gather per patch what `checked_magnitudes` gave of every token, [P + N3, 1 + H].

    Attention is mass: where only some of a patch's 3D tokens were kept, their sum is scaled up to all of them.
    A patch without 3D tokens whose 2D token was kept counts as observed empty: its 3D magnitudes are zero.
    """
    wide, tokens = magnitudes.double(), geometry.points_per_patch
    sums = sum_over_patches(geometry, torch.cat([masks.keep_3d[:, None], wide[geometry.patches :]], 1))
    count, table_3d = sums[:, 0], sums[:, 1:]
    divisor = count.clamp(min=1.0)
    table_3d[:, 0].div_(divisor)
    table_3d[:, 1:].mul_((tokens / divisor)[:, None])
    kept_3d = count > 0
    return PatchSalience(
        magnitudes=torch.stack([wide[: geometry.patches], table_3d]),
        observed=torch.stack([masks.keep_2d, kept_3d | ((tokens == 0) & masks.keep_2d)]),
        kept_3d=kept_3d,
    )


def feature_indicators(feature: Tensor) -> Tensor:
    """Return M_2d and M_3d of stage 1 (Eq. 1), [2, P], from the L1 norms of 2D and 3D, [2, P]; 0/0 is 0."""
    return _ratio(feature, feature.sum(0))


def attention_indicators(attention: Tensor) -> Tensor:
    """Return M_2d and M_3d of stage 2 (Eqs. 5, 6) and the total, [3, P], from the attention of 2D and 3D, [2, P, H].

    What of 3D's own part is no more than rounding error counts as zero, or it would decide between patches whose
    attention vectors are parallel.
    """
    norm = attention.sum(2)
    total = norm.sum(0)
    own = orthogonal_part(attention[1], attention[0]).abs_().sum(1)
    own.masked_fill_(own <= norm[1] * (16 * torch.finfo(own.dtype).eps), 0.0)
    return torch.stack([_ratio(norm[0], total), _ratio(own, total), total])


def orthogonal_part(vector: Tensor, reference: Tensor) -> Tensor:
    """Return the part of every `vector` row [P, H] at right angles to its `reference` row (Eq. 4).

    A zero reference leaves the vector as it is.
    """
    scale = _ratio(torch.linalg.vecdot(vector, reference), torch.linalg.vecdot(reference, reference))
    return torch.addcmul(vector, scale[:, None], reference, value=-1)


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
