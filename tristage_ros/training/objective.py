"""What training makes small: the error of the actions, of the true places and of pointing."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from tristage_ros.mla.config import DIFFUSION_STEPS, MlaConfig
from tristage_ros.mla.normalisation import DIMENSIONS
from tristage_ros.mla.passes import signal_shares
from tristage_ros.training.dataset import Batch
from tristage_ros.training.packed import PackedPass
from tristage_ros.training.recipe import Optimisation


class PlaceHead(nn.Module):
    """Read the true places from the state token."""

    def __init__(self, width: int, outputs: int) -> None:
        """Build for a model of `width` channels."""
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, outputs))

    def forward(self, state: Tensor) -> Tensor:
        """Return float32 [B, outputs] from [B, width]."""
        out: Tensor = self.mlp(state).float()
        return out


class Heads(nn.Module):
    """Hold what is trained along with the model and not kept."""

    def __init__(self, width: int, places: int) -> None:
        """Build for a model of `width` channels and `places` true numbers."""
        super().__init__()
        self.places = PlaceHead(width, places)
        self.points, self.patches = PointingHead(width), PointingHead(width)


class Objective:
    """Corrupt the actions of a batch and judge what the model says of them."""

    def __init__(self, run: PackedPass, heads: Heads, config: MlaConfig, settings: Optimisation) -> None:
        """Weigh places and pointing against the actions as `settings` say."""
        self._run, self._heads, self._prediction = run, heads, config.prediction
        self._suffixes, self._settings = settings.suffixes, settings
        self._points = slice(1, 1 + config.point_tokens)
        self._image = slice(1 + config.point_tokens, 1 + config.point_tokens + config.image_tokens)
        self._grid = config.grid
        self._shares = signal_shares().float()

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return diffusion steps, long [B, N], and noise, [B, N, 7], for B = `count` observations, on the CPU."""
        shape = (count, self._suffixes)
        steps = torch.randint(0, DIFFUSION_STEPS, shape, generator=generator)
        return steps, torch.randn(*shape, DIMENSIONS, generator=generator)

    def __call__(self, batch: Batch, steps: Tensor, noise: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss, and what it consists of: `action`, `place` and `pointing`."""
        share = self._shares.to(steps.device)[steps][..., None]
        clean = batch.action[:, None]
        noisy = share.sqrt() * clean + (1 - share).sqrt() * noise
        velocity = share.sqrt() * noise - (1 - share).sqrt() * clean
        predicted, state, prefix = self._run(batch, noisy, steps)
        wanted = velocity if self._prediction == "velocity" else noise
        action = (predicted - wanted).square().mean()
        known = ~batch.truth.isnan()
        place = (self._heads.places(state) - batch.truth.nan_to_num()).square()[known].mean()
        pointing = self._pointing(batch, state, prefix)
        loss = action + self._settings.auxiliary * place + self._settings.pointing * pointing
        return loss, {"action": action.detach(), "place": place.detach(), "pointing": pointing.detach()}

    def _pointing(self, batch: Batch, state: Tensor, prefix: Tensor) -> Tensor:
        groups, count = batch.groups, len(batch)
        centres = groups.points[groups.centres[groups.own]].view(count, -1, 3)[..., :2]
        tokens = token_places(self._grid, state.device).expand(count, -1, -1)
        among_points = self._heads.points(state, prefix[:, self._points], centres, batch.goal[:, :2], NEAR_POINTS)
        among_patches = self._heads.patches(state, prefix[:, self._image], tokens, batch.goal[:, 2:], NEAR_PATCHES)
        return among_points + among_patches


# Pointing at the visual tokens where the tool is to go: a second thing to learn, so that objects are found sooner.

NEAR_POINTS = 0.03  # m, standard deviation of the wanted distribution over point tokens
NEAR_PATCHES = 0.7  # tokens, likewise over image tokens


class PointingHead(nn.Module):
    """Let the state token choose among visual tokens."""

    def __init__(self, width: int) -> None:
        """Build for a model of `width` channels."""
        super().__init__()
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, state: Tensor, tokens: Tensor, places: Tensor, goal: Tensor, spread: float) -> Tensor:
        """Return the mean information, nats, that the choice lacks about the place of the goal.

        Args:
            state: [B, width] last output at the state token.
            tokens: [B, T, width] last outputs at the tokens of one kind.
            places: float32 [B, T, 2] where they are.
            goal: float32 [B, 2] where the tool is to go.
            spread: standard deviation of the wanted distribution, in the unit of `places`.
        """
        logits = (self.key(tokens) @ self.query(state)[..., None])[..., 0].float() / math.sqrt(state.shape[-1])
        near = (places - goal[:, None]).square().sum(-1) / (-2 * spread**2)
        return nn.functional.kl_div(
            logits.log_softmax(-1), near.log_softmax(-1), log_target=True, reduction="batchmean"
        )


def token_places(grid: int, device: torch.device) -> Tensor:
    """Return column and row, float32 [grid * grid, 2], of the middles of all image tokens."""
    line = torch.arange(grid, device=device) + 0.5
    rows, columns = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([columns, rows], -1).flatten(0, 1)
