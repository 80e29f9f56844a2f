"""The picture of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

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
