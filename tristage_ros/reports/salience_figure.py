"""Salience of both modalities over control steps, in the layout of the paper's Fig. 3 (d)."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from tristage_ros.reports.figures import BLUE, GREY, ORANGE, RED, SKY, column, dots, legend_below, require
from tristage_ros.reports.run import Run

SETS = (("object", RED, 2), ("robot", SKY, 1), ("background", GREY, 0))  # with the index in the messages


def salience(run: Run) -> Figure:
    """Draw means over patches: M_2d and M_3d of stage 1 (Eq. 1), and of stage 2 (Eqs. 5, 6) by semantic set."""
    require(run.pruning, "/tristage/pruning")
    figure = Figure(figsize=(12, 6.4))
    axes = figure.subplots(2, 2, sharex=True)
    steps = np.arange(1, len(run.pruning) + 1)
    for ax, kind, color in zip(axes[0], ("2d", "3d"), (BLUE, ORANGE), strict=True):
        ax.plot(steps, column(run.pruning, f"salience_{kind}_stage1"), color=color, lw=1.6, **dots(steps))
        ax.set(title=f"Stage 1, features: M_{kind}, all patches", ylim=(0, None))
    for ax, kind in zip(axes[1], ("2d", "3d"), strict=True):
        by_set = column(run.pruning, f"salience_{kind}_by_set")
        for name, color, index in SETS:
            ax.plot(steps, by_set[:, index], color=color, lw=1.6, label=name, **dots(steps))
        ax.set(title=f"Stage 2, attention: M_{kind} by semantic set", ylim=(0, None), xlabel="control step")
    legend_below(figure, axes[1, 0].get_lines(), columns=3)
    return figure
