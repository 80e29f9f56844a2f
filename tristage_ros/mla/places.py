"""Where tokens lie, as features: for models too small to learn it from positions alone."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

OCTAVES = 6
LONGEST_IMAGE = 4.0  # widths of the image, the longest wavelength of image tokens
LONGEST_SPACE = 1.6  # m, that of point tokens; the shortest is 5 cm


class PlaceEmbedder(nn.Module):
    """Embed places by sines and cosines whose wavelengths halve from octave to octave."""

    def __init__(self, axes: int, longest: float, width: int) -> None:
        """Build for places with `axes` coordinates, in the unit of the `longest` wavelength."""
        super().__init__()
        self.longest = longest
        self.linear = nn.Linear(2 * OCTAVES * axes, width, bias=False)

    def forward(self, places: Tensor) -> Tensor:
        """Return [..., width] from [..., axes]."""
        octaves = 2.0 ** torch.arange(OCTAVES, device=places.device)
        angle = places[..., None] * (2 * math.pi / self.longest * octaves)  # (..., axes, OCTAVES)
        features = torch.cat([angle.sin(), angle.cos()], -1).flatten(-2)
        out: Tensor = self.linear(features.to(self.linear.weight.dtype))
        return out


def window_centres(tokens: Tensor, grid: int) -> Tensor:
    """Return the centres, float32 [n, 2], of image tokens, long [n], in widths of the image: right, down."""
    return torch.stack([tokens % grid, tokens // grid], -1).add(0.5).div(grid)
