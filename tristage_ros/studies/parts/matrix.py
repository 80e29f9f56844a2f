"""Methods against rates, as tables and as a picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import ClassVar

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tristage_ros.bench.model.table import Table
from tristage_ros.mla.passes import EngineName
from tristage_ros.pruning.baselines import LABELS
from tristage_ros.reports.style import BLACK, BLUE, DARK, GREEN, GREY, ORANGE, RED, SKY
from tristage_ros.studies.cell import Mode
from tristage_ros.studies.compared import IN_PASS, after_layer_1, compute_matched
from tristage_ros.studies.measurements import EPISODES
from tristage_ros.studies.parts.part import Chapter, Part, Row, against, p_value, percent, pruned, success
from tristage_ros.studies.summary import Summary, over_steps
from tristage_ros.studies.variant import UNPRUNED, Variant

SUCCESS = ("method", "r %", "n", "success % [95 %]", "to unpruned [95 %]", "p", "steps")
SUCCESS_NOTE = (
    "Success with its Wilson interval; the difference to unpruned is that of the same episodes, with Newcombe's "
    "interval and McNemar's exact test. Steps: control steps of a successful episode. Every pruned row keeps its "
    "tokens in buckets of 16; guarded rows all have the guard, age limit and refresh of the robot preset. Tri- "
    "stage and SP-VLA leave the first step of an episode unpruned, VLA-Pruner the first three. FastV, DART and "
    "VLA-Pruner run the decoder's first 2, 2 and 3 layers on all tokens, as published, which is the beginning of "
    'a decoder of 32 layers and most of one of 4. "After layer 1" they decide as early as they can, in the first '
    "denoising pass of a step; the later passes have the kept tokens alone, as many as the others keep, and VLA- "
    "Pruner prunes from the second step on, by as much history as there is. Compute-matched, layer 1 sees all "
    "tokens in every pass, and so much less is kept behind it that the mean over the layers is that of the "
    "others."
)
ENGINES: tuple[EngineName, ...] = ("recompute", "cached")  # in the order of the columns
TIMES = tuple(f"{engine}{x}" for engine in ENGINES for x in (" ms", " x", ", episode"))
COST = ("method", "r %", "pruned", "stage 1", "stage 2", "fused", "goal mm", *TIMES)
COST_NOTE = (
    "Pruned: % of 2D / 3D tokens, mean over all control steps, the first, unpruned ones included; stage 1, stage 2, "
    "fused: what the stages alone would prune, before budget and guard. Goal: how far it is from the unpruned policy's "
    "on the same observations of the first task, from the same noise, median and 90 % quantile over {steps} control "
    "steps; the unpruned policy's own is {own} mm from the expert's. Milliseconds: medians of control steps on the "
    "same observations, one thread, all rows in turn; x: a pruned step over the unpruned one of the same engine; "
    "episode: all its steps over as many unpruned ones, with those that a method itself leaves unpruned."
)
SIDES = ("stage1_", "stage2_", "fused_")


def variants(method: str, rate: float, calibrated: tuple[tuple[str, float], ...], layers: int) -> list[Variant]:
    """Return the ways to run a method at a rate in a decoder of so many layers.

    They are as published and guarded; of those that decide inside the pass also as early as they can, with the rate
    behind the first layer and, where that is possible, over all layers; of tri-stage every preset.
    """
    if method == "none":
        return [UNPRUNED]
    if method != "tristage":
        early = [after_layer_1(method, rate), compute_matched(method, rate, layers)] if method in IN_PASS else []
        return [*(Variant(method, rate, guard) for guard in (False, True)), *filter(None, early)]
    paper = [Variant(method, rate, guard, "paper") for guard in (False, True)]
    return [*paper, Variant(method, rate, True, "robot"), Variant(method, rate, True, "calibrated", calibrated)]


def free(calibrated: tuple[tuple[str, float], ...]) -> list[Variant]:
    """Return tri-stage without a budget."""
    paper_preset = [Variant("tristage", None, guard, "paper") for guard in (False, True)]
    return [*paper_preset, Variant("tristage", None, True, "calibrated", calibrated)]


class Matrix(Part):
    """Compare all methods at all rates, and tri-stage with every guarded baseline."""

    name = "matrix"
    title = "Methods and rates"
    number = 100
    takes = ("methods", "rates")
    rates: ClassVar[tuple[float, ...]] = (0.5, 0.6, 0.7, 0.8)  # unless the command says otherwise
    budgetless: ClassVar[bool] = False  # rows without a rate belong to it, where the command says none

    def rows(self) -> list[Row]:
        """Return the unpruned row, rate by rate every method as published and guarded, and tri-stage without a rate."""
        scope = self.study.scope
        methods = scope.methods or tuple(LABELS)
        found = self.variants(methods, scope.rates or self.rates)
        if self.budgetless and scope.rates is None and "tristage" in methods:
            found += free(self.study.thresholds(self.mode).settings)
        return [self.row(variant) for variant in found]

    def measured(self) -> tuple[Counter[Mode], Counter[Mode]]:
        """Return the steps that are timed, and the episodes over which goals are compared, once per row."""
        return self.timed(), Counter({self.mode: EPISODES * len(self.rows())})

    def variants(self, methods: Sequence[str], rates: Sequence[float]) -> list[Variant]:
        """Return every way to run the methods at the rates, the unpruned one first."""
        tristage = "tristage" in methods
        calibrated = self.study.thresholds(self.mode).settings if tristage else ()
        layers = self.study.attempts(self.mode).model.config.layers
        ways = (variants(method, rate, calibrated, layers) for rate in rates for method in methods)
        return list(dict.fromkeys([UNPRUNED, *chain.from_iterable(ways)]))

    def chapter(self) -> Chapter:
        """Return the table of all rows, the contest at every rate, and success over rate."""
        found = self.found()
        if not found:
            return Chapter(self.title)
        compared = [row.variant for row, _ in found]
        speeds, (moved, own) = self.study.speeds(compared, self.mode), self.study.deviations(compared, self.mode)
        successes, costs = (
            Table("Success", SUCCESS, note=SUCCESS_NOTE),
            Table("Pruning and speed", COST, note=COST_NOTE.format(own=own, steps=len(own.distances))),
        )
        for row, summary in found:
            head, speed = self.head(row), speeds[row.variant.name]
            steps = f"{summary.key_frames:.1f}" if summary.success.successes else "-"
            n = str(summary.success.n)
            successes.rows.append((*head, n, success(summary), against(summary), p_value(summary), steps))
            stages = [pruned(summary, side) if row.variant.method == "tristage" else "" for side in SIDES]
            share = over_steps(self.episodes(row).values(), "pruned")
            fast = [text for engine in ENGINES for text in speed.described(engine, share)]
            goal = str(moved[row.variant.name]) if row.variant != UNPRUNED else ""
            costs.rows.append((*head, pruned(summary), *stages, goal, *fast))
        tables = [self.by_task(found), successes, self.contests(found), costs]
        chapter = Chapter(self.title, tables=[table for table in tables if table.rows])
        chapter.pictures[f"{self.name}.png"] = success_picture([(row.variant, summary) for row, summary in found])
        for row, summary in found:
            name = row.variant.name
            more = {"speed": vars(speeds[name]), "goal_m": moved[name].distances}
            chapter.figures[name] = summary.to_dict() | more
        return chapter

    def head(self, row: Row) -> tuple[str, str]:
        """Return a row's method and rate for print."""
        return row.variant.label, "" if row.variant.rate is None else percent(row.variant.rate)

    def by_task(self, found: list[tuple[Row, Summary]]) -> Table:
        """Return success at every task; no rows where there is one task alone."""
        table = Table("Success by task, %", ("method", "r %", *self.tasks, "mean"))
        for row, summary in found if len(self.tasks) > 1 else []:
            tasks = [percent(summary.by_task[t].rate) if t in summary.by_task else "" for t in self.tasks]
            table.rows.append((*self.head(row), *tasks, percent(summary.success.rate)))
        return table

    def contests(self, found: list[tuple[Row, Summary]]) -> Table:
        """Return how tri-stage compares with every baseline at the same rate, guard against guard."""
        note = "Difference of success on the same episodes in points, with McNemar's exact p; above 0: tri-stage wins."
        budgeted = [row for row, _ in found if row.variant.rate is not None]
        others = {(self.rival(row), row.variant.rate, row.variant.guard): row for row in budgeted}
        rivals = list(dict.fromkeys(self.rival(row) for row in budgeted if row.variant.method != "tristage"))
        table = Table("Tri-stage against the baselines, guard alike", ("tri-stage", "r %", *rivals), note=note)
        for row in budgeted:
            if row.variant.method == "tristage":
                met = [others.get((rival, row.variant.rate, row.variant.guard)) for rival in rivals]
                table.rows.append(
                    (*self.head(row), *("" if other is None else self.contest(row, other) for other in met))
                )
        return table

    @staticmethod
    def rival(row: Row) -> str:
        """Return a baseline's label, guarded or not."""
        return replace(row.variant, guard=True).label.removesuffix(", guard")


