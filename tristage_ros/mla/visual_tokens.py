"""The tokenizers of the two visual modalities: points in two stages of groups, images in windows of patches.

Point-PN (arXiv 2303.08134) groups a cloud around farthest points, whose places are known before any token is computed.
The image tokenizer has no encoder: a token sees its own 3x3 patches and nothing else. Dropped tokens are not computed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from tristage_ros.mla.config import MlaConfig
from tristage_ros.mla.device import constant, to_device

try:
    from fpsample import fps_sampling
except ImportError:  # benchmarks run without it

    def fps_sampling(points: NDArray[np.float32], count: int, start_idx: int) -> NDArray[np.int64]:
        """Choose as fpsample does, in about three times as long."""
        axes = np.ascontiguousarray(points.T)
        nearest = np.full(len(points), np.inf, np.float32)  # square distance to the closest chosen point
        chosen = np.empty(count, np.int64)
        for place in range(count):
            chosen[place] = point = nearest.argmax() if place else start_idx
            offset = axes - axes[:, point, None]
            offset *= offset
            np.minimum(nearest, offset[0] + offset[1] + offset[2], out=nearest)
        return chosen


try:
    from scipy import spatial
except ImportError:  # likewise
    spatial = None

ALPHA, BETA = 1000.0, 100.0  # base wavelength and magnitude of the position encoding
BATCH_NORM_EPS = 1e-5
BATCH_NORM_MOMENTUM = 0.02  # share of a batch in the running statistics


def farthest_points(points: Tensor, count: int, start: int = 0) -> Tensor:
    """Choose points that lie far from each other, starting with point `start`.

    Args:
        points: [N, 3] m on the CPU.
        count: how many, at most N.
        start: the first of them.

    Returns: long [count]; a shorter choice is the beginning of a longer one.
    """
    chosen = fps_sampling(points.float().numpy(), count, start_idx=start)
    return torch.from_numpy(chosen.astype("int64"))


def coarse_square_distance(queries: Tensor, points: Tensor) -> Tensor:
    """Return the squared distances [n, N] of [n, 3] to [N, 3] with every sum rounded to bfloat16.

    So the released code computes them under autocast: the products first, then the two squared norms in float32.
    """
    distance = -2 * (queries.bfloat16() @ points.bfloat16().T)
    distance += queries.square().sum(-1, keepdim=True)
    distance += points.square().sum(-1)
    return distance


def position_encoding(coordinates: Tensor, width: int) -> Tensor:
    """Encode relative coordinates as [sin | cos] per axis, x, y, z: [..., 3] to [..., width] (arXiv 2303.08134)."""
    count = width // 6
    frequencies = tuple(BETA / ALPHA ** (index / count) for index in range(count))
    angle = coordinates[..., None] * constant(frequencies, coordinates.dtype, coordinates.device)
    return torch.stack([angle.sin(), angle.cos()], -2).flatten(-3)  # (..., 3, sine or cosine, frequency)


class NormStatistics(nn.Module):
    """Hold what a batch norm learned."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, width: int) -> None:
        """Build for `width` channels."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def scale_and_shift(self) -> tuple[Tensor, Tensor]:
        """Return the factor and the offset, each [width], that the norm amounts to at inference."""
        scale = self.weight * torch.rsqrt(self.running_var + BATCH_NORM_EPS)
        return scale, self.bias - self.running_mean * scale

    def of_batch(self, x: Tensor) -> Tensor:
        """Return [..., width] normed by its own statistics, which enter the running ones: so the norm is trained."""
        rows = x.reshape(-1, x.shape[-1])
        normed = F.batch_norm(
            rows, self.running_mean, self.running_var, self.weight, self.bias, True, BATCH_NORM_MOMENTUM, BATCH_NORM_EPS
        )
        return normed.view_as(x)


class LinearNorm(nn.Module):
    """Apply a linear layer and its batch norm: in eval mode as one matrix, by the running statistics."""

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        """Build from `inputs` to `outputs` channels."""
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, bias=bias)
        self.norm = NormStatistics(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return [..., outputs] from [..., inputs]."""
        return self.norm.of_batch(self.linear(x)) if self.training else F.linear(x, *self.folded())

    def folded(self) -> tuple[Tensor, Tensor]:
        """Return the matrix and the bias that both amount to in eval mode."""
        scale, shift = self.norm.scale_and_shift()
        if self.linear.bias is not None:
            shift = shift + self.linear.bias * scale
        weight = self.linear.weight
        return (weight * scale[:, None]).to(weight.dtype), shift.to(weight.dtype)


