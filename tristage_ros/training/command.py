"""`tristage train`: what was typed becomes a run."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from tristage_ros.resources import resource
from tristage_ros.training.collection import collect
from tristage_ros.training.optimiser import check_version
from tristage_ros.training.recipe import Recipe, RecipeError
from tristage_ros.training.run import Run
from tristage_ros.training.run_folder import RunFolder


def run(options: argparse.Namespace) -> int:
    """Train, and print how fresh episodes went; raise ValueError for settings that cannot be used."""
    recipe = Recipe.load(options.recipe or resource("config", "training.yaml"), tuple(options.settings))
    if torch.device(options.device).type == "cuda" and not torch.cuda.is_available():
        raise RecipeError(f"device {options.device} is not there: PyTorch finds no CUDA; use --device cpu")
    if recipe.start and not Path(recipe.start).is_file():
        raise RecipeError(
            f"start = {recipe.start} is not there: train it first, or set start= to begin with random weights"
        )
    if options.only == "collect":
        collect(recipe, recipe.model(), RunFolder(options.out).demonstrations, options.workers)
        return 0
    if options.only != "check":
        check_version()
    training = Run(recipe, options.out, options.device, options.workers, collected=options.only is not None)
    if options.only != "check":
        training.train()
    if options.only != "train":
        print_outcomes(training)
    print(training.folder.checkpoint)
    return 0


def print_outcomes(training: Run) -> None:
    """Check the checkpoint and print a line per task."""
    for outcome in training.check():
        low, high = outcome.described()["interval"]
        print(
            f"{outcome.task}: {outcome.successes} of {outcome.episodes} episodes succeed, "
            f"95 % interval {100 * low:.0f} to {100 * high:.0f} %"
        )
