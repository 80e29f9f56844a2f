"""Table 3: the stages switched on one after the other."""

from __future__ import annotations

from tristage_ros.bench.model.table import Table, ratio
from tristage_ros.studies import paper
from tristage_ros.studies.parts.part import (
    Chapter,
    Part,
    Row,
    against,
    p_value,
    pruned,
    success,
)
from tristage_ros.studies.variant import UNPRUNED, Preset, Variant

RATE = 0.7
SETTINGS: dict[str, tuple[float | None, bool, Preset]] = {  # rate, guard, preset
    "Robot preset, r = 70 %": (RATE, True, "robot"),
    "Paper preset, the stages decide": (None, False, "paper"),
}
COLUMNS = (
    "stages", "n", "success % [95 %]", "to unpruned [95 %]", "p", "pruned 2D / 3D %", "recompute", "cached",
    "paper: success %, speedup",
)  # fmt: skip
NOTE = (
    "Without stage 3 the first denoising pass of a step sees every token and is pruned behind it, so that nothing can "
    "be missed and little is saved; with it the step is pruned before its frame is encoded, by what past steps showed."
)


class Table3(Part):
    """Compare the seven combinations of stages, at a fixed budget and without one."""

    name = "table3"
    title = "Table 3: ablation of the stages"
    number = 50

    @property
    def tasks(self) -> tuple[str, ...]:
        """Return the first task."""
        return self.study.scope.tasks[:1]

    def rows(self) -> list[Row]:
        """Return all combinations in all settings."""
        return [self.row(variant(name, stages)) for name in SETTINGS for stages in paper.TABLE_3]

    def chapter(self) -> Chapter:
        """Return a table per setting."""
        chapter = Chapter(self.title, NOTE)
        speeds = self.study.speeds([row.variant for row, _ in self.found()], self.mode)
        for name in SETTINGS:
            table = Table(f"{name} ({', '.join(self.tasks)})", COLUMNS)
            for stages, (succeeded, speedup) in paper.TABLE_3.items():
                row = self.row(variant(name, stages))
                if (summary := self.summary(row)) is None:
                    continue
                fast = [ratio(speeds[row.variant.name].over_unpruned(engine)) for engine in ("recompute", "cached")]
                label = " + ".join(f"S{stage}" for stage in sorted(stages)) or "unpruned"
                cells = (str(summary.success.n), success(summary), against(summary), p_value(summary), pruned(summary))
                table.rows.append((label, *cells, *fast, f"{succeeded:.1f}, {ratio(speedup)}"))
                chapter.figures[row.variant.name] = summary.to_dict()
            chapter.tables.append(table)
        return chapter


def variant(setting: str, stages: frozenset[int]) -> Variant:
    """Return the variant of a combination of stages in a setting, the unpruned one for none."""
    rate, guard, preset = SETTINGS[setting]
    if not stages:
        return UNPRUNED
    return Variant("tristage", rate, guard, preset, () if len(stages) == 3 else (("stages", stages),))