class ResidualBlock(nn.Module):
    """Mix the channels of every point of every group."""

    def __init__(self, width: int) -> None:
        """Build for `width` channels with a bottleneck of half of it."""
        super().__init__()
        self.net1 = LinearNorm(width, width // 2)
        self.net2 = LinearNorm(width // 2, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return the same shape, [..., width]."""
        out: Tensor = self.net2(self.net1(x).relu_()).add_(x).relu_()
        return out


class GroupAggregation(nn.Module):
    """Sum up the neighbourhood of every centre in one feature."""

    def __init__(self, width: int, blocks: int) -> None:
        """Build for groups whose features have `width` channels, twice those of a point."""
        super().__init__()
        self.width = width
        self.linear2 = nn.Sequential(*(ResidualBlock(width) for _ in range(blocks)))

    def forward(self, relative: Tensor, neighbours: Tensor, centres: Tensor) -> Tensor:
        """Return [G, width].

        Args:
            relative: [G, K, 3] m, neighbours seen from their centre.
            neighbours: [G, K, width / 2] their features.
            centres: [G, width / 2] features of the centres.
        """
        extent = relative.abs().amax(1, keepdim=True).clamp_min(1e-6)
        joined = position_encoding(relative / extent, self.width).to(neighbours.dtype)
        joined[..., : self.width // 2] += neighbours
        joined[..., self.width // 2 :] += centres[:, None]
        pooled: Tensor = self.linear2(joined).amax(1)
        return pooled


@dataclass(frozen=True)
class Centres:
    """Say where the point tokens of a cloud will lie, before any of them is computed."""

    lower: Tensor  # long [groups[0]] points that are the centres of stage 1
    upper: Tensor  # long [groups[1]] those of them that are the centres of stage 2
    xyz: Tensor  # [groups[1], 3] m, centres of the tokens


@dataclass(frozen=True)
class Neighbourhoods:
    """Hold the groups behind some tokens; what they rest on depends on the cloud alone, not on any weight."""

    points: Tensor  # [P, 3] m
    centres: Tensor  # long [n1] points that are the needed centres of stage 1
    nearest: Tensor  # long [n1, K] points around each of them
    own: Tensor  # long [n] which of the needed centres is the centre of a token
    members: Tensor  # long [n, K] needed centres around it


class PointTokenizer(nn.Module):
    """Turn a cloud into tokens, one for every group of the second stage."""

    def __init__(self, config: MlaConfig) -> None:
        """Build for clouds of `config.points` points."""
        super().__init__()
        self.groups, self.neighbours, self.coarse = config.groups, config.neighbours, config.knn == "bfloat16"
        base = config.point_base
        self.raw_point_embed = LinearNorm(3, base, bias=False)
        widths = (2 * base, 4 * base)
        self.stages = nn.ModuleList(GroupAggregation(w, b) for w, b in zip(widths, config.point_blocks, strict=True))
        self.proj = nn.Linear(widths[-1], config.point_width)

    def centres(self, points: Tensor, starts: tuple[int, int] = (0, 0)) -> Centres:
        """Choose the centres of both stages in [points, 3] m on the CPU.

        `starts` says which point is the first centre of stage 1, and which of those centres is the first of stage 2.
        """
        lower = farthest_points(points, self.groups[0], starts[0])
        # A choice that begins with the same point is the beginning of the one before.
        beginning = torch.arange(self.groups[1])
        upper = farthest_points(points[lower], self.groups[1], starts[1]) if starts[1] else beginning
        return Centres(lower, upper, points[lower[upper]])

    def forward(self, points: Tensor, centres: Centres, keep: Tensor | None = None) -> Tensor:
        """Tokenise the kept part of a cloud.

        Args:
            points: float32 [points, 3] m, base frame.
            centres: of this cloud.
            keep: long [n] tokens wanted; all when None. Only the groups that they rest on are computed.

        Returns: [n, point_width].
        """
        return self.pool(self.neighbourhoods(points, centres, keep))

    def neighbourhoods(
        self, points: Tensor, centres: Centres, keep: Tensor | None = None, counted: bool | None = None
    ) -> Neighbourhoods:
        """Find the groups that the kept tokens rest on; see `forward`.

        `counted`: compute no other groups of stage 1; None: on a CPU only, as a host would have to wait for a GPU.
        """
        keep = torch.arange(self.groups[1], device=points.device) if keep is None else keep
        order, kept = to_device(centres.lower, points.device), to_device(centres.upper, points.device)[keep]
        first = points[order]  # (groups[0], 3)
        members = self._nearest(first[kept], first)  # (n, K) groups of stage 1
        if not (points.device.type == "cpu" if counted is None else counted):
            return Neighbourhoods(points, order, self._nearest(first, points), kept, members)
        rests = torch.zeros(len(first), dtype=torch.bool, device=points.device)
        rests[kept], rests[members] = True, True
        needed, place = rests.nonzero()[:, 0], rests.cumsum(0) - 1
        return Neighbourhoods(points, order[needed], self._nearest(first[needed], points), place[kept], place[members])

    def pool(self, groups: Neighbourhoods) -> Tensor:
        """Return a token for each of the groups, [n, point_width]; they may be those of several clouds in a row."""
        points, nearest, first = groups.points, groups.nearest, groups.points[groups.centres]
        raw = F.relu(self.raw_point_embed(points.to(self.proj.weight.dtype)))
        lower, upper = self.stages
        # whole rows are taken: an embedding does that several times as fast as an index
        features = lower(F.embedding(nearest, points) - first[:, None], F.embedding(nearest, raw), raw[groups.centres])
        relative = F.embedding(groups.members, first) - first[groups.own, None]
        tokens: Tensor = self.proj(upper(relative, F.embedding(groups.members, features), features[groups.own]))
        return tokens

    def _nearest(self, queries: Tensor, points: Tensor) -> Tensor:
        """Return which of `points` [N, 3] are around each of `queries` [n, 3], long [n, K] in no order."""
        if self.coarse:
            distance = coarse_square_distance(queries, points)
        elif spatial is not None and points.device.type == "cpu":
            tree = spatial.cKDTree(points.numpy(), 16, balanced_tree=False)
            return torch.from_numpy(tree.query(queries.numpy(), range(1, self.neighbours + 1))[1])
        else:
            distance = torch.cdist(queries, points, compute_mode="donot_use_mm_for_euclid_dist")
        return distance.topk(self.neighbours, largest=False, sorted=False).indices


# The encoder-free image tokenizer: patches, one 3x3 local attention, a projector.

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)  # of RGB in 0..1
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
# What brings 0..255 to zero mean and unit deviation: a factor, then an offset.
_RANGE = tuple(1 / (255 * std) for std in CLIP_STD), tuple(-m / std for m, std in zip(CLIP_MEAN, CLIP_STD, strict=True))


class LocalAttention(nn.Module):
    """Pool every window of patches by letting its mean attend to them."""

    def __init__(self, width: int, heads: int) -> None:
        """Build for patches of `width` channels."""
        super().__init__()
        self.heads = heads
        self.q = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width, bias=False))
        self.kv = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width, bias=False))
        self.proj = nn.Linear(width, width)

    def forward(self, patches: Tensor) -> Tensor:
        """Return one token per window, [n, width] from [n, patches in a window, width]."""
        n, window, width = patches.shape  # n may be 0
        pooled, d = patches.mean(1), width // self.heads
        query = self.q(pooled).view(n, self.heads, 1, d)
        key, value = self.kv(patches).view(n, window, 2, self.heads, d).permute(2, 0, 3, 1, 4)  # (n, heads, window, d)
        # the released model scales by the full width, not by the width of a head
        attended = F.scaled_dot_product_attention(query, key, value, scale=width**-0.5)
        out: Tensor = pooled + self.proj(attended.reshape(n, width))
        return out


