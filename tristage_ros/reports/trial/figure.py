"""A trial at one look: how often each side succeeded, pair by pair, and how long both took where both did."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from tristage_ros.reports.style import BLACK, BLUE, DARK, GREEN, GREY, LIGHT, ORANGE, RED, legend_below
from tristage_ros.reports.trial.file import ABORT, FAILURE, SIDES, SUCCESS, Trial
from tristage_ros.reports.trial.verdict import Verdict

COLORS = {SUCCESS: GREEN, FAILURE: RED, ABORT: ORANGE}
OF_SIDE = dict(zip(SIDES, (DARK, BLUE), strict=True))


def draw(trial: Trial, found: Verdict) -> Figure:
    """Draw rates and their difference, the outcomes by pair, and the times of pairs in which both succeeded."""
    figure = Figure(figsize=(11, 8))
    grid = figure.add_gridspec(3, 2, height_ratios=[1.1, 1.0, 2.2])
    _rates(figure.add_subplot(grid[0, 0]), found)
    _difference(figure.add_subplot(grid[0, 1]), found)
    _pairs(figure.add_subplot(grid[1, :]), trial)
    _times(figure.add_subplot(grid[2, :]), trial)
    legend_below(figure, [Patch(color=color, label=outcome) for outcome, color in COLORS.items()], columns=3)
    return figure


def _rates(ax: Axes, found: Verdict) -> None:
    for height, side in enumerate(SIDES):
        rate = getattr(found, side).success
        bars = [[100 * (rate.rate - rate.low)], [100 * (rate.high - rate.rate)]]
        ax.errorbar([100 * rate.rate], [height], xerr=bars, fmt="o", color=OF_SIDE[side], capsize=4, lw=2)
    ax.set(title="Success", xlabel="%", xlim=(-3, 103), ylim=(1.6, -0.6), yticks=[0, 1], yticklabels=SIDES)


def _difference(ax: Axes, found: Verdict) -> None:
    seen = found.difference
    bars = [[100 * (seen.difference - seen.low)], [100 * (seen.high - seen.difference)]]
    ax.axvline(0.0, color=GREY, lw=1.2)
    ax.errorbar([100 * seen.difference], [0], xerr=bars, fmt="o", color=BLACK, capsize=4, lw=2)
    most = max(20.0, 100 * abs(seen.low), 100 * abs(seen.high))
    title = f"Difference of success, p = {seen.p_value:.3g}"
    ax.set(title=title, xlabel="points, right: b is better", xlim=(-1.05 * most, 1.05 * most), ylim=(-1, 1), yticks=[])


def _pairs(ax: Axes, trial: Trial) -> None:
    for height, side in enumerate(SIDES):
        for result in trial.of(side):
            ax.bar(result.pair, 0.9, width=0.9, bottom=height - 0.45, color=COLORS[result.outcome])
            if result.place == 1:
                ax.plot(result.pair, height, ".", color=BLACK, ms=4)
    limits = {"xlim": (0.4, trial.plan.n + 0.6), "ylim": (1.6, -0.6)}
    ax.set(title="Outcomes by pair", yticks=[0, 1], yticklabels=SIDES, **limits)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.grid(visible=False)


def _times(ax: Axes, trial: Trial) -> None:
    pairs = zip(*(trial.of(side) for side in SIDES), strict=True)
    solved = [(a.seconds, b.seconds) for a, b in pairs if a.outcome == b.outcome == SUCCESS]
    ax.set(title="Time to success", xlabel="a [s]", ylabel="b [s]")
    if not solved:
        ax.text(0.5, 0.5, "no pair in which both succeeded", ha="center", transform=ax.transAxes, color=DARK)
        return
    ends = [0.95 * min(map(min, solved)), 1.05 * max(map(max, solved))]
    ax.plot(ends, ends, color=LIGHT, lw=2, zorder=0)
    ax.plot(*zip(*solved, strict=True), "o", color=BLUE)
    ax.set(xlim=ends, ylim=ends)
