"""Table 1: one modality pruned by lot."""

from __future__ import annotations

from tristage_ros.bench.model.table import Table
from tristage_ros.studies import paper
from tristage_ros.studies.parts.part import Chapter, Part, Row, against, percent, success
from tristage_ros.studies.summary import over_steps, summarise
from tristage_ros.studies.variant import OBSERVED, OBSERVED_LOGITS, UNPRUNED, Variant

COLUMNS = (
    "task", "r %", "unpruned %", "2D pruned %", "3D pruned %", "M_2d, logits", "M_2d, pre-norm",
    "paper: unpruned / 2D / 3D / M_2d",
)  # fmt: skip
NOTE = (
    "Success with its Wilson interval, in round brackets the difference to unpruned on the same episodes. M_2d of "
    "stage 1: mean over patches and steps of unpruned episodes, M_3d is the rest; patches without 3D tokens count "
    "as 1. The paper's M_2d is that of its pruned case studies; of its third study (70 %) no figures could be read."
)


class Table1(Part):
    """Prune one modality alone: which of them does the model need?"""

    name = "table1"
    title = "Table 1: one modality pruned by lot"
    number = 20
    rates = (0.5, 0.6, 0.7)

    def rows(self) -> list[Row]:
        """Return unpruned, observed in both ways, and either modality at every rate."""
        one = [Row(Variant("random", rate, modality=side)) for rate in self.rates for side in ("2D", "3D")]
        return [Row(), Row(OBSERVED), Row(OBSERVED_LOGITS), *one]

    def chapter(self) -> Chapter:
        """Return a line per task and rate."""
        table = Table(self.title, COLUMNS, note=NOTE)
        for task in self.tasks:
            m_2d = [self._m_2d(task, variant) for variant in (OBSERVED_LOGITS, OBSERVED)]
            for rate in self.rates:
                sides = [self._success(task, Variant("random", rate, modality=side)) for side in ("2D", "3D")]
                line = (task, percent(rate), self._success(task, UNPRUNED), *sides, *m_2d)
                table.rows.append((*line, _paper(task, rate)))
        rows = [dict(zip(COLUMNS, row, strict=True)) for row in table.rows]
        return Chapter(self.title, tables=[table], figures={"rows": rows})

    def _success(self, task: str, variant: Variant) -> str:
        unpruned = self.study.episodes([task], self.number)
        summary = summarise(self.study.episodes([task], self.number, variant), unpruned)
        if summary is None:
            return ""
        return success(summary) + ("" if variant == UNPRUNED else f" ({against(summary)})")

    def _m_2d(self, task: str, variant: Variant) -> str:
        records = self.study.episodes([task], self.number, variant).values()
        return f"{over_steps(records, 'salience_2d_stage1'):.3f}" if records else ""


def _paper(task: str, rate: float) -> str:
    unpruned, by_rate = paper.TABLE_1.get(task, (0.0, {}))
    return " / ".join(f"{value:.1f}" for value in (unpruned, *by_rate[rate])) if rate in by_rate else ""
