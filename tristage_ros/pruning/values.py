"""The values that go in and out of the pruner, and the way from 3D tokens to image patches and back.

All state is kept per patch, because the order of 3D tokens changes with every frame; `Candidates` and `Indicators` are
therefore per patch, while masks and salience are per token.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class TokenGeometry:
    """Say which image patch every 3D token lies in."""

    patch_of_point: Tensor  # long [N3], patch index 0..patches-1, or -1 outside the front image
    patches: int  # P, the number of 2D tokens

    @cached_property
    def bins(self) -> Tensor:
        """Return 1 + the patch of every 3D token, long [N3], and 0 for those outside the image."""
        return self.patch_of_point.long() + 1

    @cached_property
    def has_points(self) -> Tensor:
        """Tell which patches hold 3D tokens, bool [P]."""
        held = torch.zeros(self.patches + 1, dtype=torch.bool, device=self.bins.device)
        return held.index_fill_(0, self.bins, True)[1:]


@dataclass(frozen=True)
class TokenMasks:
    """Say which tokens the model is to see."""

    keep_2d: Tensor  # bool [P]
    keep_3d: Tensor  # bool [N3]

    @staticmethod
    def all_kept(geometry: TokenGeometry) -> TokenMasks:
        """Return masks that keep every token of `geometry`."""
        index = geometry.patch_of_point
        keep_2d = torch.ones(geometry.patches, dtype=torch.bool, device=index.device)
        return TokenMasks(keep_2d, torch.ones_like(index, dtype=torch.bool))


@dataclass(frozen=True)
class Salience:
    """Hold what one pass of the model showed about its visual tokens; rows of pruned tokens are NaN."""

    feature_2d: Tensor  # [P] L1 norm of every 2D token's feature
    feature_3d: Tensor  # [N3] L1 norm of every 3D token's feature
    attention_2d: Tensor  # [P, H] attention that every 2D token received from the action queries, per head
    attention_3d: Tensor  # [N3, H]


@dataclass(frozen=True)
class LayerStates:
    """Hold the states of a layer's tokens, those of the text behind the visual ones included."""

    hidden_2d: Tensor  # [P, W] the layer's outputs behind the decoder's final norm
    hidden_3d: Tensor  # [N3, W]
    hidden_text: Tensor  # [T, W]
    key_2d: Tensor  # [P] L1 norm of the key, all heads together
    key_3d: Tensor  # [N3]
    key_text: Tensor  # [T]


@dataclass(frozen=True)
class LayerAttention:
    """Hold what one layer of a running pass shows, for a pruner that decides inside the pass."""

    attention_2d: Tensor  # [P, H] attention that every 2D token received from the last tokens, mean over these
    attention_3d: Tensor  # [N3, H]
    embedding_2d: Tensor  # [P, W] tokens as they entered the first layer
    embedding_3d: Tensor  # [N3, W]
    states: LayerStates | None = None  # where the pruner wants them


@dataclass(frozen=True)
class FrameContext:
    """Hold what the change guard and the speed-aware baselines look at beside the tokens."""

    color_mean: Tensor | None = None  # [P, 3] mean colour of every patch, 0..1
    depth_mean: Tensor | None = None  # [P] mean depth of every patch, m, NaN where nothing was measured
    edges: Tensor | None = None  # bool [P] patches that hold an edge
    tool_speed: float | None = None  # m/s, end effector


@dataclass(frozen=True)
class Candidates:
    """Say which modalities of every patch are to be kept."""

    keep_2d: Tensor  # bool [P]
    keep_3d: Tensor  # bool [P]

    @staticmethod
    def all_kept(like: Tensor) -> Candidates:
        """Return candidates that keep both modalities of every patch of `like` [P]."""
        both = torch.ones_like(like, dtype=torch.bool)
        return Candidates(both, both)


@dataclass(frozen=True)
class Indicators:
    """Hold the five numbers per patch that the stages decide on, raw or smoothed."""

    values: Tensor  # float32 [5, P], rows in the order of the properties below

    @property
    def m_2d_s1(self) -> Tensor:
        """Return 2D's share of the feature magnitude (Eq. 1), [P]."""
        return self.values[0]

    @property
    def m_3d_s1(self) -> Tensor:
        """Return 3D's share of the feature magnitude (Eq. 1), [P]."""
        return self.values[1]

    @property
    def share_s2(self) -> Tensor:
        """Return both modalities' shares of the attention, the two rows below, [2, P]."""
        return self.values[2:4]

    @property
    def m_2d_s2(self) -> Tensor:
        """Return 2D's share of the attention (Eq. 5), [P]."""
        return self.values[2]

    @property
    def m_3d_s2(self) -> Tensor:
        """Return the share of the attention that is 3D's own (Eq. 6), [P]."""
        return self.values[3]

    @property
    def attention(self) -> Tensor:
        """Return the attention of both modalities together, [P]."""
        return self.values[4]


# The way from 3D tokens to image patches and back. An index of -1 belongs to no patch.


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