# The picture of the table, with error bars.

COLORS = {
    "random": GREY, "fastv": ORANGE, "vla_pruner": RED, "dart": SKY, "sp_vla": BLUE, "tristage": GREEN, "none": BLACK,
}  # fmt: skip
PRESETS = {"paper": SKY, "robot": GREEN, "calibrated": BLACK}


def success_picture(found: Sequence[tuple[Variant, Summary]]) -> Figure:
    """Draw success with its 95 % intervals, over nominal rate, or method by method where all have the same one."""
    rates = {variant.rate for variant, _ in found if variant.rate is not None}
    return success_by_rate(found) if len(rates) > 1 else success_by_method(found)


def success_by_rate(found: Sequence[tuple[Variant, Summary]]) -> Figure:
    """Draw success over nominal rate with 95 % intervals, left without guard and right with it.

    The band is the unpruned policy's. Dotted: decided after the first layer; with dashes: at r over all layers.
    """
    figure = Figure(figsize=(12, 5.5))
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    for guard, ax in zip((False, True), panels, strict=True):
        lines: dict[str, list[tuple[Variant, Summary]]] = {}
        for variant, summary in found:
            if variant.method == "none":
                ax.axhspan(100 * summary.success.low, 100 * summary.success.high, color="#eeeeee", zorder=0)
                ax.axhline(100 * summary.success.rate, color=DARK, lw=1, label=variant.label)
            elif variant.rate is not None and variant.guard == guard:
                lines.setdefault(variant.label.removesuffix(", guard"), []).append((variant, summary))
        for number, (label, points) in enumerate(lines.items()):
            variant = points[0][0]
            x = np.array([100 * (v.rate or 0.0) for v, _ in points]) + 0.6 * (number - len(lines) / 2)
            y = np.array([s.success.rate for _, s in points])
            dashes = "-." if variant.over_layers else "-" if variant.layer is None else ":"
            style = {"fmt": f"o{dashes}", "color": _color(variant), "ms": 4, "capsize": 2, "label": label}
            ax.errorbar(x, 100 * y, np.hstack([_interval(summary) for _, summary in points]), **style)
        ax.set(title="with guard" if guard else "without guard", xlabel="r, % of visual tokens")
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncol=2)
    panels[0].set(ylabel="success, %")
    if found:
        panels[0].set(ylim=(10 * np.floor(10 * min(summary.success.low for _, summary in found)) - 3, 103))
    return figure


