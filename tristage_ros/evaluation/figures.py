"""The figures of a run's report. Colours after Okabe and Ito, so that the colour-blind can tell them apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from tristage_ros.devices.values import ArmMode
from tristage_ros.evaluation.run import JOINT_NAMES, Run
from tristage_ros.evaluation.summary import LIMITS
from tristage_ros.perception.color import color_image
from tristage_ros.perception.overlay import KEPT_COLORS

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
MODE_COLORS = {
    ArmMode.DISCONNECTED: DARK,
    ArmMode.DISABLED: LIGHT,
    ArmMode.HOLDING: SKY,
    ArmMode.MOVING: GREEN,
    ArmMode.FAULT: RED,
}
KEPT_LABELS = {"2D only": "2D token only", "both": "both", "3D only": "3D tokens only", "neither": "neither: pruned"}
OVERLAY_COLUMNS, OVERLAY_ROWS = 4, 2


class NotRecordedError(ValueError):
    """Say which topic is missing for a figure."""


def draw(figure: Callable[[Run], Figure], run: Run) -> Figure:
    """Return `figure` of `run` in the report's style."""
    with matplotlib.rc_context(STYLE):
        return figure(run)


def pruning_rates(run: Run) -> Figure:
    """Draw the share of tokens that each stage would prune and that was pruned, over control steps, for 2D and 3D."""
    _require(run.pruning, "/tristage/pruning")
    figure = Figure(figsize=(10, 5.2))
    axes = figure.subplots(2, 1, sharex=True)
    steps = np.arange(1, len(run.pruning) + 1)
    full = [index for index, step in enumerate(run.pruning, 1) if not step.pruned]
    for ax, kind in zip(axes, ("2d", "3d"), strict=True):
        rates = 100 * np.array([getattr(step, f"stage_rates_{kind}") for step in run.pruning])
        for (name, color, dashes, width), values in zip(RATE_LINES, rates.T, strict=True):
            ax.plot(steps, values, dashes, color=color, lw=width, label=name, **_dots(steps))
        for step in full:
            ax.axvspan(step - 0.5, step + 0.5, color="#eeeeee", lw=0, zorder=0)
        applied = [rate for rate, step in zip(rates[:, 3], run.pruning, strict=True) if step.pruned]
        mean = f"{np.mean(applied):.0f} % of them pruned on average" if applied else "none pruned"
        ax.set(title=f"{kind.upper()} tokens: {mean}", ylabel="pruned [%]", ylim=(-3, 103))
    axes[1].set(xlabel="control step", xlim=(0.5, len(steps) + 0.5))
    handles = [*axes[0].get_lines(), *([Patch(color="#eeeeee", label="ran on all tokens")] if full else [])]
    figure.legend(handles=handles, loc="outside right upper")
    return figure


def timings(run: Run) -> Figure:
    """Draw over control steps the milliseconds of each part, the camera frame's age at the action, and the rate."""
    _require(run.timings, "/tristage/timings")
    figure = Figure(figsize=(10, 7))
    parts_ax, age_ax, rate_ax = figure.subplots(3, 1, sharex=True, height_ratios=(2.2, 1, 1))
    steps = np.arange(1, len(run.timings) + 1)
    total = _column(run.timings, "total_ms")
    _draw_parts(parts_ax, np.array([step.parts_ms for step in run.timings]), total)
    parts_ax.set(title=f"One control step takes {np.nanmedian(total):.0f} ms (median)", ylabel="ms", ylim=(0, None))
    age = _column(run.timings, "action_age_ms")
    median, p95 = np.nanmedian(age), np.nanpercentile(age, 95)
    age_ax.plot(steps, age, "o", color=BLUE, ms=3)
    for value, dashes in ((median, "-"), (p95, ":")):
        age_ax.axhline(value, color=BLUE, ls=dashes, lw=1.2)
    age_ax.set(title=f"Camera to action: median {median:.0f} ms (line), p95 {p95:.0f} ms (dotted)", ylabel="ms")
    age_ax.set_ylim(0, 1.1 * np.nanmax(age, initial=1.0))
    rate = _column(run.timings, "control_rate_hz")
    rate_ax.plot(steps, np.where(rate > 0, rate, np.nan), color=BLACK, **_dots(steps))
    rate_ax.set(title="Control rate, over the last ten actions", ylabel="Hz", xlabel="control step")
    rate_ax.set(xlim=(0.5, len(steps) + 0.5), ylim=(0, 1.1 * np.nanmax(rate, initial=1.0)))
    figure.legend(*parts_ax.get_legend_handles_labels(), loc="outside right upper", reverse=True)
    return figure


def _draw_parts(ax: Axes, parts: NDArray[np.float64], total: NDArray[np.float64]) -> None:
    other = np.maximum(np.nan_to_num(total) - parts.sum(axis=1), 0.0)
    heights = np.repeat(np.column_stack([parts, other]), 2, axis=0)  # each step as a flat piece from -1/2 to +1/2
    edges = np.repeat(np.arange(len(parts) + 1) + 0.5, 2)[1:-1]
    ax.stackplot(edges, heights.T, labels=PARTS.keys(), colors=PARTS.values(), lw=0)


