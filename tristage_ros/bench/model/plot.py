"""The picture of a measurement: what a control step takes, and how that grows."""

from __future__ import annotations

from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from tristage_ros.bench.model.steps import CORNER_RATE
from tristage_ros.pruning.baselines import LABELS
from tristage_ros.reports.style import STYLE

COLORS = {"recompute": "#9aa7b5", "cached": "#2b6cb0"}


def picture(figures: dict[str, Any], title: str) -> Figure:
    """Draw the sections of `figures` that there are: steps by method, and the growth with tokens and points.

    Raises:
        ValueError: none of them was measured.
    """
    drawers = [draw for name, draw in (("steps", _steps), ("growth", _tokens), ("growth", _points)) if name in figures]
    if not drawers:
        raise ValueError("nothing to draw: measure steps or growth")
    with matplotlib.rc_context(STYLE):
        drawing = Figure(figsize=(4.6 * len(drawers), 3.8))
        for axes, draw in zip(drawing.subplots(1, len(drawers), squeeze=False)[0], drawers, strict=True):
            draw(axes, figures)
            axes.set_ylim(bottom=None if draw is _steps else 0)
        drawing.suptitle(title, x=0.01, ha="left", fontsize=10)
    return drawing


def _steps(axes: Axes, figures: dict[str, Any]) -> None:
    at_rate = [row for row in figures["steps"] if row["rate"] in (0.0, CORNER_RATE)]
    rows = {(row["engine"], row["method"]): row["milliseconds"] for row in at_rate}
    shown = [method for method in LABELS if ("cached", method) in rows]
    for offset, (engine, color) in zip((-0.2, 0.2), COLORS.items(), strict=True):
        values = [rows[engine, method] for method in shown]
        bars = axes.barh([place + offset for place in range(len(shown))], values, 0.38, color=color, label=engine)
        axes.bar_label(bars, fmt="%.0f", padding=2, fontsize=8)
    axes.set_yticks(range(len(shown)), [LABELS[method] for method in shown])
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.margins(x=0.12)
    axes.set(title=f"Control step, r = {100 * CORNER_RATE:.0f} %", xlabel="ms")
    axes.legend(loc="lower right")


def _tokens(axes: Axes, figures: dict[str, Any]) -> None:
    for engine, by_tokens in figures["growth"]["tokens_ms"].items():
        _curve(axes, by_tokens, COLORS[engine], engine)
    axes.set(title="Decoder, all passes", xlabel="visual tokens", ylabel="ms")
    axes.legend()


def _points(axes: Axes, figures: dict[str, Any]) -> None:
    _curve(axes, figures["growth"]["points_ms"], COLORS["cached"], "")
    axes.set(title="Thinning the cloud", xlabel="points", ylabel="ms")


def _curve(axes: Axes, values: dict[Any, float], color: str, label: str) -> None:
    places = [int(place) for place in values]
    axes.plot(places, list(values.values()), "o-", color=color, label=label)
    axes.set_xscale("log")
    axes.set_xticks(places, [f"{place:,}".replace(",", " ") for place in places])
    axes.xaxis.set_minor_locator(NullLocator())
