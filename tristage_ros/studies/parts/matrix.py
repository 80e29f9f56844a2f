"""Methods side by side: success, what was really pruned and how long that takes, as tables and as a picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import ClassVar

from tristage_ros.bench.model.table import Table, ratio
from tristage_ros.mla.engines import EngineName
from tristage_ros.pruning.baselines import LABELS
from tristage_ros.reports.statistics import Change
from tristage_ros.studies.cell import Mode
from tristage_ros.studies.compared import (
    IN_PASS,
    after_layer_1,
    attention_alone,
    carried_over,
    compute_matched,
    literal,
)
from tristage_ros.studies.measurements import EPISODES, Speed
from tristage_ros.studies.parts.frontier import Point, frontier
from tristage_ros.studies.parts.part import Chapter, Part, Row, against, p_value, percent, pruned, shares, success
from tristage_ros.studies.protocol import RATE
from tristage_ros.studies.record import Record
from tristage_ros.studies.summary import Summary
from tristage_ros.studies.variant import UNPRUNED, Variant
from tristage_ros.studies.yardsticks import YARDSTICKS, changes

Found = Sequence[tuple[Row, Summary]]

SUCCESS = ("method", "r %", "n", "success % [95 %]", "to unpruned [95 %]", "p", "steps", "looks")
SUCCESS_NOTE = (
    "Success with its Wilson interval; the difference to unpruned is that of the same episodes, with Newcombe's "
    "interval and McNemar's exact test. Steps: of a successful episode. Looks: control steps before the first, with "
    "the arm at rest, that a method needs before it can prune; no action of theirs is carried out. Behind a +: those "
    "of a control step, on arrival or, five a second, on the way there. Guarded rows have "
    "the guard, age limit and refresh of the robot preset. As published, FastV, DART and VLA-Pruner run the decoder's "
    "first 2, 2 and 3 layers on all tokens, which is the beginning of one of 32 layers and most of one of 4. After "
    "layer 1 they decide as early as they can, in the first denoising pass of a step; the later passes have the kept "
    "tokens alone, as many as the others keep. Compute-matched, layer 1 sees all tokens in every pass, and so much "
    "less is kept behind it that the mean over the layers is that of the others."
)
ENGINES: tuple[EngineName, ...] = ("recompute", "cached")  # in the order of the columns
COST = (
    "method", "r %", "pruned %", "2D / 3D %", "left 2D / both / 3D %", "stage 1 leaves",
    *(f"{engine}{unit}" for engine in ENGINES for unit in (" ms", " x")),
)  # fmt: skip
COST_NOTE = (
    "Pruned: share of the visual tokens, mean over all control steps that were carried out, refreshed ones included. "
    "Left: of the patches with 3D tokens, those that keep the image token alone, both, 3D tokens alone; the rest "
    "is dropped. Stage 1 leaves: the same after stage 1 alone. Milliseconds of a control step as pruned as that: "
    "medians on the same observations, one thread, all rows in turn, pruned and unpruned steps in their shares; "
    "x: over the unpruned step of the same engine. Recompute is the released loop, cached computes the "
    "prefix once."
)
BESIDE_NOTE = (
    "Mean over the episodes that the row and the unpruned policy both solved, with the mean difference to unpruned on "
    "them and its 95 % interval. Time: simulated, to success. Way: of the tool. Looks take no time here, as the arm "
    "does not wait for any step."
)


class Matrix(Part):
    """Compare all methods at all rates."""

    name = "matrix"
    title = "Methods and rates"
    number = RATE
    takes: ClassVar[tuple[str, ...]] = ("methods", "rates")
    rates: ClassVar[tuple[float, ...]] = (0.5, 0.6, 0.7, 0.8)  # unless the command says otherwise
    goals: ClassVar[bool] = False  # whether goals are compared with the unpruned policy's

    def rows(self) -> list[Row]:
        """Return the unpruned row and, rate by rate, the methods."""
        scope = self.study.scope
        return [self.row(v) for v in self.variants(scope.methods or tuple(LABELS), scope.rates or self.rates)]

    def measured(self) -> tuple[Counter[Mode], Counter[Mode]]:
        """Return the steps that are timed, and the episodes over which goals are compared, once per row."""
        return self.timed(), Counter({self.mode: EPISODES * len(self.rows())} if self.goals else {})

    def variants(self, methods: Sequence[str], rates: Sequence[float]) -> list[Variant]:
        """Return every way to run the methods at the rates, the unpruned one first."""
        layers = self.study.attempts(self.mode).model.config.layers
        ways = (variants(method, rate, layers) for rate in rates for method in methods)
        return list(dict.fromkeys([UNPRUNED, *chain.from_iterable(ways)]))

    def chapter(self) -> Chapter:
        """Return success, cost and what success leaves out of all rows, and success over tokens and time."""
        found = self.found()
        chapter = Chapter(self.title)
        if not found:
            return chapter
        speeds = self.study.speeds(self.together(self.mode), self.mode)
        tables = [self.by_task(found), self.successes(found), self.costs(found, speeds), self.beside(found)]
        tables += [self.moved(found)] if self.goals else []
        chapter.tables = [table for table in tables if table.rows]
        picture = frontier([point(row, summary, speeds[row.variant.name]) for row, summary in found])
        chapter.pictures[f"{self.name}.png"] = picture
        for row, summary in found:
            name = row.variant.name
            chapter.figures[name] = summary.to_dict() | {"speed": vars(speeds[name])}
        return chapter

    def by_task(self, found: Found) -> Table:
        """Return success at every task; no rows where there is one task alone."""
        table = Table("Success by task, %", ("method", "r %", *self.tasks, "mean"))
        for row, summary in found if len(self.tasks) > 1 else []:
            tasks = [percent(summary.by_task[t].rate) if t in summary.by_task else "" for t in self.tasks]
            table.rows.append((*head(row), *tasks, percent(summary.success.rate)))
        return table

    def successes(self, found: Found) -> Table:
        """Return success and how it differs from that of the unpruned policy, and of ours at the same rate."""
        ours = {row.variant.rate: row for row, _ in found if row.variant == carried_over(row.variant.rate)}
        note = f"{SUCCESS_NOTE} Ours: tri-stage carried over, robot preset, at the same rate; below 0 it is ahead."
        table = Table("Success", (*SUCCESS, *(["to ours"] if ours else [])), note=note if ours else SUCCESS_NOTE)
        for row, summary in found:
            steps = f"{summary.key_frames:.1f}" if summary.success.successes else "-"
            looks = looked(list(self.episodes(row).values()))
            cells = (str(summary.success.n), success(summary), against(summary), p_value(summary), steps, looks)
            best = ours.get(row.variant.rate, row)
            contest = [self.contest(row, best) if best != row else ""] if ours else []
            table.rows.append((*head(row), *cells, *contest))
        return table

    def costs(self, found: Found, speeds: dict[str, Speed]) -> Table:
        """Return what was pruned and how long a step takes."""
        table = Table("Pruned, and time", COST, note=COST_NOTE)
        for row, summary in found:
            speed, share = speeds[row.variant.name], summary.rates["pruned"]
            times = [(speed.as_pruned(engine, share), speed.unpruned_ms[engine]) for engine in ENGINES]
            fast = [text for ms, whole in times for text in (f"{ms:.0f}", ratio(whole / ms))]
            stage_1 = shares(summary, "stage1") if row.variant.method in ("tristage", "split") else ""
            all_ = f"{100 * summary.rates['rate']:.1f}"
            table.rows.append((*head(row), all_, pruned(summary), shares(summary, "kept"), stage_1, *fast))
        return table

    def beside(self, found: Found) -> Table:
        """Return time and way, under continuous control also smoothness, where an episode was solved by both."""
        rows: list[tuple[Row, dict[str, Change]]] = []
        for row, _ in found:
            rows.append((row, changes(self.episodes(row), self.episodes(self.row()))))
        names = [name for name in YARDSTICKS if any(name in known for _, known in rows)]
        table = Table("Beside success", ("method", "r %", "n", *names), note=BESIDE_NOTE)
        for row, known in rows:
            if known:
                n = max(change.n for change in known.values())
                values = [known[name].in_words(row.variant != UNPRUNED) if name in known else "" for name in names]
                table.rows.append((*head(row), str(n), *values))
        return table

    def moved(self, found: Found) -> Table:
        """Return how far goals are from the unpruned policy's."""
        moved, own = self.study.deviations([row.variant for row, _ in found], self.mode)
        note = (
            "On the same observations of the first task, from the same noise: median and 90 % quantile over "
            f"{len(own.distances)} control steps; the unpruned policy's own goal is {own} mm from the expert's."
        )
        table = Table("How far the goal is from the unpruned policy's", ("method", "r %", "mm"), note=note)
        for row, _ in found:
            if row.variant != UNPRUNED:
                table.rows.append((*head(row), str(moved[row.variant.name])))
        return table


