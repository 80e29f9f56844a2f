"""Figures 5 to 8 of the paper: over an episode, over the settings, and over the image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import fmean, median

import numpy as np
from matplotlib.figure import Figure

from tristage_ros.bench.model.table import Table, ratio
from tristage_ros.pruning import PruningConfig
from tristage_ros.reports.style import BLACK, BLUE, GREEN, GREY, ORANGE, SKY
from tristage_ros.studies import masks
from tristage_ros.studies.cell import MODES, Cell, Mode
from tristage_ros.studies.compared import carried_over
from tristage_ros.studies.measurements import ROBOT, SEEDS, expert_observations
from tristage_ros.studies.parts.core import OURS
from tristage_ros.studies.parts.part import Chapter, Part, Row, against, percent, pruned, success
from tristage_ros.studies.protocol import COURSE, SENSITIVITY
from tristage_ros.studies.record import Record
from tristage_ros.studies.salience_trace import record_trace
from tristage_ros.studies.summary import Summary
from tristage_ros.studies.variant import Variant

# Fig. 5 and 6: pruning rates and time over an episode, the key interaction marked.

FIGURE_5_VARIANTS = (carried_over(None, "paper"), OURS)
GRASP = frozenset({"grasp", "close"})  # stages of the expert in which the fingers meet the object
FIGURE_5_NOTE = (
    "Mean over episodes that succeeded, step by step; shaded: steps in which most episodes were at the grasp. In "
    "the paper 3D is pruned less at the key interaction; the table says whether it is here. Milliseconds are as "
    "they ran, in parallel processes: they tell of the course of an episode alone."
)


class Figure5(Part):
    """Follow rates and milliseconds over the episode, by key frames and under continuous control."""

    name = "figure5"
    title = "Fig. 5 and 6: over an episode"
    number = COURSE
    first_task = True

    def rows(self) -> list[Row]:
        """Return tri-stage with and without a budget in both modes, kept step by step."""
        return [Row(variant, mode, course=True) for mode in MODES for variant in FIGURE_5_VARIANTS]

    def chapter(self) -> Chapter:
        """Return a table of rates at and away from the grasp, and a picture per row."""
        columns = ("mode", "method", "episodes", "2D / 3D at the grasp %", "2D / 3D elsewhere %", "ms")
        chapter = Chapter(self.title, FIGURE_5_NOTE, [Table(self.title, columns)])
        for row in self.rows():
            records = [record for record in self.episodes(row).values() if record.success]
            if not records:
                continue
            at, away = (self._rates(records, grasping) for grasping in (True, False))
            ms = median(ms for record in records for ms in record.course["ms"])
            chapter.tables[0].rows.append((row.mode, row.variant.label, str(len(records)), at, away, f"{ms:.0f}"))
            name = f"figure5-{row.mode.split()[0]}-{row.variant.preset}.png"
            chapter.pictures[name] = draw_course(records, f"{row.variant.label}, {row.mode}")
        return chapter

    def _rates(self, records: Sequence[Record], grasping: bool) -> str:
        shares = []
        for side in ("rate_2d", "rate_3d"):
            values = [
                rate
                for record in records
                for rate, stage, pruned in zip(
                    record.course[side], record.course["stage"], record.course["pruned"], strict=True
                )
                if pruned and (stage in GRASP) == grasping
            ]
            shares.append(percent(fmean(values)) if values else "-")
        return " / ".join(shares)


def draw_course(records: Sequence[Record], title: str) -> Figure:
    """Draw the mean of rates and milliseconds at every step that at least half of the episodes reached."""
    length = int(median(record.length for record in records))
    figure = Figure(figsize=(8, 4.2))
    above, below = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": (2, 1)})
    steps = range(1, length + 1)

    def mean(name: str) -> list[float]:
        return [fmean(r.course[name][k] for r in records if r.length > k) for k in range(length)]

    for k in range(length):
        stages = [record.course["stage"][k] for record in records if record.length > k]
        if sum(stage in GRASP for stage in stages) > len(stages) / 2:
            for ax in (above, below):
                ax.axvspan(k + 0.5, k + 1.5, color="#eeeeee", lw=0, zorder=0)
    for name, color, style, label in (
        ("rate_2d", ORANGE, "-", "2D"), ("rate_3d", BLUE, "-", "3D"), ("rate", BLACK, "-", "all"),
        ("fused_rate_2d", SKY, "--", "2D, stages alone"), ("fused_rate_3d", GREY, "--", "3D, stages alone"),
    ):  # fmt: skip
        above.plot(steps, [100 * value for value in mean(name)], style, color=color, label=label)
    above.set(title=title, ylabel="pruned, %", ylim=(-3, 103))
    above.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    below.plot(steps, mean("ms"), color=BLACK)
    below.set(xlabel="control step", ylabel="ms", ylim=(0, None))
    return figure


# Fig. 7: thresholds, momentum and window, one varied at a time.

TIMES = (0.5, 0.75, 1.0, 1.5)  # the paper's thresholds
BETAS = (0.5, 0.75, 0.85, 0.95)
WINDOWS = (2, 4, 7, 10)
FIGURE_7_NOTE = (
    "Robot preset, guarded, thresholds in units of the model; no budget, so that the thresholds decide how much is "
    "pruned. tau: 0.5 to 1.5 times the paper's. Speed: recompute, over unpruned. The paper varies around its own "
    "defaults and reports success within 3.3 points and more than 2.3x everywhere."
)


class Figure7(Part):
    """Vary tau_2d, tau_3d, beta and k around the paper's values, thresholds in units of the model."""

    name = "figure7"
    title = "Fig. 7: sensitivity"
    number = SENSITIVITY
    first_task = True

    def rows(self) -> list[Row]:
        """Return the unpruned row and every value of every setting."""
        return [self.row(), *(self.row(variant) for values in self.sweeps().values() for variant in values.values())]

    def measured(self) -> tuple[Counter[Mode], Counter[Mode]]:
        """Return the steps that are timed."""
        return self.timed(), Counter()

    def sweeps(self) -> dict[str, dict[float, Variant]]:
        """Return the variants by setting and value."""
        paper = PruningConfig()
        values: dict[str, tuple[float, ...]] = {
            "tau_2d": tuple(round(t * paper.tau_2d, 4) for t in TIMES),
            "tau_3d": tuple(round(t * paper.tau_3d, 4) for t in TIMES),
            "beta": BETAS,
            "window": WINDOWS,
        }
        return {name: {value: self.variant(name, value) for value in some} for name, some in values.items()}

    def variant(self, name: str, value: float) -> Variant:
        """Return the robot preset without a budget, one setting changed."""
        changed = value != getattr(PruningConfig.robot(), name)
        return Variant("tristage", None, True, "robot", ((name, value),) if changed else ())

    def chapter(self) -> Chapter:
        """Return a table and a panel per setting."""
        columns = ("setting", "value", "n", "success % [95 %]", "to unpruned [95 %]", "pruned 2D / 3D %", "recompute")
        chapter = Chapter(self.title, FIGURE_7_NOTE, [Table(self.title, columns)])
        found = {row.variant: summary for row, summary in self.found()}
        speeds = self.study.speeds(list(found))
        panels: dict[str, list[tuple[float, Summary, float]]] = {}
        for name, values in self.sweeps().items():
            for value, variant in values.items():
                if (summary := found.get(variant)) is None:
                    continue
                speed = speeds[variant.name].over_unpruned("recompute")
                cells = (str(summary.success.n), success(summary), against(summary), pruned(summary), ratio(speed))
                chapter.tables[0].rows.append((name, f"{value:g}", *cells))
                chapter.figures[variant.name] = summary.to_dict() | {"speed": speed}
                panels.setdefault(name, []).append((value, summary, speed))
        chapter.pictures["figure7.png"] = draw_sensitivity(panels)
        return chapter


