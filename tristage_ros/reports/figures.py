"""The figures of a run's report. Colours after Okabe and Ito, so that the colour-blind can tell them apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.patches import Patch
from numpy.typing import NDArray

from tristage_ros.perception.color import color_image
from tristage_ros.reports.run import Run

STYLE = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "figure.dpi": 110,
    "savefig.facecolor": "white",
}
BLACK, GREY, SKY, GREEN, BLUE, RED, ORANGE = "#000000", "#999999", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#E69F00"
DARK, LIGHT = "#555555", "#dddddd"
RATE_LINES = (
    ("stage 1", SKY, "-", 1.2),
    ("stage 2", ORANGE, "-", 1.2),
    ("both fused", GREEN, "--", 1.4),
    ("applied", BLACK, "-", 2.2),
)
PARTS = {"preprocess": GREY, "tokens": SKY, "pruning": RED, "prefill": BLUE, "denoise": GREEN, "other": LIGHT}
KEPT_LABELS = {"2D only": "2D token only", "both": "both", "3D only": "3D tokens only", "neither": "neither: pruned"}


class NotRecordedError(ValueError):
    """Say which topic is missing for a figure."""


def draw(figure: Callable[[Run], Figure], run: Run) -> Figure:
    """Return `figure` of `run` in the report's style."""
    with matplotlib.rc_context(STYLE):
        return figure(run)