def success_by_method(found: Sequence[tuple[Variant, Summary]]) -> Figure:
    """Draw success of every row with its 95 % interval; the band is the unpruned policy's."""
    figure = Figure(figsize=(9, 1.0 + 0.3 * len(found)))
    ax = figure.subplots()
    names = []
    for y, (variant, summary) in enumerate(found):
        if variant.method == "none":
            ax.axvspan(100 * summary.success.low, 100 * summary.success.high, color="#eeeeee", zorder=0)
        rate = 100 * summary.success.rate
        ax.errorbar(rate, y, xerr=_interval(summary), fmt="o", color=_color(variant), ms=5, capsize=2)
        budget = "" if variant.rate is None else f", r = {100 * variant.rate:.0f} %"
        names.append(variant.label + (", no budget" if not budget and variant.method != "none" else budget))
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel="success, %", xlim=(-2, 102), ylim=(len(names) - 0.5, -0.5))
    return figure


def _color(variant: Variant) -> str:
    return PRESETS[variant.preset] if variant.method == "tristage" else COLORS.get(variant.method, DARK)


def _interval(summary: Summary) -> NDArray[np.float64]:
    """Return what an error bar needs, [2, 1] %."""
    found = summary.success
    bar = np.array([[found.rate - found.low], [found.high - found.rate]])
    return 100 * np.maximum(bar, 0.0)
