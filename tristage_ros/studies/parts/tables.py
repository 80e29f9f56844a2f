"""Tables 1 and 4 of the paper: which modality the model needs, and what the method itself costs."""

from __future__ import annotations

from collections import Counter

from tristage_ros.bench.model.stages import OVERHEAD_STEPS, measure_overhead, overhead_table
from tristage_ros.bench.model.table import Table
from tristage_ros.bench.model.timing import one_thread
from tristage_ros.bench.model.workloads import Workload
from tristage_ros.studies.cell import Cell, Mode
from tristage_ros.studies.measurements import SEEDS, expert_observations
from tristage_ros.studies.parts.paper import TABLE_1
from tristage_ros.studies.parts.part import Chapter, Part, Row, against, percent, success
from tristage_ros.studies.protocol import MODALITY
from tristage_ros.studies.summary import Episodes, over_steps, summarise
from tristage_ros.studies.variant import OBSERVED, OBSERVED_LOGITS, UNPRUNED, Variant

# Table 1: one modality pruned by lot.

TABLE_1_COLUMNS = (
    "task", "r %", "unpruned %", "2D pruned %", "3D pruned %", "M_2d, logits", "M_2d, pre-norm",
    "paper: unpruned / 2D / 3D / M_2d",
)  # fmt: skip
TABLE_1_NOTE = (
    "Success with its Wilson interval, in round brackets the difference to unpruned on the same episodes. M_2d of "
    "stage 1: mean over patches and steps of unpruned episodes, M_3d is the rest; patches without 3D tokens count "
    "as 1. The paper's M_2d is that of its pruned case studies; of its third study (70 %) no figures could be read."
)


class Table1(Part):
    """Prune one modality alone: which of them does the model need?"""

    name = "table1"
    title = "Table 1: one modality pruned by lot"
    number = MODALITY
    takes = ("rates",)

    @property
    def rates(self) -> tuple[float, ...]:
        """Return the shares of a modality that are pruned."""
        return self.study.scope.rates or (0.5, 0.6, 0.7)

    def rows(self) -> list[Row]:
        """Return unpruned, observed in both ways, and either modality at every rate."""
        one = [Row(Variant("random", rate, modality=side)) for rate in self.rates for side in ("2D", "3D")]
        return [Row(), Row(OBSERVED), Row(OBSERVED_LOGITS), *one]

    def chapter(self) -> Chapter:
        """Return a line per task and rate."""
        table = Table(self.title, TABLE_1_COLUMNS, note=TABLE_1_NOTE)
        for task in self.tasks:
            m_2d = [self._m_2d(task, variant) for variant in (OBSERVED_LOGITS, OBSERVED)]
            for rate in self.rates:
                sides = [self._success(task, Variant("random", rate, modality=side)) for side in ("2D", "3D")]
                line = (task, percent(rate), self._success(task, UNPRUNED), *sides, *m_2d)
                table.rows.append((*line, _paper(task, rate)))
        rows = [dict(zip(TABLE_1_COLUMNS, row, strict=True)) for row in table.rows]
        return Chapter(self.title, tables=[table], figures={"rows": rows})

    def _success(self, task: str, variant: Variant) -> str:
        summary = summarise(self._at(task, variant), self._at(task, UNPRUNED))
        if summary is None:
            return ""
        return success(summary) + ("" if variant == UNPRUNED else f" ({against(summary)})")

    def _m_2d(self, task: str, variant: Variant) -> str:
        records = self._at(task, variant).values()
        return f"{over_steps(records, 'salience_2d_stage1'):.3f}" if records else ""

    def _at(self, task: str, variant: Variant) -> Episodes:
        row = self.row(variant)
        return self.study.finished(row.cells([task]), self.seeds(row))


def _paper(task: str, rate: float) -> str:
    unpruned, by_rate = TABLE_1.get(task, (0.0, {}))
    return " / ".join(f"{value:.1f}" for value in (unpruned, *by_rate[rate])) if rate in by_rate else ""


# Table 4: what the method costs, stage by stage.


class Table4(Part):
    """Measure the method's own cost on the trained model, in steps of one episode."""

    name = "table4"
    title = "Table 4: cost of the stages"
    number = 0

    def rows(self) -> list[Row]:
        """Return none: no episode is counted."""
        return []

    def measured(self) -> tuple[Counter[Mode], Counter[Mode]]:
        """Return the steps that are timed, and the episode that they are of."""
        return Counter({self.mode: OVERHEAD_STEPS * self.study.rounds.total}), Counter({self.mode: 1})

    def chapter(self) -> Chapter:
        """Return the table of the benchmark."""
        attempts, rounds = self.study.attempts(), self.study.rounds
        observations = tuple(expert_observations(attempts.episode(Cell(self.tasks[0]), SEEDS[0])))
        total = OVERHEAD_STEPS * rounds.total
        with one_thread(), self.study.progress.stage("control steps timed", total) as advance:
            workload = Workload("checkpoint", attempts.model, observations)
            parts = measure_overhead(workload, rounds, lambda name: advance(""))
        return Chapter(self.title, tables=[overhead_table(parts)], figures=dict(parts))
