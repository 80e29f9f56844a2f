"""Where a run keeps what it makes, and the picture of its losses and successes."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from tristage_ros.training.recipe import Recipe, RecipeError
from tristage_ros.training.trainer import StepFacts

LATER = {"point_patches": False}  # settings that runs of before do not have


class RunFolder:
    """Name the files of a run."""

    def __init__(self, path: Path) -> None:
        """Make the folder if it is not there."""
        self.path = path
        self.demonstrations, self.rollouts = path / "demonstrations", path / "rollouts"
        self.state, self.checkpoint = path / "state.pt", path / "checkpoint.safetensors"
        self.plan, self.curve, self.figure = path / "plan.json", path / "curve.jsonl", path / "curve.png"
        self.outcomes, self.recipe = path / "outcomes.jsonl", path / "recipe.json"
        self.rollouts.mkdir(parents=True, exist_ok=True)

    def begin(self, recipe: Recipe) -> None:
        """Note what the run is made with. Raises RecipeError where it was begun with something else.

        How long it goes on, how often it acts and what is collected may change.
        """
        mine = {"seed": recipe.seed, "start": recipe.start, "point_patches": recipe.point_patches}
        mine = json.loads(json.dumps(mine | {"demonstrations": asdict(recipe.demonstrations)}))
        theirs = LATER | json.loads(self.recipe.read_text(encoding="utf-8")) if self.recipe.exists() else mine
        other = [name for name in mine if mine[name] != theirs.get(name)]
        if other:
            raise RecipeError(
                f"{self.path} was begun with {other[0]} = {theirs.get(other[0])!r}, not {mine[other[0]]!r}: "
                "choose another --out"
            )
        self.recipe.write_text(json.dumps(mine, indent=1) + "\n", encoding="utf-8")

    def append(self, facts: StepFacts) -> None:
        """Add a step to the curve."""
        self._write(self.curve, asdict(facts))

    def note(self, step: int, outcome: dict[str, Any]) -> None:
        """Add what rollouts showed after `step`."""
        self._write(self.outcomes, {"step": step} | outcome)

    def steps(self) -> list[dict[str, Any]]:
        """Return the curve; where steps were repeated after an interruption, their last time."""
        return list({line["step"]: line for line in self._read(self.curve)}.values())

    def notes(self) -> list[dict[str, Any]]:
        """Return what all rollouts showed."""
        return self._read(self.outcomes)

    @staticmethod
    def _write(path: Path, line: dict[str, Any]) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    @staticmethod
    def _read(path: Path) -> list[dict[str, Any]]:
        if not path.exists():
            return []
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}")]


SMOOTH = 0.98  # of the line over the steps


def draw_curve(steps: list[dict[str, Any]], notes: list[dict[str, Any]], path: Path) -> None:
    """Draw losses over the steps, and the successes of rollouts, as a PNG."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, losses = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    numbers = [step["step"] for step in steps]
    for name, label in (
        ("action", "action, mean squared error"),
        ("place", "true places, in deviations"),
        ("pointing", "pointing, nats"),
    ):
        losses.plot(numbers, _smoothed([step[name] for step in steps]), label=label)
    losses.set(xlabel="step", ylabel="loss", yscale="log")
    losses.grid(alpha=0.3)
    successes = losses.twinx()
    for task in sorted({note["task"] for note in notes}):
        own = [note for note in notes if note["task"] == task]
        shares = [100 * note["successes"] / note["episodes"] for note in own]
        successes.plot([note["step"] for note in own], shares, "o", label=task)
    successes.set(ylabel="success of rollouts, %", ylim=(-2, 102))
    handles = [*losses.get_lines(), *successes.get_lines()]
    losses.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncol=3)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _smoothed(values: list[float]) -> np.ndarray:
    """Return a moving average that is corrected for its start."""
    result, average = np.empty(len(values)), 0.0
    for index, value in enumerate(values):
        average = SMOOTH * average + (1 - SMOOTH) * value
        result[index] = average / (1 - SMOOTH ** (index + 1))
    return result