class ImageTokenizer(nn.Module):
    """Turn an image into tokens, one for every 3x3 patches, row by row."""

    def __init__(self, config: MlaConfig) -> None:
        """Build for square images of `config.image_size` pixels."""
        super().__init__()
        self.grid, self.window, self.patch = config.grid, config.window, config.patch_size
        self.patch_embedding = nn.Conv2d(3, config.image_width, config.patch_size, config.patch_size, bias=False)
        self.local_attention = LocalAttention(config.image_width, config.image_heads)

    def forward(self, image: Tensor, keep: Tensor | None = None) -> Tensor:
        """Tokenise the kept part of an image.

        Args:
            image: uint8 [size, size, 3] RGB.
            keep: long [n] tokens wanted, row-major; all when None. The others cost nothing.

        Returns: [n, image_width].
        """
        return self.pool(self.windows(image, keep))

    def pool(self, windows: Tensor) -> Tensor:
        """Return [n, image_width], a token for each window, uint8 [n, patches in a window, patch * patch * 3]."""
        weight = self.patch_embedding.weight.permute(0, 2, 3, 1).flatten(1)  # channels side by side, as in a window
        scale, shift = (constant(values * self.patch**2, torch.float32, windows.device) for values in _RANGE)
        pixels = windows.float().mul_(scale).add_(shift)
        tokens: Tensor = self.local_attention(F.linear(pixels.to(weight.dtype), weight))
        return tokens

    def windows(self, image: Tensor, keep: Tensor | None = None) -> Tensor:
        """Return the pixels of the kept windows, patch by patch, row by row; see `forward`."""
        cut = image.view(self.grid, self.window, self.patch, self.grid, self.window, self.patch, 3)
        cut = cut.permute(0, 3, 1, 4, 2, 5, 6)  # (row, column, window row, window column, y, x, channel)
        kept = cut.flatten(0, 1) if keep is None else cut[keep // self.grid, keep % self.grid]
        return kept.flatten(1, 2).flatten(2)


class Projector(nn.Module):
    """Lift tokens to the width of the language model."""

    def __init__(self, width: int, out: int) -> None:
        """Build from `width` to `out` channels."""
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(width, out), nn.GELU(), nn.Linear(out, out))

    def forward(self, tokens: Tensor) -> Tensor:
        """Return [..., out] from [..., width]."""
        out: Tensor = self.mlp(tokens)
        return out
