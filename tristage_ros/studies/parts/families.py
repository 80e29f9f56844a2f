"""One configuration, unchanged, at every family of scenes: those that an image answers and those that need points.

Nothing is chosen family by family. If the share of 2D tokens that is worth keeping depends on the scene, then a fixed
split that serves one family has to lose in another one; which is to lose where was written down before the episodes
ran.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

from tristage_ros.bench.model.table import Table
from tristage_ros.reports.statistics import holm, proportion
from tristage_ros.studies.parts.core import MAIN_RATE, OURS, Table2, Table3
from tristage_ros.studies.parts.part import Chapter, Part, Row, percent, points
from tristage_ros.studies.protocol import ELSEWHERE, FAMILIES, MARGIN, METHOD, Family
from tristage_ros.studies.summary import Episodes, compare
from tristage_ros.studies.variant import UNPRUNED, Variant

ROWS = Table2.numbers | Table3.numbers
TO_LOSE = {"trained": "1:3", "button": "3:1", "higher": "3:1", "stack": "3:1", "elsewhere": "3:1"}  # split, by family
NOTE = (
    "Success, %; behind it the difference to unpruned on the same episodes. * where it is none by chance: McNemar's "
    "exact test, adjusted after Holm over all differences of this table, below 0.05. The split that was to lose, said "
    "beforehand: {splits}."
)
VERDICTS = (
    "Carried over at r = {rate:.0f} % against unpruned, paired, with Newcombe's 95 % interval: non-inferior where the "
    "lower end is above -{margin:g} points."
)


class ByFamily(Part):
    """Hold rows that are of several families of scenes."""

    @property
    def families(self) -> dict[Family, tuple[str, ...]]:
        """Return the tasks of every family that the command asks for."""
        chosen = self.study.scope.tasks
        found = {family: tuple(t for t in family.tasks if chosen is None or t in chosen) for family in FAMILIES}
        return {family: tasks for family, tasks in found.items() if tasks}

    @property
    def tasks(self) -> tuple[str, ...]:
        """Return the tasks of all families."""
        return tuple(dict.fromkeys(task for tasks in self.families.values() for task in tasks))

    def of(self, family: Family, variant: Variant = UNPRUNED, condition: str = "") -> Row:
        """Return a variant's row of a family, under the family's own condition unless another one is named."""
        return Row(variant, condition=condition or family.condition, tasks=self.families[family])

    def numbers(self, row: Row) -> int:
        """Return how many episodes a row has in all."""
        return self.number

    def count(self, row: Row) -> int:
        """Return how many episodes every task of a row has by custom."""
        return ceil(self.numbers(row) / len(row.tasks))


class Families(ByFamily):
    """Compare all rows of the core in every family."""

    name = "families"
    title = "One configuration at every family of scenes"
    number = METHOD

    def numbers(self, row: Row) -> int:
        """Return how many episodes a row has in all."""
        return ROWS[row.variant]

    def rows(self) -> list[Row]:
        """Return every row of the core for every family."""
        return [self.of(family, variant) for family in self.families for variant in ROWS]

    def chapter(self) -> Chapter:
        """Return success by family, what is non-inferior, and whether a fixed split serves all."""
        found = {(row, family): self.episodes(row) for family in self.families for row in self._of(family)}
        differing = {key: compare(mine, found[self.of(key[1]), key[1]]) for key, mine in found.items() if mine}
        values = {key: d.p_value for key, d in differing.items() if d is not None and key[0].variant != UNPRUNED}
        adjusted = dict(zip(values, holm(list(values.values())), strict=True))
        splits = ", ".join(f"{TO_LOSE[family.name]} at {family.label}" for family in self.families)
        columns = ("method", "r %", *(family.label for family in self.families))
        table = Table(self.title, columns, note=NOTE.format(splits=splits))
        figures: dict[str, Mapping[str, float]] = {}
        for variant in ROWS:
            cells = []
            for family in self.families:
                key = self.of(family, variant), family
                mine, paired = found[key], differing.get(key)
                if not mine:
                    cells.append("")
                    continue
                rate = proportion([record.success for record in mine.values()]).rate
                told = "" if paired is None or variant == UNPRUNED else f" ({points(paired.difference)}"
                told += told and ("*)" if adjusted[key] < 0.05 else ")")
                cells.append(f"{percent(rate)}{told}")
                figures[f"{family.name}, {variant.name}"] = {"n": len(mine), "success": rate} | (
                    {} if key not in adjusted else {"p": values[key], "p_holm": adjusted[key]}
                )
            if any(cells):
                r = "" if variant.rate is None else percent(variant.rate)
                table.rows.append((variant.label, r, *cells))
        verdicts = self._verdicts(found)
        tables = [one for one in (table, verdicts) if one.rows]
        return Chapter(self.title, tables=tables, figures={"rows": figures})

    def _of(self, family: Family) -> list[Row]:
        return [self.of(family, variant) for variant in ROWS]

    def _verdicts(self, found: Mapping[tuple[Row, Family], Episodes]) -> Table:
        note = VERDICTS.format(rate=100 * MAIN_RATE, margin=100 * MARGIN)
        table = Table(
            "Non-inferior to unpruned?", ("family", "tasks", "n", "difference [95 %]", "non-inferior"), note=note
        )
        for family, tasks in self.families.items():
            paired = compare(found[self.of(family, OURS), family], found[self.of(family), family])
            if paired is not None:
                span = f"{points(paired.difference)} [{points(paired.low)}, {points(paired.high)}]"
                told = "yes" if paired.low > -MARGIN else "not shown"
                where = ", ".join(tasks) + (" (calibrated there)" if family == ELSEWHERE else "")
                table.rows.append((family.label, where, str(paired.n), span, told))
        return table
