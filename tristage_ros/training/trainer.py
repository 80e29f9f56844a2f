"""The steps of a run: resumed after any interruption, they are the same as without it."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from tristage_ros.mla.config import MlaConfig
from tristage_ros.mla.model import Mla, random_model
from tristage_ros.training.dataset import Collator, Dataset, move
from tristage_ros.training.objective import Heads, Objective
from tristage_ros.training.optimiser import AveragedModel, Optimiser, learning_rate
from tristage_ros.training.packed import PackedPass
from tristage_ros.training.recipe import Recipe
from tristage_ros.training.share import Share

BOS = 1  # its token id, as in Llama's vocabulary and the mini's
WHOLE = Share()


@dataclass(frozen=True)
class StepFacts:
    """Say how a step went."""

    step: int  # from 1
    action: float  # mean squared error of the prediction
    place: float  # of the true places, in their standard deviations
    pointing: float  # nats that the choice of visual tokens lacks
    gradient: float  # its norm before it was bounded
    rate: float
    seconds: float


class Trainer:
    """Hold model, average and optimiser. What a step draws depends on the seed and on its number alone."""

    def __init__(
        self,
        recipe: Recipe,
        config: MlaConfig,
        places: int,
        prompt: int,
        device: str = "cpu",
        share: Share = WHOLE,
        start: Mla | None = None,
    ) -> None:
        """Start at step 0.

        Args:
            recipe: of the run.
            config: of the model.
            places: how many true numbers a frame has.
            prompt: ids behind BOS of the longest prompt.
            device: cpu or cuda; the arithmetic is bfloat16 where that is safe.
            share: this process's part of every batch.
            start: float32, to begin with; None: random weights. ValueError where it is of another size.
        """
        self.share = share
        settings = recipe.optimisation
        self.recipe, self.device, self.step = recipe, torch.device(device), 0
        if start is not None:  # which need not have been told of patches yet: its weights are the same
            if replace(start.config, point_patches=config.point_patches) != config:
                raise ValueError(f"the checkpoint to begin with has other sizes: {start.config} instead of {config}")
            start.config = config
        self.model = (start or random_model(config, recipe.seed, device)).train().requires_grad_(True)
        with torch.random.fork_rng():
            torch.manual_seed(recipe.seed)
            self.heads = Heads(config.width, places).to(device)
        self.average = AveragedModel(self.model, settings.ema)
        self._optimiser = Optimiser(self.model, self.heads, settings.weight_decay)
        run = PackedPass(self.model, BOS, settings.compile)
        self._objective = Objective(run, self.heads, config, settings)
        self._collate = Collator(config, prompt)

    def advance(self, demonstrations: Dataset, rollouts: Dataset) -> StepFacts:
        """Make a step; where there are rollouts of the policy, a share of its frames is from them."""
        begin, settings = time.perf_counter(), self.recipe.optimisation
        generator = torch.Generator().manual_seed(_seed(self.recipe.seed, self.step))
        own = round(settings.batch * self.recipe.dagger.share) if len(rollouts) else 0
        samples = demonstrations.draw(settings.batch - own, generator)
        samples += rollouts.draw(own, generator) if own else []
        drawn = self._objective.draw(len(samples), generator)
        batch = move(self._collate(self.share.of(samples)), self.device)
        steps, noise = (tensor[self.share.rank :: self.share.count].to(self.device) for tensor in drawn)
        with torch.autocast(self.device.type, torch.bfloat16):
            loss, parts = self._objective(batch, steps, noise)
        loss.backward()  # type: ignore[no-untyped-call]
        gradients = [p.grad for p in self._optimiser.parameters if p.grad is not None]
        self.share.average([*gradients, *self.model.buffers(), *parts.values()])  # from here on of the whole batch
        rate = learning_rate(self.step, settings)
        norm = self._optimiser.step(rate, settings.gradient_norm)
        self.average.follow(self.model, self.step)
        self.step += 1
        numbers = torch.stack([*parts.values(), norm]).tolist()
        return StepFacts(self.step, *numbers, rate, time.perf_counter() - begin)

    def save(self, path: Path) -> None:
        """Write everything that the next step depends on; what was there before an interruption stays complete."""
        parts: dict[str, Any] = {name: part.state_dict() for name, part in self._parts().items()}
        partial = path.with_suffix(".partial")
        torch.save(parts | {"step": self.step}, partial)
        partial.replace(path)

    def load(self, path: Path) -> None:
        """Go on from what `save` wrote."""
        saved = torch.load(path, map_location=self.device, weights_only=True)
        for name, part in self._parts().items():
            part.load_state_dict(saved[name])
        self.step = saved["step"]

    def _parts(self) -> dict[str, Any]:
        parts = {"model": self.model, "heads": self.heads, "average": self.average.model}
        return parts | {"optimiser": self._optimiser}


def _seed(run: int, step: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{run}:{step}".encode()).digest()[:8], "little") >> 1
