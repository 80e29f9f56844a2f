"""Continuous control: the same methods and stages, five control steps a second."""

from __future__ import annotations

from tristage_ros.bench.model.variants import LABELS
from tristage_ros.simulation.closed_loop import LATENCY, LONGEST, PACE, PERIOD
from tristage_ros.studies.parts.matrix import Matrix
from tristage_ros.studies.parts.part import Chapter, Row
from tristage_ros.studies.parts.table2 import MAIN_RATE, free, matters
from tristage_ros.studies.parts.table3 import Table3

FEWER = 20  # episodes of a row that matters less
NOTE = (
    f"A control step every {PERIOD} s of simulated time, whose chunk of {PACE.actions} actions, {PACE.time_step} s "
    f"apart, takes over {LATENCY} s after its observation; at most {LONGEST:.0f} s. The chunk leads towards the "
    f"key frame that the policy says, at {PACE.speed} m/s, so every observation on the way is one between key frames."
)


class Continuous2(Matrix):
    """Compare all methods under continuous control, at one rate."""

    name = "continuous2"
    title = "Table 2 under continuous control"
    number = 50
    mode = "continuous"

    @property
    def tasks(self) -> tuple[str, ...]:
        """Return the first task."""
        return self.study.scope.tasks[:1]

    def rows(self) -> list[Row]:
        """Return all methods and tri-stage without a budget."""
        budgeted = self.variants(tuple(LABELS), (MAIN_RATE,))
        return [self.row(variant) for variant in [*budgeted, *free(self.study.thresholds(self.mode).settings)]]

    def count(self, row: Row) -> int:
        """Return the number of episodes."""
        return self.number if matters(row.variant) else FEWER

    def chapter(self) -> Chapter:
        """Return the tables and how the episodes ran."""
        chapter = super().chapter()
        chapter.note = NOTE
        return chapter


class Continuous3(Table3):
    """Switch stages on under continuous control."""

    name = "continuous3"
    title = "Table 3 under continuous control"
    number = FEWER
    mode = "continuous"
