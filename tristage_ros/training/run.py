"""A whole run: demonstrations, steps, rollouts labelled by the expert, and a check; every part only once."""

from __future__ import annotations

import itertools
import math
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tristage_ros import __version__
from tristage_ros.mla.checkpoint import load_checkpoint, save_checkpoint
from tristage_ros.mla.config import MlaConfig
from tristage_ros.training.collection import collect
from tristage_ros.training.dataset import Dataset
from tristage_ros.training.episodes import progress_bar, run_all
from tristage_ros.training.plan import Plan
from tristage_ros.training.recipe import Check, Dagger, Recipe, continuous_of
from tristage_ros.training.rollout import Outcome, RolloutJob, noted, roll_out, total
from tristage_ros.training.run_folder import RunFolder, draw_curve
from tristage_ros.training.share import Share, helpers
from tristage_ros.training.trainer import Trainer

PATTERN = "*.safetensors"
EPISODES_PER_JOB = 5
SEEDS_PER_ROUND = 100_000


class Run:
    """Go through a recipe in a folder; a second time it goes on where the first was interrupted."""

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        device: str = "cpu",
        workers: int | None = None,
        collected: bool = False,
        config: MlaConfig | None = None,
    ) -> None:
        """Prepare to go on.

        Args:
            recipe: of the run.
            folder: that it keeps everything in.
            device: cpu or cuda.
            workers: processes that run episodes, and that share every batch on the CPU; None: one per processor.
            collected: take the demonstrations that are there; else collect those that are lacking.
            config: of the model; that of the recipe when None.
        """
        self.recipe, self.folder, self._config = recipe, RunFolder(folder), config or recipe.model()
        self._workers = workers = workers or os.cpu_count() or 1
        self._device = device
        self.folder.begin(recipe)
        if not collected:
            collect(recipe, self._config, self.folder.demonstrations, workers)
        if not self.folder.plan.exists():
            Plan.of(sorted(self.folder.demonstrations.glob(PATTERN)), recipe).save(self.folder.plan)
        self._plan = Plan.load(self.folder.plan)
        count = math.gcd(workers, recipe.optimisation.batch) if device == "cpu" else 1
        self.trainer = _trainer(recipe, self._config, self.folder, self._plan, device, Share(0, count))

    def train(self) -> None:
        """Make the steps that are left, with rollouts in between."""
        for index, end in enumerate((*self.recipe.rounds(), self.recipe.optimisation.steps)):
            if self.trainer.step < end:
                self._advance(end)
            if end < self.recipe.optimisation.steps:
                self._roll_out(index)
        draw_curve(self.folder.steps(), self.folder.notes(), self.folder.figure)

    def check(self) -> list[Outcome]:
        """Try the checkpoint on fresh episodes of every task."""
        check = self.recipe.check
        jobs = self._jobs(check)
        outcomes = self._note(list(run_all("check", roll_out, jobs, self._workers)), check=True)
        if self.folder.state.exists() and self.trainer.step == self.recipe.optimisation.steps:
            self._save()  # the checkpoint tells how it went
        draw_curve(self.folder.steps(), self.folder.notes(), self.folder.figure)
        return outcomes

    def _advance(self, end: int) -> None:
        """Make the steps up to `end`, shared with helpers that begin where this process saved."""
        self.trainer.save(self.folder.state)
        files = [sorted(folder.glob(PATTERN)) for folder in (self.folder.demonstrations, self.folder.rollouts)]
        shown, own = _data(files, self.recipe, self._plan, self._config)
        every, trainer, count = self.recipe.optimisation.save_every, self.trainer, self.trainer.share.count
        arguments = (self.recipe, self._config, self.folder.path, self._device, files, end)
        with helpers(_help, count, *arguments), progress_bar() as progress:
            bar = progress.add_task("training", total=self.recipe.optimisation.steps, completed=trainer.step)
            while trainer.step < end:
                facts = trainer.advance(shown, own)
                self.folder.append(facts)
                progress.update(bar, completed=facts.step, description=f"training, loss {facts.action:.3f}")
                if facts.step % every == 0 or facts.step == end:
                    trainer.save(self.folder.state)
                    self._save()

    def _roll_out(self, index: int) -> None:
        """Let the policy run, and keep what the expert would have done; nothing where that is done already."""
        dagger = self.recipe.dagger
        part = replace(dagger, first_seed=dagger.first_seed + SEEDS_PER_ROUND * index)
        jobs = self._jobs(part, dagger.expert, self.folder.rollouts / f"{index}")
        missing = [job for job in jobs if job.path and not job.path.exists()]
        for _ in run_all(f"rollouts {index + 1}", roll_out, missing, self._workers):
            pass
        if missing:
            self._note([noted(job.path) for job in jobs if job.path], check=False)

    def _jobs(self, part: Dagger | Check, expert: float = 0.0, prefix: Path | None = None) -> list[RolloutJob]:
        """Return jobs of a few episodes each; with a `prefix`, their frames go to files that begin so."""
        jobs = []
        led = continuous_of(part.episodes, part.continuous)
        kinds = ((False, "", part.episodes - led), (True, "-continuous", led))
        for task, (continuous, kind, count) in itertools.product(self.recipe.episodes, kinds):
            for start in range(0, count, EPISODES_PER_JOB):
                path = prefix and prefix.with_name(f"{prefix.name}-{task}{kind}-{start:05d}.safetensors")
                size, seed = min(EPISODES_PER_JOB, count - start), part.first_seed + start
                given = (
                    self.folder.checkpoint,
                    self._config,
                    task,
                    seed,
                    size,
                    self.recipe.anywhere,
                    expert,
                    path,
                    continuous,
                )
                jobs.append(RolloutJob(*given))
        return jobs

    def _note(self, outcomes: Sequence[Outcome], check: bool) -> list[Outcome]:
        """Write down and return how many episodes of every task succeeded."""
        sums = [total(task, outcomes) for task in dict.fromkeys(outcome.task for outcome in outcomes)]
        for outcome in sums:
            self.folder.note(self.trainer.step, {"check": check} | outcome.described())
        return sums

    def _save(self) -> None:
        model = self.trainer.average.model
        save_checkpoint(self.folder.checkpoint, model, self._plan.statistics, self._facts(), torch.float16)

    def _facts(self) -> dict[str, Any]:
        steps = self.folder.steps()
        return {
            "recipe": self.recipe.to_dict(),
            "step": self.trainer.step,
            "training_seconds": round(sum(step["seconds"] for step in steps)),
            "episodes": self.folder.notes(),
            "version": __version__,
            "finished": time.strftime("%Y-%m-%d", time.gmtime()),
        }


