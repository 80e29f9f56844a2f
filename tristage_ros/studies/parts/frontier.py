"""Success over what was really pruned, and over the time that it really takes: one picture of all rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tristage_ros.reports.statistics import Proportion
from tristage_ros.reports.style import BLACK, BLUE, DARK, GREEN, GREY, ORANGE, RED, SKY, legend_below
from tristage_ros.studies.variant import UNPRUNED, Variant

COLORS = {
    "none": BLACK, "random": GREY, "fastv": ORANGE, "vla_pruner": RED, "dart": SKY, "sp_vla": BLUE,
    "attention": "#CC79A7", "tristage": GREEN, "split": DARK, "one_modality": GREY,
}  # fmt: skip
MARKERS = "osD^vP*X<>"


@dataclass(frozen=True)
class Point:
    """Hold where a row is: its success, the share of tokens that it pruned, and a control step's ms."""

    variant: Variant
    success: Proportion
    rate: float
    ms: float


def frontier(points: Sequence[Point]) -> Figure:
    """Draw success with its 95 % interval over tokens and over time; dashed: what no other row beats in both.

    The band is the unpruned policy's success.
    """
    figure = Figure(figsize=(11, 4.8))
    left, right = figure.subplots(1, 2, sharey=True)
    pruned = [point for point in points if point.variant != UNPRUNED]
    styles = _styles([point.variant for point in pruned])
    _panel(left, [(100 * point.rate, point) for point in pruned], styles, saves=1)
    _panel(right, [(point.ms, point) for point in pruned], styles, saves=-1)
    for point in points:
        if point.variant == UNPRUNED:
            for ax in (left, right):
                ax.axhspan(100 * point.success.low, 100 * point.success.high, color="#eeeeee", zorder=0)
                ax.axhline(100 * point.success.rate, color=BLACK, lw=1)
            right.set(title=f"unpruned: {point.ms:.0f} ms")
    lowest = min((point.success.low for point in points), default=0.0)
    left.set(xlabel="pruned, % of the visual tokens of a step", ylabel="success, %", ylim=(100 * lowest - 3, 103))
    right.set(xlabel="ms of a step, released loop")
    lines = [Line2D([], [], color=color, marker=marker, label=label) for label, (color, marker) in styles.items()]
    legend_below(figure, [Line2D([], [], color=BLACK, lw=1, label=UNPRUNED.label), *lines], columns=3)
    return figure


def _styles(variants: Sequence[Variant]) -> dict[str, tuple[str, str]]:
    """Return colour and marker by label; the colour is the method's."""
    styles: dict[str, tuple[str, str]] = {}
    used: Counter[str] = Counter()
    for variant in variants:
        if variant.label not in styles:
            color = COLORS.get(variant.method, DARK)
            styles[variant.label] = color, MARKERS[used[color] % len(MARKERS)]
            used[color] += 1
    return styles


def _panel(ax: Axes, points: Sequence[tuple[float, Point]], styles: dict[str, tuple[str, str]], saves: int) -> None:
    """Draw rows at their x, side by side where that is the same; more is saved to the right (1) or to the left (-1)."""
    best, steps = -1.0, list[tuple[float, float]]()
    for x, point in sorted(points, key=lambda pair: (-saves * pair[0], -pair[1].success.rate)):
        if point.success.rate > best:
            best = point.success.rate
            steps.append((x, 100 * best))
    ax.step([x for x, _ in steps], [y for _, y in steps], where="post", color=DARK, lw=1, ls="--", zorder=1)
    apart = 0.012 * (max(x for x, _ in points) - min(x for x, _ in points)) if points else 0.0
    beside: dict[float, list[Point]] = {}
    for x, point in points:
        beside.setdefault(round(x, 1), []).append(point)
    shown = [
        (x + apart * (number - (len(some) - 1) / 2), point)
        for x, some in beside.items()
        for number, point in enumerate(some)
    ]
    for label, (color, marker) in styles.items():
        mine = sorted(((x, point) for x, point in shown if point.variant.label == label), key=lambda pair: pair[0])
        for x, point in mine:
            found = point.success
            bar = [[max(found.rate - found.low, 0.0)], [max(found.high - found.rate, 0.0)]]
            scaled = [[100 * value for value in side] for side in bar]
            ax.errorbar(x, 100 * found.rate, scaled, fmt=marker, color=color, ms=6, capsize=2, elinewidth=0.8)
        budgeted = [(x, 100 * point.success.rate) for x, point in mine if point.variant.rate is not None]
        ax.plot([x for x, _ in budgeted], [y for _, y in budgeted], color=color, lw=1)
