"""The core: tri-stage pruning against what prunes as much, and what its first stage is worth.

Both tables share their rows, families of scenes may be given other tables (`family`), and all numbers of episodes are
those of the protocol.
"""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

from tristage_ros.studies.cell import Mode
from tristage_ros.studies.compared import (
    SPLITS,
    after_layer_1,
    attention_alone,
    carried_over,
    fixed_split,
    literal,
    lot_of_3d,
    one_modality,
    without_stage_1,
)
from tristage_ros.studies.parts.matrix import Matrix
from tristage_ros.studies.parts.paper import paper_table_2, paper_table_3
from tristage_ros.studies.parts.part import Chapter, Row, points
from tristage_ros.studies.protocol import CONTROL, MAIN, MARGIN, METHOD
from tristage_ros.studies.record import Record
from tristage_ros.studies.summary import Episodes, compare
from tristage_ros.studies.variant import UNPRUNED, Variant

MAIN_RATE, HIGH_RATE = 0.7, 0.8
OURS, STAGE_1_OFF = carried_over(MAIN_RATE), without_stage_1(MAIN_RATE)


class Core(Matrix):
    """Compare chosen rows, each with its number of episodes."""

    number = METHOD  # of rows that the command asks for beside them
    numbers: ClassVar[dict[Variant, int]]

    def rows(self) -> list[Row]:
        """Return the rows, or those that the command asks for."""
        scope = self.study.scope
        if scope.methods is None and scope.rates is None:
            return [self.row(variant) for variant in self.numbers]
        return super().rows()

    def count(self, row: Row) -> int:
        """Return the number of episodes of a task."""
        return self.share(self.numbers.get(row.variant, self.number))

    def together(self, mode: Mode) -> list[Variant]:
        """Return the rows of both tables, where the command asks for no others."""
        mine = super().together(mode)
        core = {**Table2.numbers, **Table3.numbers}
        return list(core) if core.keys() >= set(mine) else mine

    def measured(self) -> tuple[Counter[Mode], Counter[Mode]]:
        """Return the steps that are timed."""
        return self.timed(), Counter()


class Table2(Core):
    """Compare all methods at one rate, ours at a higher one too."""

    name = "table2"
    title = "Table 2: methods and rates"
    rates = (MAIN_RATE,)
    numbers: ClassVar[dict[Variant, int]] = {
        UNPRUNED: MAIN,
        OURS: MAIN,
        carried_over(HIGH_RATE): MAIN,
        STAGE_1_OFF: METHOD,
        carried_over(MAIN_RATE, "paper"): METHOD,
        carried_over(None, "paper"): METHOD,
        literal(MAIN_RATE): METHOD,
        attention_alone(MAIN_RATE): METHOD,
        after_layer_1("vla_pruner", MAIN_RATE): METHOD,
        after_layer_1("dart", MAIN_RATE): METHOD,
        Variant("sp_vla", MAIN_RATE, True): METHOD,
    }

    def chapter(self) -> Chapter:
        """Return our tables and the paper's, and whether ours is no worse than nothing pruned."""
        chapter = super().chapter()
        chapter.note = no_worse(self.episodes(self.row(OURS)), self.episodes(self.row()))
        chapter.tables.append(paper_table_2())
        return chapter


class Table3(Core):
    """Take the first stage away, or its choice between the modalities, or a modality."""

    name = "table3"
    title = "Table 3: ablation of the stages"
    takes = ()
    numbers: ClassVar[dict[Variant, int]] = {
        UNPRUNED: MAIN,
        OURS: MAIN,
        STAGE_1_OFF: METHOD,
        literal(MAIN_RATE): METHOD,
        **{fixed_split(split, MAIN_RATE): METHOD for split in SPLITS},
        lot_of_3d(): CONTROL,
        one_modality("2D"): CONTROL,
        one_modality("3D"): CONTROL,
    }

    def chapter(self) -> Chapter:
        """Return our tables and the paper's, and whether the first stage makes a difference."""
        chapter = super().chapter()
        chapter.headline = of_stage_1(self.episodes(self.row(OURS)), self.episodes(self.row(STAGE_1_OFF)))
        chapter.note = chapter.headline
        chapter.tables.append(paper_table_3())
        return chapter


def no_worse(ours: Episodes, unpruned: Episodes) -> str:
    """Return whether our success is at most MARGIN below the unpruned policy's, by the interval of the difference."""
    found = compare(ours, unpruned)
    if found is None:
        return ""
    verdict = "is non-inferior to unpruned" if found.low > -MARGIN else "is not shown to be non-inferior to unpruned"
    span = f"{points(found.difference)} points [{points(found.low)}, {points(found.high)}]"
    margin = f"margin {100 * MARGIN:g} points, n = {found.n}, paired"
    return f"**Carried over at r = {100 * MAIN_RATE:.0f} % {verdict}** ({margin}): success differs by {span}."


def of_stage_1(ours: Episodes, without: Episodes) -> str:
    """Return what the first stage changes: nothing, less than MARGIN, nothing that can be told, or success."""
    found = compare(ours, without)
    if found is None:
        return ""
    common = [key for key in ours if key in without]
    same = all(_course(ours[key]) == _course(without[key]) for key in common)
    span = f"{points(found.difference)} points [{points(found.low)}, {points(found.high)}], p = {found.p_value:.2g}"
    rate = f"r = {100 * MAIN_RATE:.0f} %"
    if same:
        return f"**Carried over, stage 1 changes nothing**: at {rate}, all {found.n} episodes run as with stage 1 off."
    if found.low > -MARGIN and found.high < MARGIN:
        margin = f"within {100 * MARGIN:g} points"
        return f"**Carried over equals stage 1 off {margin}** on {found.n} paired episodes at {rate}: {span}."
    if found.low <= 0.0 <= found.high:
        return f"**{found.n} paired episodes do not tell carried over from stage 1 off** at {rate}: {span}."
    word = "better" if found.difference > 0 else "worse"
    return f"**Carried over is {word} than stage 1 off** on {found.n} paired episodes at {rate}: {span}."


def _course(record: Record) -> tuple[object, ...]:
    return record.success, record.seconds, record.path, record.length