def _trainer(recipe: Recipe, config: MlaConfig, folder: RunFolder, plan: Plan, device: str, share: Share) -> Trainer:
    """Return a trainer at the step where the run was left, or at the weights that the recipe starts from."""
    goes_on = folder.state.exists()
    start = load_checkpoint(recipe.start, device, torch.float32)[0] if recipe.start and not goes_on else None
    trainer = Trainer(recipe, config, plan.truths.width, plan.prompt, device, share, start)
    if goes_on:
        trainer.load(folder.state)
    return trainer


def _data(files: list[list[Path]], recipe: Recipe, plan: Plan, config: MlaConfig) -> list[Dataset]:
    """Return the demonstrations and the labelled rollouts."""
    o = recipe.optimisation
    return [Dataset(p, plan.statistics, plan.truths, config, o.emphasis, o.temperature) for p in files]


def _help(
    share: Share, recipe: Recipe, config: MlaConfig, path: Path, device: str, files: list[list[Path]], end: int
) -> None:
    """Do another process's part of every step up to `end`."""
    folder = RunFolder(path)
    plan = Plan.load(folder.plan)
    trainer, (shown, own) = _trainer(recipe, config, folder, plan, device, share), _data(files, recipe, plan, config)
    while trainer.step < end:
        trainer.advance(shown, own)
