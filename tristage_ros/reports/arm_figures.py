"""The figures of a run's arm: its joints and the path of its tool."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from tristage_ros.devices.arm.kinematics import GRIPPER_RANGE, dh_is_offset, forward, tool_pose
from tristage_ros.devices.arm.values import ArmMode
from tristage_ros.reports.figures import BLUE, DARK, GREEN, LIGHT, RED, SKY, legend_below, require
from tristage_ros.reports.run import JOINT_NAMES, Run
from tristage_ros.reports.summary import LIMITS

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
    """Draw the path of the grasp centre from above and from the side, and where the gripper closed and opened."""
    if not len(run.joint_times):
        require(run.joint_times.tolist(), "/joint_states")
    path, closed = tool_path(run), gripper_closed(run).astype(int)
    closing, opening = (np.flatnonzero(np.diff(closed) == change) + 1 for change in (1, -1))
    figure = Figure(figsize=(12, 4.6))
    above, side = figure.subplots(1, 2)
    for ax, (across, up), title in ((above, (0, 1), "from above"), (side, (0, 2), "from the side")):
        points = path[:, [across, up]]
        drawn = ax.scatter(*points.T, c=run.joint_times, s=6, cmap="viridis_r")
        ax.plot(*points[closing].T, "v", color=RED, ms=9, label="gripper closes")
        ax.plot(*points[opening].T, "^", color=GREEN, ms=9, label="gripper opens")
        ax.plot(*points[0], "s", color=DARK, ms=7, label="start")
        ax.plot(*points[-1], "*", color=DARK, ms=12, label="end")
        ax.set(title=f"Tool {title}", xlabel="x [m]", ylabel="xyz"[up] + " [m]")
        ax.set_aspect("equal", adjustable="datalim")
        ax.margins(0.1)
    figure.colorbar(drawn, ax=side, label="time [s]")
    legend_below(figure, above.get_legend_handles_labels()[0], columns=4)
    return figure


def tool_path(run: Run) -> NDArray[np.float64]:
    """Return the position [n, 3] of the grasp centre (m, base frame) at every joint state."""
    firmware = next((status.firmware for _, status in run.status if status.firmware), "")
    flange = forward(run.joint_positions[:, :6], dh_is_offset(firmware) if firmware else True)
    return tool_pose(flange)[:, :3, 3]


def gripper_closed(run: Run) -> NDArray[np.bool_]:
    """Tell for every joint state whether the gripper is less than half open."""
    return run.joint_positions[:, 6] < np.mean(GRIPPER_RANGE)