def variants(method: str, rate: float, layers: int) -> list[Variant]:
    """Return the ways to run a method at a rate in a decoder of so many layers.

    They are as published and guarded; of those that decide inside the pass also as early as they can, with as many
    tokens as the others keep and with as much compute; of tri-stage the presets, literal and carried over.
    """
    if method == "none":
        return [UNPRUNED]
    if method == "tristage":
        return [literal(rate), carried_over(rate, "paper"), literal(rate, "robot"), carried_over(rate)]
    if method == "attention":
        return [attention_alone(rate)]
    early = [after_layer_1(method, rate), compute_matched(method, rate, layers)] if method in IN_PASS else []
    return [*(Variant(method, rate, guard) for guard in (False, True)), *filter(None, early)]


def looked(records: Sequence[Record]) -> str:
    """Return how often a row's episodes looked before their first control step, and on average at every later one."""
    later, steps = sum(record.looked for record in records), sum(record.length for record in records)
    return str(max(record.looks for record in records)) + (f" + {later / steps:.1f}" if later else "")


def head(row: Row) -> tuple[str, str]:
    """Return a row's method and rate for print."""
    return row.variant.label, "" if row.variant.rate is None else percent(row.variant.rate)


def point(row: Row, summary: Summary, speed: Speed) -> Point:
    """Return where a row is in the picture."""
    ms = speed.as_pruned("recompute", summary.rates["pruned"])
    return Point(row.variant, summary.success, summary.rates["rate"], ms)
