"""Tables 1 to 4 of the paper (arXiv 2604.09244), its figures beside ours; and 2 and 3 under continuous control."""

from __future__ import annotations

from collections import Counter
from math import ceil

from tristage_ros.bench.model.stages import OVERHEAD_STEPS, measure_overhead, overhead_table
from tristage_ros.bench.model.table import Table, ratio
from tristage_ros.bench.model.timing import one_thread
from tristage_ros.bench.model.workloads import Workload
from tristage_ros.pruning.baselines import LABELS
from tristage_ros.simulation.closed_loop import LATENCY, LONGEST, PACE, PERIOD
from tristage_ros.studies.cell import Cell, Mode
from tristage_ros.studies.measurements import SEEDS, expert_observations
from tristage_ros.studies.parts.matrix import Matrix
from tristage_ros.studies.parts.part import Chapter, Part, Row, against, p_value, percent, pruned, success
from tristage_ros.studies.summary import over_steps, summarise
from tristage_ros.studies.variant import OBSERVED, OBSERVED_LOGITS, UNPRUNED, Preset, Variant

# The paper's figures.

TABLE_1 = {  # task: success unpruned; by rate success with 2D pruned, with 3D pruned, and M_2d of stage 1; percent
    "box": (55.00, {0.5: (6.67, 40.0, 90.16), 0.6: (45.0, 70.0, 90.31)}),
    "fridge": (56.66, {0.5: (33.33, 70.0, 81.47), 0.6: (50.0, 40.0, 88.24)}),
    "laptop": (80.00, {0.5: (53.33, 90.0, 90.38), 0.6: (90.0, 80.0, 91.48)}),
}
TABLE_2_TASKS = ("box", "laptop", "fridge", "umbrella")
TABLE_2: dict[str, dict[float, tuple[float, float, float, float]]] = {  # mean success, speedup, pruned 2D, 3D; percent
    "none": {0.0: (48.8, 1.00, 0.0, 0.0)},
    "random": {0.5: (14.2, 1.22, 50.0, 50.0), 0.6: (24.2, 1.39, 60.2, 60.2),
               0.7: (16.7, 1.47, 69.9, 69.9), 0.8: (11.7, 1.57, 80.1, 80.1)},
    "sp_vla": {0.5: (10.8, 1.22, 34.8, 61.3), 0.6: (21.7, 1.38, 43.0, 76.6),
               0.7: (16.7, 1.45, 46.7, 89.1), 0.8: (12.5, 1.46, 43.6, 93.4)},
    "vla_pruner": {0.5: (22.5, 1.22, 50.0, 50.0), 0.6: (25.8, 1.39, 60.2, 60.2),
                   0.7: (21.7, 1.49, 69.9, 69.9), 0.8: (21.7, 1.57, 80.1, 80.1)},
    "tristage": {0.5: (47.5, 2.49, 39.0, 60.7), 0.6: (40.0, 2.48, 43.6, 66.1),
                 0.7: (46.3, 2.55, 54.7, 72.8), 0.8: (40.0, 2.51, 56.2, 76.4)},
}  # fmt: skip
TABLE_3 = {  # stages: success in percent, speedup
    frozenset[int](): (70.0, 1.00),
    frozenset({1}): (69.6, 1.22),
    frozenset({2}): (69.8, 1.34),
    frozenset({1, 3}): (62.2, 1.35),
    frozenset({2, 3}): (71.5, 1.84),
    frozenset({1, 2}): (71.1, 1.55),
    frozenset({1, 2, 3}): (70.0, 2.49),
}


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
    number = 20
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
        unpruned = self.study.episodes([task], self.number)
        summary = summarise(self.study.episodes([task], self.number, variant), unpruned)
        if summary is None:
            return ""
        return success(summary) + ("" if variant == UNPRUNED else f" ({against(summary)})")

    def _m_2d(self, task: str, variant: Variant) -> str:
        records = self.study.episodes([task], self.number, variant).values()
        return f"{over_steps(records, 'salience_2d_stage1'):.3f}" if records else ""


def _paper(task: str, rate: float) -> str:
    unpruned, by_rate = TABLE_1.get(task, (0.0, {}))
    return " / ".join(f"{value:.1f}" for value in (unpruned, *by_rate[rate])) if rate in by_rate else ""


