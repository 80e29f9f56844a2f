"""Attention of past steps, kept per patch because the order of 3D tokens changes from frame to frame."""

from __future__ import annotations

import torch
from torch import Tensor

from tristage_ros.pruning.patches import value_at_points
from tristage_ros.pruning.salience import salience_of_patches
from tristage_ros.pruning.values import TokenGeometry, TokenMasks


def patch_attention(geometry: TokenGeometry, masks: TokenMasks, magnitudes: Tensor, unseen: Tensor | None) -> Tensor:
    """Return the attention per token of every patch, mean over heads, float64 [2, P]: 2D, then 3D.

    `magnitudes` are what `checked_magnitudes` gave. Patches whose tokens were pruned get the value of
    `unseen`, [2, P]; None is zero.
    """
    shown = salience_of_patches(geometry, masks, magnitudes)
    per_token = shown.attention_3d.mean(1) / shown.tokens_3d.clamp(min=1.0)
    attention = torch.stack([shown.attention_2d.mean(1), per_token])
    return torch.where(shown.observed, attention, torch.zeros_like(attention) if unseen is None else unseen)


def at_tokens(geometry: TokenGeometry, attention: Tensor) -> Tensor:
    """Give every token, 2D ahead of 3D, the value of its patch, [2, P] to [P + N3]; zero outside the image."""
    return torch.cat([attention[0], value_at_points(geometry, attention[1], 0.0)])
