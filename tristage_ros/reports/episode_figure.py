"""The episode at one look: what was seen and kept, how much was pruned, and what it cost, over time.

The layout is that of the paper's Fig. 6: a strip of pictures above the rates of both modalities and the time per part.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from tristage_ros.bags.reader import Message
from tristage_ros.perception.color import KEPT_COLORS
from tristage_ros.reports.figures import (
    KEPT_LABELS,
    PARTS,
    dots,
    gripper_closed,
    legend_upwards,
    mark_changes,
    pixels,
    require,
    spread_out,
)
from tristage_ros.reports.run import Run
from tristage_ros.reports.style import BLUE, DARK, LIGHT, ORANGE, legend_below

COLUMNS = 8


def episode(run: Run) -> Figure:
    """Draw the strip of the front camera and the overlay, both pruning rates, and milliseconds per part."""
    require(run.pruning, "/tristage/pruning")
    figure = Figure(figsize=(14, 8.0))
    strip, curves = figure.subfigures(2, 1, height_ratios=(0.8, 1.25))
    shown = _draw_strip(strip, run)
    rates, costs = curves.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": (1.4, 1)})
    _draw_rates(rates, run)
    _draw_costs(costs, run)
    for number, time in enumerate(shown, 1):
        for ax in (rates, costs):
            ax.axvline(time, color=DARK, lw=0.8, ls=":")
        rates.annotate(str(number), (time, 104), ha="center", annotation_clip=False, fontsize=9)
    mark_changes((rates, costs), [run.since_start(change.time) for change in run.changes])
    costs.set(xlabel="time [s]", xlim=(0, run.duration))
    return figure


def _draw_strip(figure: Any, run: Run) -> list[float]:
    """Draw pictures from first to last and return their times; those of the front camera lie above the overlays."""
    if not run.overlays:
        figure.text(0.5, 0.5, "/tristage/overlay was not recorded", ha="center")
        return []
    overlays = spread_out(run.overlays, COLUMNS)
    times = [run.seconds(message) for message in overlays]
    axes = figure.subplots(2, COLUMNS, squeeze=False)
    for ax in axes.ravel():
        ax.set_axis_off()
    for number, (column, overlay, time) in enumerate(zip(axes.T, overlays, times, strict=False), 1):
        seen = _observed(run, overlay)
        if seen is not None:
            column[0].imshow(pixels(seen.value))
        column[0].set_title(f"{number}:  {time:.1f} s", fontsize=9, fontweight="normal")
        column[1].imshow(pixels(overlay.value))
    patches = [Patch(color=f"#{bytes(KEPT_COLORS[kind]).hex()}", label=label) for kind, label in KEPT_LABELS.items()]
    legend_below(figure, patches, columns=4)
    return times


def _observed(run: Run, overlay: Message) -> Message | None:
    """Return the recorded front image nearest to the observation that an overlay was drawn for."""
    views = run.views.get("front", [])
    return min(views, key=lambda view: abs(view.header_stamp - overlay.header_stamp)) if views else None


def _draw_rates(ax: Axes, run: Run) -> None:
    for kind, color in (("2d", BLUE), ("3d", ORANGE)):
        rates = [100 * getattr(step, f"rate_{kind}") for step in run.pruning]
        pruned = [rate for rate, step in zip(rates, run.pruning, strict=True) if step.pruned]
        mean = f", mean {np.mean(pruned):.0f} %" if pruned else ""
        label = f"{kind.upper()} tokens{mean}"
        ax.plot(run.step_times, rates, color=color, lw=1.8, label=label, **dots(run.step_times))
    closed = gripper_closed(run)
    if closed.any():
        label = "gripper closed"
        ax.fill_between(
            run.joint_times, 0, 1, closed, transform=ax.get_xaxis_transform(), color=LIGHT, lw=0, label=label
        )
    ax.set(ylabel="pruned [%]", ylim=(0, 100))
    ax.set_title("Share of tokens pruned", pad=16)
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def _draw_costs(ax: Axes, run: Run) -> None:
    ax.set_title("Time per part of a control step")
    ax.set_ylabel("ms")
    if not run.timings:
        ax.text(0.5, 0.5, "/tristage/timings was not recorded", transform=ax.transAxes, ha="center")
        return
    times = run.step_times[: len(run.timings)]
    parts = np.array([step.parts_ms for step in run.timings])[: len(times)]
    totals = np.array([step.total_ms for step in run.timings])[: len(times)]
    heights = [*parts.T, np.maximum(np.nan_to_num(totals) - parts.sum(axis=1), 0.0)]
    width = max(0.8 * np.percentile(np.diff(times), 10) if len(times) > 1 else 0.0, 0.006 * run.duration)
    base = np.zeros(len(times))
    for (name, color), height in zip(PARTS.items(), heights, strict=True):
        ax.bar(times, height, width, base, color=color, label=name)
        base += height
    legend_upwards(ax, loc="center left", bbox_to_anchor=(1.0, 0.5))