# Table 2: methods and rates.

MAIN_RATE = 0.7
FEWER = 50  # episodes of a row of those that matter less, shared among the tasks


class Table2(Matrix):
    """Compare all methods: 100 episodes of every task where it matters, which is at one rate, guard against guard."""

    name = "table2"
    title = "Table 2: methods and rates"
    number = 100
    budgetless = True

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


def paper_table() -> Table:
    """Return the paper's own figures."""
    title = "The paper's Table 2: mean of box, laptop, fridge and umbrella"
    table = Table(title, ("method", "r %", "success %", "speedup", "pruned 2D / 3D %"))
    for method, by_rate in TABLE_2.items():
        for rate, (succeeded, speedup, pruned_2d, pruned_3d) in by_rate.items():
            cells = (f"{succeeded:.1f}", ratio(speedup), f"{pruned_2d:.0f} / {pruned_3d:.0f}")
            table.rows.append((LABELS[method], percent(rate) if rate else "", *cells))
    return table


# Table 3: the stages switched on one after the other.

# A budget is that of MAIN_RATE.
TABLE_3_SETTINGS: dict[str, tuple[float | None, bool, Preset]] = {  # rate, guard, preset
    "Robot preset, r = 70 %": (MAIN_RATE, True, "robot"),
    "Paper preset, the stages decide": (None, False, "paper"),
}
TABLE_3_COLUMNS = (
    "stages", "n", "success % [95 %]", "to unpruned [95 %]", "p", "pruned 2D / 3D %", "recompute", "cached",
    "paper: success %, speedup",
)  # fmt: skip
TABLE_3_NOTE = (
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
        return [self.row(with_stages(name, stages)) for name in TABLE_3_SETTINGS for stages in TABLE_3]

    def measured(self) -> tuple[Counter[Mode], Counter[Mode]]:
        """Return the steps that are timed."""
        return self.timed(), Counter()

    def chapter(self) -> Chapter:
        """Return a table per setting."""
        chapter = Chapter(self.title, TABLE_3_NOTE)
        speeds = self.study.speeds([row.variant for row, _ in self.found()], self.mode)
        for name in TABLE_3_SETTINGS:
            table = Table(f"{name} ({', '.join(self.tasks)})", TABLE_3_COLUMNS)
            for stages, (succeeded, speedup) in TABLE_3.items():
                row = self.row(with_stages(name, stages))
                if (summary := self.summary(row)) is None:
                    continue
                fast = [ratio(speeds[row.variant.name].over_unpruned(engine)) for engine in ("recompute", "cached")]
                label = " + ".join(f"S{stage}" for stage in sorted(stages)) or "unpruned"
                cells = (str(summary.success.n), success(summary), against(summary), p_value(summary), pruned(summary))
                table.rows.append((label, *cells, *fast, f"{succeeded:.1f}, {ratio(speedup)}"))
                chapter.figures[row.variant.name] = summary.to_dict()
            chapter.tables.append(table)
        return chapter


def with_stages(setting: str, stages: frozenset[int]) -> Variant:
    """Return the Variant of a combination of stages in a setting, the unpruned one for none."""
    rate, guard, preset = TABLE_3_SETTINGS[setting]
    if not stages:
        return UNPRUNED
    return Variant("tristage", rate, guard, preset, () if len(stages) == 3 else (("stages", stages),))


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


# Tables 2 and 3 under continuous control: the same methods and stages, five control steps a second.

CONTINUOUS_FEWER = 20  # episodes of a row that matters less
CONTINUOUS_NOTE = (
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
    rates = (MAIN_RATE,)
    budgetless = True

    @property
    def tasks(self) -> tuple[str, ...]:
        """Return the first task."""
        return self.study.scope.tasks[:1]

    def count(self, row: Row) -> int:
        """Return the number of episodes."""
        return self.number if matters(row.variant) else CONTINUOUS_FEWER

    def chapter(self) -> Chapter:
        """Return the tables and how the episodes ran."""
        chapter = super().chapter()
        chapter.note = CONTINUOUS_NOTE
        return chapter


class Continuous3(Table3):
    """Switch stages on under continuous control."""

    name = "continuous3"
    title = "Table 3 under continuous control"
    number = CONTINUOUS_FEWER
    mode = "continuous"