def overlays(run: Run) -> Figure:
    """Show, at some steps from first to last, what was kept of the front image."""
    _require(run.overlays, "/tristage/overlay")
    by_stamp = {_stamp(step): (index, step) for index, step in enumerate(run.pruning, 1)}
    figure = Figure(figsize=(12, 5.6))
    axes = figure.subplots(OVERLAY_ROWS, OVERLAY_COLUMNS).ravel()
    chosen = _spread_out(run.overlays, OVERLAY_ROWS * OVERLAY_COLUMNS)
    for ax in axes:
        ax.set_axis_off()
    for ax, message in zip(axes, chosen, strict=False):
        ax.imshow(_pixels(message.value))
        known = by_stamp.get(_stamp(message.value))
        ax.set_title(_kept(*known) if known else f"{run.seconds(message):.1f} s", fontsize=9, fontweight="normal")
    patches = [Patch(color=f"#{bytes(KEPT_COLORS[kind]).hex()}", label=label) for kind, label in KEPT_LABELS.items()]
    figure.legend(handles=patches, loc="outside lower center", ncols=4, title="What was kept of a patch")
    return figure


def _kept(index: int, step: Any) -> str:
    if not step.pruned:
        return f"step {index}: all tokens kept"
    return f"step {index}: kept 2D {100 * (1 - step.rate_2d):.0f} %, 3D {100 * (1 - step.rate_3d):.0f} %"


def views(run: Run) -> Figure:
    """Show what every camera saw at the beginning, in the middle and at the end."""
    _require(run.views, "/<camera>/color/image_raw")
    figure = Figure(figsize=(12, 3.3 * len(run.views)))
    axes = figure.subplots(len(run.views), 3, squeeze=False)
    for row, (camera, messages) in zip(axes, run.views.items(), strict=True):
        for ax in row:
            ax.set_axis_off()
        for ax, message in zip(row, _spread_out(messages, 3), strict=False):
            ax.imshow(_pixels(message.value))
            ax.set_title(f"{camera}, {run.seconds(message):.1f} s", fontsize=9, fontweight="normal")
    return figure


def joints(run: Run) -> Figure:
    """Draw joint positions over time against their limits, and the arm's mode."""
    if not len(run.joint_times):
        _require(run.status, "/joint_states and /arm/status")
    figure = Figure(figsize=(12, 8.2))
    axes = figure.subplots(5, 2, sharex=True, height_ratios=(1, 1, 1, 1, 0.3), gridspec_kw={"hspace": 0.04})
    units = [(180 / np.pi, "°")] * 6 + [(1e3, " mm")]
    for index, (ax, name, (scale, unit)) in enumerate(zip(axes.flat, JOINT_NAMES, units, strict=False)):
        low, high = LIMITS[index] * scale
        for limit in (low, high):
            ax.axhline(limit, color=RED, ls="--", lw=1.2)
        ax.plot(run.joint_times, run.joint_positions[:, index] * scale, color=BLUE, lw=1.4)
        margin = 0.06 * (high - low)
        ax.set(title=f"{name}: {low:.0f}{unit} to {high:.0f}{unit}", ylim=(low - margin, high + margin))
    limit, _, measured = axes[0, 0].get_lines()
    handles = [measured, limit, *(Patch(color=color) for color in MODE_COLORS.values())]
    labels = ["measured", "limit", *(f"arm {mode.name.lower()}" for mode in MODE_COLORS)]
    axes[3, 1].set_axis_off()
    axes[3, 1].legend(handles, labels, ncols=2, loc="center")
    for ax in axes[4]:
        _draw_modes(ax, run)
    return figure


def _draw_modes(ax: Axes, run: Run) -> None:
    times = [time for time, _ in run.status]
    modes = [ArmMode(status.mode) for _, status in run.status]
    starts = [k for k in range(len(modes)) if k == 0 or modes[k] != modes[k - 1]]
    ends = [*(times[k] for k in starts[1:]), run.duration]
    for start, end in zip(starts, ends, strict=False):
        ax.axvspan(times[start], end, color=MODE_COLORS[modes[start]], lw=0)
    ax.set(title="arm mode" if modes else "arm mode: not recorded", yticks=[], xlabel="time [s]")
    ax.grid(False)


def _require(values: Any, topic: str) -> None:
    if not values:
        raise NotRecordedError(f"{topic} was not recorded")


def _dots(steps: NDArray[np.int64]) -> dict[str, Any]:
    return {"marker": "o", "ms": 3} if len(steps) < 60 else {}


def _column(steps: Sequence[Any], name: str) -> NDArray[np.float64]:
    return np.array([getattr(step, name) for step in steps], np.float64)


def _spread_out(values: Sequence[Any], count: int) -> list[Any]:
    chosen = np.unique(np.linspace(0, len(values) - 1, count).round().astype(int))
    return [values[k] for k in chosen]


def _stamp(message: Any) -> tuple[int, int]:
    return message.header.stamp.sec, message.header.stamp.nanosec


def _pixels(image: Any) -> NDArray[np.uint8]:
    return color_image(image.data, image.encoding, image.height, image.width, step=image.step)
