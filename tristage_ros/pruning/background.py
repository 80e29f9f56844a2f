"""Which background patches a step keeps, so that the model retains a weak view of everything."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor


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
