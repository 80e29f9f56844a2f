"""Pictures of tables, with their error bars."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tristage_ros.reports.figures import BLACK, BLUE, DARK, GREEN, GREY, ORANGE, RED, SKY
from tristage_ros.studies.summary import Summary
from tristage_ros.studies.variant import Variant

COLORS = {"random": GREY, "fastv": ORANGE, "vla_pruner": RED, "sp_vla": BLUE, "tristage": GREEN, "none": BLACK}
PRESETS = {"paper": SKY, "robot": GREEN, "calibrated": BLACK}


def success(found: Sequence[tuple[Variant, Summary]]) -> Figure:
    """Draw success with its 95 % intervals, over nominal rate, or method by method where all have the same one."""
    rates = {variant.rate for variant, _ in found if variant.rate is not None}
    return success_by_rate(found) if len(rates) > 1 else success_by_method(found)


def success_by_rate(found: Sequence[tuple[Variant, Summary]]) -> Figure:
    """Draw success over nominal rate with 95 % intervals, left without guard and right with it.

    The band is the unpruned policy's. Dotted: decided after the first layer; with dashes: at r over all layers.
    """
    figure = Figure(figsize=(12, 5.5))
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    for guard, ax in zip((False, True), panels, strict=True):
        lines: dict[str, list[tuple[Variant, Summary]]] = {}
        for variant, summary in found:
            if variant.method == "none":
                ax.axhspan(100 * summary.success.low, 100 * summary.success.high, color="#eeeeee", zorder=0)
                ax.axhline(100 * summary.success.rate, color=DARK, lw=1, label=variant.label)
            elif variant.rate is not None and variant.guard == guard:
                lines.setdefault(variant.label.removesuffix(", guard"), []).append((variant, summary))
        for number, (label, points) in enumerate(lines.items()):
            variant = points[0][0]
            x = np.array([100 * (v.rate or 0.0) for v, _ in points]) + 0.6 * (number - len(lines) / 2)
            y = np.array([s.success.rate for _, s in points])
            dashes = "-." if variant.over_layers else "-" if variant.layer is None else ":"
            style = {"fmt": f"o{dashes}", "color": _color(variant), "ms": 4, "capsize": 2, "label": label}
            ax.errorbar(x, 100 * y, np.hstack([_interval(summary) for _, summary in points]), **style)
        ax.set(title="with guard" if guard else "without guard", xlabel="r, % of visual tokens")
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncol=2)
    panels[0].set(ylabel="success, %")
    if found:
        panels[0].set(ylim=(10 * np.floor(10 * min(summary.success.low for _, summary in found)) - 3, 103))
    return figure


def success_by_method(found: Sequence[tuple[Variant, Summary]]) -> Figure:
    """Draw success of every row with its 95 % interval; the band is the unpruned policy's."""
    figure = Figure(figsize=(9, 1.0 + 0.3 * len(found)))
    ax = figure.subplots()
    names = []
    for y, (variant, summary) in enumerate(found):
        if variant.method == "none":
            ax.axvspan(100 * summary.success.low, 100 * summary.success.high, color="#eeeeee", zorder=0)
        rate = 100 * summary.success.rate
        ax.errorbar(rate, y, xerr=_interval(summary), fmt="o", color=_color(variant), ms=5, capsize=2)
        budget = "" if variant.rate is None else f", r = {100 * variant.rate:.0f} %"
        names.append(variant.label + (", no budget" if not budget and variant.method != "none" else budget))
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel="success, %", xlim=(-2, 102), ylim=(len(names) - 0.5, -0.5))
    return figure


def _color(variant: Variant) -> str:
    return PRESETS[variant.preset] if variant.method == "tristage" else COLORS[variant.method]


def _interval(summary: Summary) -> NDArray[np.float64]:
    """Return what an error bar needs, [2, 1] %."""
    found = summary.success
    bar = np.array([[found.rate - found.low], [found.high - found.rate]])
    return 100 * np.maximum(bar, 0.0)
