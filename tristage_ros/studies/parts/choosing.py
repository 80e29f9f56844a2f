"""What was tried before anything is reported: as many candidates of every baseline as of ours, on seeds of their own.

This is the one place that lists them. The first of a method is what the tables report: a baseline's published or
default setting, the scale that was measured without labels.
"""

from __future__ import annotations

from tristage_ros.bench.model.table import Table
from tristage_ros.studies.compared import after_layer_1, attention_alone, carried_over, rescaled, weighted
from tristage_ros.studies.parts.core import MAIN_RATE
from tristage_ros.studies.parts.part import Chapter, Part, Row, percent, success
from tristage_ros.studies.protocol import CANDIDATE, CHOOSING
from tristage_ros.studies.summary import summarise
from tristage_ros.studies.variant import NAMES, Settings, Variant

FIRST = CHOOSING[1000]  # seed; those before it choose nothing here


def _sp_vla(options: Settings = ()) -> Variant:
    return Variant("sp_vla", MAIN_RATE, True, options=options)


CANDIDATES: dict[str, dict[str, Variant]] = {
    "tristage": {
        "scale of the model": carried_over(MAIN_RATE),
        "half of it": rescaled(MAIN_RATE, 0.5, "half the scale"),
        "weighted: dropped 0.75, points 0.5": weighted(carried_over(MAIN_RATE)),
    },
    "vla_pruner": {
        "window 3": after_layer_1("vla_pruner", MAIN_RATE),
        "window 1": after_layer_1("vla_pruner", MAIN_RATE, options=(("window", 1),)),
        "window 5": after_layer_1("vla_pruner", MAIN_RATE, options=(("window", 5),)),
    },
    "dart": {
        "4 pivots": after_layer_1("dart", MAIN_RATE),
        "2 pivots": after_layer_1("dart", MAIN_RATE, options=(("pivots", 2),)),
        "8 pivots": after_layer_1("dart", MAIN_RATE, options=(("pivots", 8),)),
    },
    "sp_vla": {
        "half the rate when fast": _sp_vla(),
        "a quarter": _sp_vla((("fast_share", 0.25),)),
        "all of it": _sp_vla((("fast_share", 1.0),)),
    },
    "attention": {
        "beta 0.85": attention_alone(MAIN_RATE),
        "beta 0.5": Variant("attention", MAIN_RATE, True, "robot", (("beta", 0.5), ("window", 1))),
        "beta 0": Variant("attention", MAIN_RATE, True, "robot", (("beta", 0.0), ("window", 1))),
    },
}
NOTE = (
    "As many candidates for every method, on seeds that no table reports: {first} to {last} of every task. The first "
    "of a method is what the tables report. It is not exchanged for one that does better here by chance: what the "
    "others come to is shown so that nobody has to ask. Beyond these, seeds {low} to {high} chose the settings of "
    "the robot preset, and 8100 to 8115 that its stages are not weighted: 72 of 80 without, 70 with."
)


class Choosing(Part):
    """Compare the candidates of every method."""

    name = "choosing"
    title = "Candidates, on seeds of their own"
    number = CANDIDATE

    def rows(self) -> list[Row]:
        """Return all candidates."""
        return [self.row(variant) for some in CANDIDATES.values() for variant in some.values()]

    def seeds(self, row: Row) -> range:
        """Return seeds below those that are reported."""
        count = min(self.study.scope.episodes or self.count(row), CHOOSING.stop - FIRST)
        return range(FIRST, FIRST + count)

    def chapter(self) -> Chapter:
        """Return success of every candidate."""
        seeds = self.seeds(self.row())
        places = {"first": seeds[0], "last": seeds[-1], "low": 7100, "high": 7139}
        columns = ("method", "candidate", "n", *self.tasks, "all % [95 %]")
        table = Table(self.title, columns, note=NOTE.format(**places))
        for method, candidates in CANDIDATES.items():
            for label, variant in candidates.items():
                if (summary := summarise(self.episodes(self.row(variant)))) is None:
                    continue
                tasks = [percent(summary.by_task[t].rate) if t in summary.by_task else "" for t in self.tasks]
                table.rows.append((NAMES[method], label, str(summary.success.n), *tasks, success(summary)))
        rows = [dict(zip(columns, row, strict=True)) for row in table.rows]
        return Chapter(self.title, tables=[table], figures={"rows": rows})
