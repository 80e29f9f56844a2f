"""Table 4: what the method costs, stage by stage."""

from __future__ import annotations

from tristage_ros.bench.model.overhead import measure_overhead, overhead_table
from tristage_ros.bench.model.timing import one_thread
from tristage_ros.bench.model.workloads import Workload
from tristage_ros.studies.cell import Cell
from tristage_ros.studies.expert import expert_observations
from tristage_ros.studies.parts.part import Chapter, Part, Row
from tristage_ros.studies.thresholds import SEEDS


class Table4(Part):
    """Measure the method's own cost on the trained model, in steps of one episode."""

    name = "table4"
    title = "Table 4: cost of the stages"
    number = 0

    def rows(self) -> list[Row]:
        """Return none: no episode is counted."""
        return []

    def chapter(self) -> Chapter:
        """Return the table of the benchmark."""
        attempts = self.study.attempts()
        observations = tuple(expert_observations(attempts.episode(Cell(self.tasks[0]), SEEDS[0])))
        with one_thread():
            parts = measure_overhead(Workload("checkpoint", attempts.model, observations), self.study.rounds)
        return Chapter(self.title, tables=[overhead_table(parts)], figures=dict(parts))