def draw_sensitivity(panels: dict[str, list[tuple[float, Summary, float]]]) -> Figure:
    """Draw success with its interval, and speed, over the values of every setting."""
    figure = Figure(figsize=(11, 3.2))
    if not panels:
        return figure
    for ax, (name, points) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        x, y = [value for value, _, _ in points], [100 * s.success.rate for _, s, _ in points]
        low = [max(at - 100 * s.success.low, 0) for at, (_, s, _) in zip(y, points, strict=True)]
        high = [max(100 * s.success.high - at, 0) for at, (_, s, _) in zip(y, points, strict=True)]
        ax.errorbar(x, y, [low, high], fmt="o-", color=GREEN, ms=4, capsize=2)
        ax.set(title=name, ylim=(0, 103), ylabel="success, %" if name == next(iter(panels)) else "")
        right = ax.twinx()
        right.plot(x, [speed for _, _, speed in points], "s--", color=BLUE, ms=4)
        right.set(ylim=(1, None), ylabel="speedup, recompute" if name == list(panels)[-1] else "")
        right.grid(False)
    return figure


# Fig. 8: which tokens every combination of stages keeps, step by step.

FIGURE_8_NOTE = (
    "One episode of the expert, seen by the trained model; thresholds carried over, no budget. Light blue: 2D token "
    "only, green: both, orange: 3D tokens only, grey: pruned. The table counts tokens after the first step."
)


class Figure8(Part):
    """Draw the masks of an episode."""

    name = "figure8"
    title = "Fig. 8: what is kept"
    number = 0

    def rows(self) -> list[Row]:
        """Return none: no episode is counted."""
        return []

    def measured(self) -> tuple[Counter[Mode], Counter[Mode]]:
        """Return the one episode that is drawn."""
        return Counter(), Counter({self.mode: 1})

    def chapter(self) -> Chapter:
        """Return a strip of pictures per combination of stages."""
        attempts = self.study.attempts()
        episode = attempts.episode(Cell(self.tasks[0]), SEEDS[-1] + 1)
        instruction, observations = episode.task.instruction, list(expert_observations(episode))
        trace = record_trace(attempts.policy(ROBOT.pruner(0), 0), instruction, observations)
        config = Variant("tristage", None, False, "robot").config(0)
        by_variant = masks.variants(config, trace, observations)
        shown = np.unique(np.linspace(1, len(trace) - 1, 6).round().astype(int)).tolist()
        picture = masks.figure(by_variant, trace, observations, shown)
        return Chapter(self.title, f"{FIGURE_8_NOTE}\n\n{masks.table(by_variant)}", pictures={"figure8.png": picture})
