"""A comparison of two runs as curves over control steps."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from tristage_ros.reports.compare.compare import Comparison
from tristage_ros.reports.figures import BLACK, BLUE, GREEN, ORANGE, RED, SKY

RUNS = (("first run", "-", 2.4), ("second run", "--", 1.4))
COLORS = {"rate": BLACK, "rate_2d": BLUE, "rate_3d": ORANGE}
NAMES = {"rate": "all tokens", "rate_2d": "2D", "rate_3d": "3D"}


def comparison_figure(result: Comparison) -> Figure:
    """Draw pruning rates of both runs, the agreement of their masks, the differences of their actions, and times."""
    figure = Figure(figsize=(10, 10))
    rates, masks, actions, times = figure.subplots(4, 1, sharex=True)
    steps = np.arange(1, result.steps + 1)
    dots = {"marker": "o", "ms": 3} if len(steps) < 60 else {}
    for name, pair in result.rates.items():
        for values, (run, dashes, width) in zip(pair, RUNS, strict=True):
            label = f"{NAMES[name]}, {run}"
            rates.plot(steps, 100 * np.array(values), dashes, color=COLORS[name], lw=width, label=label)
    rates.set(title="Tokens pruned", ylabel="%", ylim=(-3, 103))
    for name, shares, color in (("2D", result.masks_2d, BLUE), ("3D", result.masks_3d, ORANGE)):
        masks.plot(steps, 100 * np.array(shares), color=color, label=f"{name} tokens", **dots)
    masks.set(title="Tokens kept or pruned in both runs", ylabel="%", ylim=(None, 101))
    errors = np.abs(np.array(result.errors).reshape(-1, 7))
    per_step = errors.reshape(len(steps), -1, 7).max(axis=1) if len(steps) else np.zeros((0, 7))
    for name, columns, color in (("mm", slice(0, 3), GREEN), ("degrees", slice(3, 6), RED), ("% gripper", [6], SKY)):
        actions.plot(steps, per_step[:, columns].max(axis=1, initial=0.0), color=color, label=name, **dots)
    actions.set(title="Difference of the actions, largest axis", ylim=(0, None))
    for values, (run, dashes, width) in zip(result.milliseconds, RUNS, strict=True):
        times.plot(np.arange(1, len(values) + 1), values, dashes, color=BLACK, lw=width, label=run)
    times.set(title="Control step", ylabel="ms", xlabel="control step", ylim=(0, None))
    for ax in (rates, masks, actions, times):
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure
