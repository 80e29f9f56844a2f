"""Table 2: methods and rates."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from tristage_ros.bench.model.table import Table, ratio
from tristage_ros.bench.model.variants import LABELS
from tristage_ros.studies import paper
from tristage_ros.studies.parts.matrix import Matrix
from tristage_ros.studies.parts.part import Chapter, Row, percent
from tristage_ros.studies.variant import UNPRUNED, Variant

RATES, MAIN_RATE = (0.5, 0.6, 0.7, 0.8), 0.7
FEWER = 50  # episodes of a row of those that matter less, shared among the tasks


class Table2(Matrix):
    """Compare all methods: 100 episodes of every task where it matters, which is at one rate, guard against guard."""

    name = "table2"
    title = "Table 2: methods and rates"
    number = 100

    def rows(self) -> list[Row]:
        """Return the rows of all methods, and those of tri-stage whose stages decide without a budget."""
        return [self.row(variant) for variant in self.variants(tuple(LABELS), RATES)]

    def variants(self, methods: Sequence[str], rates: Sequence[float]) -> list[Variant]:
        """Return the variants, the free ones last."""
        return [*super().variants(methods, rates), *free(self.study.thresholds(self.mode).settings)]

    def count(self, row: Row) -> int:
        """Return the number of episodes."""
        return self.number if matters(row.variant) else ceil(FEWER / len(self.tasks))

    def chapter(self) -> Chapter:
        """Return our tables and the paper's."""
        chapter = super().chapter()
        chapter.tables.append(paper_table())
        return chapter


def matters(variant: Variant) -> bool:
    """Tell whether a row has all episodes: those at the main rate, guard against guard and the paper's own setting."""
    if variant.method == "tristage":
        chosen = variant.preset == ("robot" if variant.guard else "paper")
    else:
        chosen = variant.guard and (variant.layer is None or variant.over_layers)
    return variant == UNPRUNED or (chosen and variant.rate == MAIN_RATE)


def free(calibrated: tuple[tuple[str, float], ...]) -> list[Variant]:
    """Return tri-stage without a budget."""
    paper_preset = [Variant("tristage", None, guard, "paper") for guard in (False, True)]
    return [*paper_preset, Variant("tristage", None, True, "calibrated", calibrated)]


def paper_table() -> Table:
    """Return the paper's own figures."""
    title = "The paper's Table 2: mean of box, laptop, fridge and umbrella"
    table = Table(title, ("method", "r %", "success %", "speedup", "pruned 2D / 3D %"))
    for method, by_rate in paper.TABLE_2.items():
        for rate, (succeeded, speedup, pruned_2d, pruned_3d) in by_rate.items():
            cells = (f"{succeeded:.1f}", ratio(speedup), f"{pruned_2d:.0f} / {pruned_3d:.0f}")
            table.rows.append((LABELS[method], percent(rate) if rate else "", *cells))
    return table
