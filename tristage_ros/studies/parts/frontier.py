"""Success over what was really pruned, and over the time that it really takes: one picture of all rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tristage_ros.reports.style import BLACK, BLUE, DARK, GREEN, GREY, LIGHT, ORANGE, RED, SKY, legend_below
from tristage_ros.studies.summary import Proportion
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
    """Draw success with its 95 % interval over tokens and over time; grey steps lead along what nothing else beats."""
    figure = Figure(figsize=(11, 4.6))
    left, right = figure.subplots(1, 2, sharey=True)
    labels = list(dict.fromkeys(point.variant.label for point in points))
    styles: dict[str, tuple[str, str]] = {}
    used: dict[str, int] = {}
    for label in labels:
        method = next(point.variant.method for point in points if point.variant.label == label)
        styles[label] = COLORS.get(method, DARK), MARKERS[used.get(method, 0) % len(MARKERS)]
        used[method] = used.get(method, 0) + 1
    _panel(left, [(100 * point.rate, point) for point in points], styles, saves=1)
    _panel(right, [(point.ms, point) for point in points], styles, saves=-1)
    lowest = min((point.success.low for point in points), default=0.0)
    left.set(xlabel="pruned, % of the visual tokens of a step", ylabel="success, %", ylim=(100 * lowest - 3, 101))
    right.set(xlabel="ms of a step, released loop")
    handles = [left.plot([], [], styles[label][1], color=styles[label][0], label=label)[0] for label in labels]
    legend_below(figure, handles, columns=3)
    return figure


def _panel(ax: Axes, points: Sequence[tuple[float, Point]], styles: dict[str, tuple[str, str]], saves: int) -> None:
    """Draw rows at their x; it saves more to the right (1) or to the left (-1)."""
    for _, point in points:
        if point.variant == UNPRUNED:
            ax.axhspan(100 * point.success.low, 100 * point.success.high, color="#eeeeee", zorder=0)
    ordered = sorted(points, key=lambda pair: (-saves * pair[0], -pair[1].success.rate))
    best, steps = -1.0, list[tuple[float, float]]()
    for x, point in ordered:
        if point.success.rate > best:
            best = point.success.rate
            steps.append((x, 100 * best))
    where = "post" if saves < 0 else "pre"
    steps = steps if saves < 0 else steps[::-1]
    ax.step([x for x, _ in steps], [y for _, y in steps], where=where, color=LIGHT, lw=2, zorder=1)
    for label, (color, marker) in styles.items():
        mine = sorted(((x, point) for x, point in points if point.variant.label == label), key=lambda pair: pair[0])
        at, y = [x for x, _ in mine], [100 * point.success.rate for _, point in mine]
        low = [max(level - 100 * point.success.low, 0.0) for level, (_, point) in zip(y, mine, strict=True)]
        high = [max(100 * point.success.high - level, 0.0) for level, (_, point) in zip(y, mine, strict=True)]
        ax.errorbar(at, y, [low, high], fmt=f"{marker}-", color=color, ms=6, lw=1, capsize=2, elinewidth=0.8)
