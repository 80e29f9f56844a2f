"""Pictures of tables, with their error bars."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from tristage_ros.evaluation.episodes.summary import Summary
from tristage_ros.evaluation.episodes.variant import Variant
from tristage_ros.evaluation.figures import BLACK, BLUE, DARK, GREEN, GREY, ORANGE, RED, SKY

COLORS = {"random": GREY, "fastv": ORANGE, "vla_pruner": RED, "sp_vla": BLUE, "tristage": GREEN, "none": BLACK}
PRESETS = {"paper": SKY, "robot": GREEN, "calibrated": BLACK}


def success_by_rate(found: Sequence[tuple[Variant, Summary]]) -> Figure:
    """Draw success over nominal rate with 95 % intervals; the band is the unpruned policy's.

    Dashed: without guard. Dotted: decided after the first layer.
    """
    figure = Figure(figsize=(11, 5.5))
    ax = figure.subplots()
    lines: dict[str, list[tuple[Variant, Summary]]] = {}
    for variant, summary in found:
        if variant.method == "none":
            ax.axhspan(100 * summary.success.low, 100 * summary.success.high, color="#eeeeee", zorder=0)
            ax.axhline(100 * summary.success.rate, color=DARK, lw=1, label=variant.label)
        elif variant.rate is not None:
            lines.setdefault(variant.label, []).append((variant, summary))
    for number, (label, points) in enumerate(lines.items()):
        variant = points[0][0]
        color = PRESETS[variant.preset] if variant.method == "tristage" else COLORS[variant.method]
        x = np.array([100 * (v.rate or 0.0) for v, _ in points]) + 0.45 * (number - len(lines) / 2)
        y = np.array([s.success.rate for _, s in points])
        bars = np.array([[s.success.rate - s.success.low, s.success.high - s.success.rate] for _, s in points]).T
        dashes = "--" if not variant.guard else "-" if variant.layer is None else ":"
        ax.errorbar(x, 100 * y, 100 * np.maximum(bars, 0), fmt=f"o{dashes}", color=color, ms=4, capsize=2, label=label)
    ax.set(xlabel="r, % of visual tokens", ylabel="success, %")
    if found:
        lowest = min(summary.success.low for _, summary in found)
        ax.set(ylim=(10 * np.floor(10 * lowest) - 3, 103))
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure
