"""What training makes small."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tristage_ros.mla.config import DIFFUSION_STEPS, Prediction
from tristage_ros.mla.diffusion import signal_shares
from tristage_ros.mla.normalisation import DIMENSIONS
from tristage_ros.training.batch import Batch
from tristage_ros.training.packed import PackedPass


class PlaceHead(nn.Module):
    """Read the true places from the state token; trained along with the model, and not kept."""

    def __init__(self, width: int, outputs: int) -> None:
        """Build for a model of `width` channels."""
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, outputs))

    def forward(self, state: Tensor) -> Tensor:
        """Return float32 [B, outputs] from [B, width]."""
        out: Tensor = self.mlp(state).float()
        return out


class Objective:
    """Corrupt the actions of a batch and judge what the model says of them."""

    def __init__(self, run: PackedPass, head: PlaceHead, prediction: Prediction, suffixes: int, weight: float) -> None:
        """Draw `suffixes` noisy actions per observation; the places count `weight` times as much as the actions."""
        self._run, self._head, self._prediction = run, head, prediction
        self._suffixes, self._weight = suffixes, weight
        self._shares = signal_shares().float()

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return diffusion steps, long [B, N], and noise, [B, N, 7], for B = `count` observations, on the CPU."""
        shape = (count, self._suffixes)
        steps = torch.randint(0, DIFFUSION_STEPS, shape, generator=generator)
        return steps, torch.randn(*shape, DIMENSIONS, generator=generator)

    def __call__(self, batch: Batch, steps: Tensor, noise: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss, and what it consists of: `action` and `place`."""
        share = self._shares.to(steps.device)[steps][..., None]
        clean = batch.action[:, None]
        noisy = share.sqrt() * clean + (1 - share).sqrt() * noise
        velocity = share.sqrt() * noise - (1 - share).sqrt() * clean
        predicted, state = self._run(batch, noisy, steps)
        wanted = velocity if self._prediction == "velocity" else noise
        action = (predicted - wanted).square().mean()
        known = ~batch.truth.isnan()
        place = (self._head(state) - batch.truth.nan_to_num()).square()[known].mean()
        return action + self._weight * place, {"action": action.detach(), "place": place.detach()}
