"""The figures of a run's report: rates, times, views, salience and the arm."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from numpy.typing import NDArray

from tristage_ros.devices.arm.kinematics import GRIPPER_RANGE, TOOL_OFFSET, dh_is_offset, forward, tool_pose
from tristage_ros.devices.arm.site import Site
from tristage_ros.devices.arm.values import ArmMode
from tristage_ros.perception.color import color_image
from tristage_ros.reports.run import JOINT_NAMES, Run, site_of
from tristage_ros.reports.style import BLACK, BLUE, DARK, GREEN, GREY, LIGHT, ORANGE, RED, SKY, STYLE, legend_below
from tristage_ros.reports.summary import LIMITS

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
    handles += mark_changes(axes, [change.step + 0.5 for change in run.changes])
    axes[0].legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def mark_changes(axes: Iterable[Axes], places: Iterable[float]) -> list[Line2D]:
    """Draw a line at every place where something was set, and return one of them for a legend, if there is one."""
    lines = [ax.axvline(place, color=RED, lw=1.2, ls="-.", label="set otherwise") for place in places for ax in axes]
    return lines[:1]


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


# Salience of both modalities, in the layout of the paper's Fig. 3 (d).

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


# The arm: its joints, and the path of its tool.

MODE_COLORS = {
    ArmMode.DISCONNECTED: DARK,
    ArmMode.DISABLED: LIGHT,
    ArmMode.HOLDING: SKY,
    ArmMode.MOVING: GREEN,
    ArmMode.FAULT: RED,
}


def joints(run: Run) -> Figure:
    """Draw joint positions over time against their limits, and the arm's mode."""
    if not len(run.joint_times):
        require(run.status, "/joint_states and /arm/status")
    figure = Figure(figsize=(12, 8.2))
    axes = figure.subplots(5, 2, sharex=True, gridspec_kw={"height_ratios": (1, 1, 1, 1, 0.3), "hspace": 0.04})
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
    axes[3, 1].legend(handles, labels, ncol=2, loc="center")
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


def trajectory(run: Run) -> Figure:
    """Draw the path of the grasp centre from above and from the side, where the gripper closed and opened, the site."""
    if not len(run.joint_times):
        require(run.joint_times.tolist(), "/joint_states")
    path, closed = tool_path(run), gripper_closed(run).astype(int)
    closing, opening = (np.flatnonzero(np.diff(closed) == change) + 1 for change in (1, -1))
    figure = Figure(figsize=(12, 5.2))
    above, side = figure.subplots(1, 2)
    site = site_of(run)
    for ax, (across, up), title in ((above, (0, 1), "from above"), (side, (0, 2), "from the side")):
        points = path[:, [across, up]]
        drawn = ax.scatter(*points.T, c=run.joint_times, s=6, cmap="viridis_r")
        ax.plot(*points[closing].T, "v", color=RED, ms=9, label="gripper closes")
        ax.plot(*points[opening].T, "^", color=GREEN, ms=9, label="gripper opens")
        ax.plot(*points[0], "s", color=DARK, ms=7, label="start")
        ax.plot(*points[-1], "*", color=DARK, ms=12, label="end")
        if site is not None:
            _draw_site(ax, site, (across, up))
        ax.set(title=f"Tool {title}", xlabel="x [m]", ylabel="xyz"[up] + " [m]")
        ax.set_aspect("equal", adjustable="datalim")
        ax.margins(0.1)
    figure.colorbar(drawn, ax=side, label="time [s]")
    handles = dict(zip(*side.get_legend_handles_labels()[::-1], strict=True))
    legend_below(figure, list(handles.values()), columns=5)
    return figure


def _draw_site(ax: Axes, site: Site, axes: tuple[int, int]) -> None:
    """Draw table, box, the grasp centre's box and keep-out boxes, seen along the axis that is not in `axes`."""
    for box, style in (
        (site.box, {"ec": BLUE, "ls": "-", "label": "no part of the arm outside"}),
        (site.tool_box, {"ec": GREEN, "ls": "--", "label": "nor the tool"}),
        *((box, {"fc": RED, "alpha": 0.25, "label": f"keep out: {box.name}"}) for box in site.keep_out),
    ):
        (x, y), (far_x, far_y) = (np.array(corner)[list(axes)] for corner in (box.lower, box.upper))
        ax.add_patch(Rectangle((x, y), far_x - x, far_y - y, **{"fc": "none", "lw": 1.2, "zorder": 0, **style}))
    if axes[1] == 2:
        ax.axhline(site.table_height, color=GREY, lw=2.5, zorder=0, label="table")


def tool_path(run: Run) -> NDArray[np.float64]:
    """Return the position [n, 3] of the grasp centre (m, base frame) at every joint state."""
    firmware = next((status.firmware for _, status in run.status if status.firmware), "")
    flange = forward(run.joint_positions[:, :6], dh_is_offset(firmware) if firmware else True)
    site = site_of(run)
    return tool_pose(flange, site.tool.tcp if site else TOOL_OFFSET)[:, :3, 3]


def gripper_closed(run: Run) -> NDArray[np.bool_]:
    """Tell for every joint state whether the gripper is less than half open."""
    return run.joint_positions[:, 6] < np.mean(GRIPPER_RANGE)