def pruning_rates(run: Run) -> Figure:
    """Draw the share of tokens that each stage would prune and that was pruned, over control steps, for 2D and 3D."""
    require(run.pruning, "/tristage/pruning")
    figure = Figure(figsize=(10, 5.2))
    axes = figure.subplots(2, 1, sharex=True)
    steps = np.arange(1, len(run.pruning) + 1)
    full = [index for index, step in enumerate(run.pruning, 1) if not step.pruned]
    for ax, kind in zip(axes, ("2d", "3d"), strict=True):
        rates = 100 * np.array([getattr(step, f"stage_rates_{kind}") for step in run.pruning])
        for (name, color, dashes, width), values in zip(RATE_LINES, rates.T, strict=True):
            ax.plot(steps, values, dashes, color=color, lw=width, label=name, **dots(steps))
        for step in full:
            ax.axvspan(step - 0.5, step + 0.5, color="#eeeeee", lw=0, zorder=0)
        applied = [rate for rate, step in zip(rates[:, 3], run.pruning, strict=True) if step.pruned]
        mean = f"{np.mean(applied):.0f} % of them pruned on average" if applied else "none pruned"
        ax.set(title=f"{kind.upper()} tokens: {mean}", ylabel="pruned [%]", ylim=(-3, 103))
    axes[1].set(xlabel="control step", xlim=(0.5, len(steps) + 0.5))
    handles = [*axes[0].get_lines(), *([Patch(color="#eeeeee", label="ran on all tokens")] if full else [])]
    axes[0].legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def timings(run: Run) -> Figure:
    """Draw over control steps the milliseconds of each part, the camera frame's age at the action, and the rate."""
    require(run.timings, "/tristage/timings")
    figure = Figure(figsize=(10, 7))
    parts_ax, age_ax, rate_ax = figure.subplots(3, 1, sharex=True, gridspec_kw={"height_ratios": (2.2, 1, 1)})
    steps = np.arange(1, len(run.timings) + 1)
    total = column(run.timings, "total_ms")
    _draw_parts(parts_ax, np.array([step.parts_ms for step in run.timings]), total)
    parts_ax.set(title=f"One control step takes {np.nanmedian(total):.0f} ms (median)", ylabel="ms", ylim=(0, None))
    age = column(run.timings, "action_age_ms")
    median, p95 = np.nanmedian(age), np.nanpercentile(age, 95)
    age_ax.plot(steps, age, "o", color=BLUE, ms=3)
    for value, dashes in ((median, "-"), (p95, ":")):
        age_ax.axhline(value, color=BLUE, ls=dashes, lw=1.2)
    age_ax.set(title=f"Camera to action: median {median:.0f} ms (line), p95 {p95:.0f} ms (dotted)", ylabel="ms")
    age_ax.set_ylim(0, 1.1 * np.nanmax([1.0, *age]))
    rate = column(run.timings, "control_rate_hz")
    rate_ax.plot(steps, np.where(rate > 0, rate, np.nan), color=BLACK, **dots(steps))
    rate_ax.set(title="Control rate, over the last ten actions", ylabel="Hz", xlabel="control step")
    rate_ax.set(xlim=(0.5, len(steps) + 0.5), ylim=(0, 1.1 * np.nanmax([1.0, *rate])))
    legend_upwards(parts_ax, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def legend_upwards(ax: Axes, **place: Any) -> None:
    """Add a legend that names the last one drawn first, as stacked parts lie on one another."""
    handles, labels = ax.get_legend_handles_labels()
    ax.legend(handles[::-1], labels[::-1], **place)


def legend_below(figure: FigureBase, handles: Sequence[Any], columns: int) -> None:
    """Add a legend below everything in a figure with constrained layout; matplotlib knows such a place from 3.7 on."""
    rows = -(-len(handles) // columns)
    legend = figure.legend(handles=handles, loc="lower center", ncol=columns, borderaxespad=0.2)
    # The layout leaves room for this label, and the legend lies on it.
    figure.supxlabel("\n" * (rows - 1) + " ", fontsize=1.3 * legend.get_texts()[0].get_fontsize())


def _draw_parts(ax: Axes, parts: NDArray[np.float64], total: NDArray[np.float64]) -> None:
    other = np.maximum(np.nan_to_num(total) - parts.sum(axis=1), 0.0)
    heights = np.repeat(np.column_stack([parts, other]), 2, axis=0)  # each step as a flat piece from -1/2 to +1/2
    edges = np.repeat(np.arange(len(parts) + 1) + 0.5, 2)[1:-1]
    ax.stackplot(edges, heights.T, labels=PARTS.keys(), colors=PARTS.values(), lw=0)


def views(run: Run) -> Figure:
    """Show what every camera saw at the beginning, in the middle and at the end."""
    require(run.views, "/<camera>/color/image_raw")
    figure = Figure(figsize=(12, 3.3 * len(run.views)))
    axes = figure.subplots(len(run.views), 3, squeeze=False)
    for row, (camera, messages) in zip(axes, run.views.items(), strict=True):
        for ax in row:
            ax.set_axis_off()
        for ax, message in zip(row, spread_out(messages, 3), strict=False):
            ax.imshow(pixels(message.value))
            ax.set_title(f"{camera}, {run.seconds(message):.1f} s", fontsize=9, fontweight="normal")
    return figure


def require(values: Any, topic: str) -> None:
    """Raise NotRecordedError naming `topic` when there are no `values`."""
    if not values:
        raise NotRecordedError(f"{topic} was not recorded")


def dots(steps: NDArray[Any]) -> dict[str, Any]:
    """Return the markers of a line: few steps are shown one by one."""
    return {"marker": "o", "ms": 3} if len(steps) < 60 else {}


def column(steps: Sequence[Any], name: str) -> NDArray[np.float64]:
    """Return a field of all messages."""
    return np.array([getattr(step, name) for step in steps], np.float64)


def spread_out(values: Sequence[Any], count: int) -> list[Any]:
    """Return at most `count` of one or more values, evenly from the first to the last."""
    chosen = np.unique(np.linspace(0, len(values) - 1, count).round().astype(int))
    return [values[k] for k in chosen]


def pixels(image: Any) -> NDArray[np.uint8]:
    """Return a sensor_msgs/Image as [H, W, 3] RGB."""
    return color_image(image.data, image.encoding, image.height, image.width, step=image.step)
