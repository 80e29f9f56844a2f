"""Salience of a patch: from what its tokens showed to the indicators of Eqs. 1 and 4-6."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from tristage_ros.pruning.patches import sum_over_patches
from tristage_ros.pruning.values import TokenGeometry, TokenMasks


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


def feature_indicators(feature: Tensor) -> Tensor:
    """Return M_2d and M_3d of stage 1 (Eq. 1), [2, P], from the L1 norms of 2D and 3D, [2, P]; 0/0 is 0."""
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
