"""The way from 3D tokens to image patches and back. An index of -1 belongs to no patch."""

from __future__ import annotations

import torch
from torch import Tensor

from tristage_ros.pruning.values import TokenGeometry


def sum_over_patches(geometry: TokenGeometry, rows: Tensor) -> Tensor:
    """Add up the rows [N3, C] of the 3D tokens in every patch, giving [P, C]."""
    sums = rows.new_zeros(geometry.patches + 1, rows.shape[1])
    return sums.index_add_(0, geometry.bins, rows)[1:]


def patches_with_any(geometry: TokenGeometry, chosen: Tensor | None = None) -> Tensor:
    """Tell which patches hold at least one of the `chosen` (bool [N3], default all) 3D tokens, as bool [P]."""
    if chosen is None:
        return geometry.has_points
    bins = geometry.bins.masked_fill(~chosen, 0)  # where what lies outside the image goes
    held = torch.zeros(geometry.patches + 1, dtype=torch.bool, device=bins.device)
    return held.index_fill_(0, bins, True)[1:]


def value_at_points(geometry: TokenGeometry, per_patch: Tensor, outside: float | bool) -> Tensor:
    """Give every 3D token the value of its patch, [P] to [N3], and `outside` where it has none."""
    padded = torch.cat([per_patch.new_full((1,), outside), per_patch])
    return padded.index_select(0, geometry.bins)
