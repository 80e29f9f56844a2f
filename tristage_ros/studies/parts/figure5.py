"""Fig. 5 and 6: pruning rates and time over an episode, the key interaction marked."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, median

from matplotlib.figure import Figure

from tristage_ros.bench.model.table import Table
from tristage_ros.reports.figures import BLACK, BLUE, GREY, ORANGE, SKY
from tristage_ros.studies.cell import MODES
from tristage_ros.studies.parts.part import Chapter, Part, Row, percent
from tristage_ros.studies.record import Record
from tristage_ros.studies.variant import UNPRUNED, Variant

VARIANTS = (Variant("tristage", None, True, "paper"), Variant("tristage", 0.7, True, "robot"))
GRASP = frozenset({"grasp", "close"})  # stages of the expert in which the fingers meet the object
NOTE = (
    "Mean over episodes that succeeded, step by step; shaded: steps in which most episodes were at the grasp. In "
    "the paper 3D is pruned less at the key interaction; the table says whether it is here. Milliseconds are as "
    "they ran, in parallel processes: they tell of the course of an episode alone."
)


class Figure5(Part):
    """Follow rates and milliseconds over the episode, by key frames and under continuous control."""

    name = "figure5"
    title = "Fig. 5 and 6: over an episode"
    number = 20

    @property
    def tasks(self) -> tuple[str, ...]:
        """Return the first task."""
        return self.study.scope.tasks[:1]

    def rows(self) -> list[Row]:
        """Return tri-stage with and without a budget, and unpruned, in both modes."""
        return [Row(variant, mode) for mode in MODES for variant in (UNPRUNED, *VARIANTS)]

    def chapter(self) -> Chapter:
        """Return a table of rates at and away from the grasp, and a picture per row."""
        columns = ("mode", "method", "episodes", "2D / 3D at the grasp %", "2D / 3D elsewhere %", "ms")
        chapter = Chapter(self.title, NOTE, [Table(self.title, columns)])
        for row in self.rows():
            records = [record for record in self.episodes(row).values() if record.success]
            if not records or row.variant == UNPRUNED:
                continue
            at, away = (self._rates(records, grasping) for grasping in (True, False))
            ms = median(ms for record in records for ms in record.steps["ms"])
            chapter.tables[0].rows.append((row.mode, row.variant.label, str(len(records)), at, away, f"{ms:.0f}"))
            name = f"figure5-{row.mode.split()[0]}-{row.variant.preset}.png"
            chapter.pictures[name] = draw(records, f"{row.variant.label}, {row.mode}")
        return chapter

    def _rates(self, records: Sequence[Record], grasping: bool) -> str:
        shares = []
        for side in ("rate_2d", "rate_3d"):
            values = [
                rate
                for record in records
                for rate, stage, pruned in zip(
                    record.steps[side], record.steps["stage"], record.steps["pruned"], strict=True
                )
                if pruned and (stage in GRASP) == grasping
            ]
            shares.append(percent(fmean(values)) if values else "-")
        return " / ".join(shares)


def draw(records: Sequence[Record], title: str) -> Figure:
    """Draw the mean of rates and milliseconds at every step that at least half of the episodes reached."""
    length = int(median(record.length for record in records))
    figure = Figure(figsize=(8, 4.2))
    above, below = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": (2, 1)})
    steps = range(1, length + 1)

    def mean(name: str) -> list[float]:
        return [fmean(r.steps[name][k] for r in records if r.length > k) for k in range(length)]

    for k in range(length):
        stages = [record.steps["stage"][k] for record in records if record.length > k]
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
