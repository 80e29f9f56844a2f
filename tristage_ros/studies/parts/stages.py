"""The stages switched on one after the other, key frame by key frame and under continuous control."""

from __future__ import annotations

from collections import Counter

from tristage_ros.bench.model.table import Table, ratio
from tristage_ros.studies.cell import Mode
from tristage_ros.studies.parts.core import MAIN_RATE
from tristage_ros.studies.parts.paper import TABLE_3, stages_label
from tristage_ros.studies.parts.part import Chapter, Part, Row, against, p_value, pruned, success
from tristage_ros.studies.protocol import CONTINUOUS_FEWER, STAGES
from tristage_ros.studies.variant import UNPRUNED, Preset, Variant

# A budget is that of MAIN_RATE.
COMBINED: dict[str, tuple[float | None, bool, Preset]] = {  # rate, guard, preset
    "Robot preset, r = 70 %": (MAIN_RATE, True, "robot"),
    "Paper preset, the stages decide": (None, False, "paper"),
}
COMBINED_COLUMNS = (
    "stages", "n", "success % [95 %]", "to unpruned [95 %]", "p", "pruned 2D / 3D %", "recompute", "cached",
    "paper: success %, speedup",
)  # fmt: skip
COMBINED_NOTE = (
    "Without stage 3 the first denoising pass of a step sees every token and is pruned behind it, so that nothing can "
    "be missed and little is saved; with it the step is pruned before its frame is encoded, by what past steps showed."
)


class Stages(Part):
    """Compare the seven combinations of stages, at a fixed budget and without one."""

    name = "stages"
    title = "Table 3, all combinations of stages"
    number = STAGES
    first_task = True

    def rows(self) -> list[Row]:
        """Return all combinations in all settings."""
        return [self.row(with_stages(name, stages)) for name in COMBINED for stages in TABLE_3]

    def measured(self) -> tuple[Counter[Mode], Counter[Mode]]:
        """Return the steps that are timed."""
        return self.timed(), Counter()

    def chapter(self) -> Chapter:
        """Return a table per setting."""
        chapter = Chapter(self.title, COMBINED_NOTE)
        speeds = self.study.speeds([row.variant for row, _ in self.found()], self.mode)
        for name in COMBINED:
            table = Table(f"{name} ({', '.join(self.tasks)})", COMBINED_COLUMNS)
            for stages, (succeeded, speedup) in TABLE_3.items():
                row = self.row(with_stages(name, stages))
                if (summary := self.summary(row)) is None:
                    continue
                fast = [ratio(speeds[row.variant.name].over_unpruned(engine)) for engine in ("recompute", "cached")]
                cells = (str(summary.success.n), success(summary), against(summary), p_value(summary), pruned(summary))
                table.rows.append((stages_label(stages), *cells, *fast, f"{succeeded:.1f}, {ratio(speedup)}"))
                chapter.figures[row.variant.name] = summary.to_dict()
            chapter.tables.append(table)
        return chapter


def with_stages(setting: str, stages: frozenset[int]) -> Variant:
    """Return the Variant of a combination of stages in a setting, the unpruned one for none."""
    rate, guard, preset = COMBINED[setting]
    if not stages:
        return UNPRUNED
    return Variant("tristage", rate, guard, preset, () if len(stages) == 3 else (("stages", stages),))


class Continuous3(Stages):
    """Switch stages on under continuous control."""

    name = "continuous3"
    title = "Table 3 under continuous control"
    number = CONTINUOUS_FEWER
    mode = "continuous"
