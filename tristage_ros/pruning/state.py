"""What the pruner remembers of every patch from step to step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from tristage_ros.pruning.values import Indicators


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
