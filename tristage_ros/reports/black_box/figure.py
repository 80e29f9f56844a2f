"""The last second before a fault on one time line: joints, efforts, modes, frames, calls and texts."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from tristage_ros.devices.arm.values import ArmMode
from tristage_ros.reports.black_box.frames import ARM, OTHERS, US
from tristage_ros.reports.black_box.record import AFTER, BEFORE, STEP, BlackBox
from tristage_ros.reports.figures import MODE_COLORS
from tristage_ros.reports.style import BLACK, BLUE, DARK, GREEN, ORANGE, RED, SKY, legend_below

LANES = ("fault", "mode", "service", "parameter", "chunk", "trajectory", "request", ARM, US, OTHERS)
_COLORS = {"fault": RED, "mode": DARK, ARM: BLUE, US: ORANGE, OTHERS: RED}
_LEAST = 0.02  # rad that a joint's axis shows at least; ten times as many N m of its effort


def draw(box: BlackBox, numbers: dict[int, tuple[float, str]]) -> Figure:
    """Draw the time around the fault; `numbers`: time, s, and lane of what the table beside it lists."""
    figure = Figure(figsize=(13, 15))
    axes = figure.subplots(9, 1, sharex=True, gridspec_kw={"height_ratios": [1] * 7 + [0.25, 1.8], "hspace": 0.05})
    for joint, ax in enumerate(axes[:7]):
        _draw_joint(ax, box, joint)
    _draw_modes(axes[7], box)
    _draw_lanes(axes[8], numbers)
    for ax in axes:
        ax.axvline(0.0, color=RED, lw=1.2)
    axes[8].set_xlim(-BEFORE, AFTER)
    axes[8].set_xlabel("time after the fault [s]" if box.fault else "time after it was written [s]")
    modes_seen = [mode for mode in ArmMode if mode in box.steps.mode]
    legend_below(
        figure,
        [
            Line2D([], [], color=ORANGE, label="target sent"),
            Line2D([], [], color=BLUE, label="measured"),
            Line2D([], [], color=GREEN, lw=0.9, label="effort (right)"),
            Line2D([], [], color=RED, label="fault" if box.fault else "written"),
            *(Patch(color=MODE_COLORS[mode], label=f"arm {mode.name.lower()}") for mode in modes_seen),
        ],
        columns=8,
    )
    return figure


def _draw_joint(ax: Axes, box: BlackBox, joint: int) -> None:
    steps, effort = box.steps, ax.twinx()
    scale, unit = (1e3, "mm") if joint == 6 else (1.0, "rad")
    target, measured = steps.target[:, joint] * scale, steps.measured[:, joint] * scale
    effort.step(steps.times, steps.effort[:, joint], color=GREEN, lw=0.9, where="post")
    ax.step(steps.times, target, color=ORANGE, lw=1.8, where="post")
    ax.step(steps.times, measured, color=BLUE, lw=1.6, where="post")
    name = "gripper" if joint == 6 else f"J{joint + 1}"
    at = steps.at(0.0)
    apart = target[at] - measured[at]
    told = f"target {apart:+.3f} {unit} ahead at the fault" if np.isfinite(apart) else "no target at the fault"
    ax.set_title(f"{name}: {told if box.fault else ''}".rstrip(": "), fontsize=9)
    ax.set_ylabel(f"[{unit}]")
    effort.set_ylabel("[N m]", color=GREEN)
    effort.tick_params(axis="y", colors=GREEN)
    effort.grid(False)
    _widen(ax, _LEAST * (250 if joint == 6 else 1))
    _widen(effort, 10 * _LEAST)


def _widen(ax: Axes, least: float) -> None:
    """Show at least so much, lest noise fills the axes."""
    low, high = ax.get_ylim()
    if high - low < least:
        middle = (low + high) / 2
        ax.set_ylim(middle - least / 2, middle + least / 2)


def _draw_modes(ax: Axes, box: BlackBox) -> None:
    for time, mode in zip(box.steps.times, box.steps.mode, strict=True):
        if mode is not None:
            ax.axvspan(time, time + STEP, color=MODE_COLORS[mode], lw=0)
    ax.set(yticks=[])
    ax.set_title("mode, as /arm/status told it 20 times a second", fontsize=9)
    ax.grid(False)


def _draw_lanes(ax: Axes, numbers: dict[int, tuple[float, str]]) -> None:
    lanes = [lane for lane in LANES if any(lane == there for _, there in numbers.values())]
    for number, (time, lane) in numbers.items():
        height = lanes.index(lane)
        ax.plot(time, height, "o", color=_COLORS.get(lane, SKY), ms=6, clip_on=False)
        up = (-1) ** number
        ax.annotate(
            str(number), (time, height), (0, 6 * up), "data", "offset points", fontsize=8, color=BLACK,
            ha="center", va="bottom" if up > 0 else "top",
        )  # fmt: skip
    ax.set_yticks(range(len(lanes)))
    ax.set_yticklabels(lanes)
    ax.set_ylim(len(lanes) - 0.4, -0.6)
    ax.set_title("frames, calls and texts, by their numbers below", fontsize=9)
