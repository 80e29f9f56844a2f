"""What is beside the core: Tables 1 and 4, more rates and settings, and 2 and 3 under continuous control."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tristage_ros.bench.model.stages import OVERHEAD_STEPS, measure_overhead, overhead_table
from tristage_ros.bench.model.table import Table, ratio
from tristage_ros.bench.model.timing import one_thread
from tristage_ros.bench.model.workloads import Workload
from tristage_ros.mla.scales import load_magnitudes
from tristage_ros.pruning.baselines import LABELS
from tristage_ros.simulation.closed_loop import LATENCY, LONGEST, PACE, PERIOD
from tristage_ros.studies.cell import Cell, Mode
from tristage_ros.studies.compared import (
    IN_PASS,
    after_layer_1,
    attention_alone,
    carried_over,
    literal,
    no_3d_only,
    rescaled,
    unweighted,
    without_stage_1,
)
from tristage_ros.studies.measurements import SEEDS, expert_observations
from tristage_ros.studies.parts.core import MAIN_RATE, OURS
from tristage_ros.studies.parts.matrix import Matrix, variants
from tristage_ros.studies.parts.paper import TABLE_1, TABLE_3, stages_label
from tristage_ros.studies.parts.part import Chapter, Part, Row, against, p_value, percent, pruned, success
from tristage_ros.studies.protocol import CONTINUOUS, CONTINUOUS_FEWER, MODALITY, STAGES
from tristage_ros.studies.summary import Episodes, over_steps, summarise
from tristage_ros.studies.variant import OBSERVED, OBSERVED_LOGITS, UNPRUNED, Preset, Variant

OTHER_RATES = (0.5, 0.6, 0.8)


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


# More methods, rates and settings than the core has.


class Rates(Matrix):
    """Compare methods at other rates, and at the main one set otherwise."""

    name = "rates"
    title = "More rates and settings"
    takes = ()

    def rows(self) -> list[Row]:
        """Return the methods at other rates, all of their ways at the main one, and tri-stage set otherwise."""
        layers = self.study.attempts().model.config.layers
        found = [UNPRUNED]
        for rate in OTHER_RATES:
            found += [Variant(method, rate, True) for method in ("random", "sp_vla")]
            found += [after_layer_1(method, rate) for method in IN_PASS]
            found += [attention_alone(rate), carried_over(rate, "paper"), carried_over(rate)]
        for method in LABELS:
            found += variants(method, MAIN_RATE, layers)
        return [self.row(variant) for variant in dict.fromkeys([*found, *self.settings()])]

    def settings(self) -> list[Variant]:
        """Return tri-stage at the main rate with one thing changed, and without a budget."""
        found = [
            no_3d_only(MAIN_RATE),
            rescaled(MAIN_RATE, 0.5, "half the scale"),
            rescaled(MAIN_RATE, 2.0, "twice the scale"),
            unweighted(carried_over(MAIN_RATE)),
            unweighted(literal(MAIN_RATE, "robot")),
            unweighted(without_stage_1(MAIN_RATE)),
            carried_over(None),
            literal(None),
        ]
        measured = load_magnitudes(self.study.scope.models.of(self.mode)).get("pre_norm")
        if measured is not None:  # the paper does not say whether its mean counts patches without 3D tokens
            factor = measured.scale_if_empty_count / measured.scale
            found.append(rescaled(MAIN_RATE, factor, "the paper's mean over all patches"))
        return found


# The stages switched on one after the other.

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

CONTINUOUS_NOTE = (
    f"A control step every {PERIOD} s of simulated time, whose chunk of {PACE.actions} actions, {PACE.time_step} s "
    f"apart, takes over {LATENCY} s after its observation; at most {LONGEST:.0f} s. The chunk leads towards the "
    f"key frame that the policy says, at {PACE.speed} m/s, so every observation on the way is one between key frames."
)


class Continuous2(Matrix):
    """Compare all methods under continuous control, at one rate."""

    name = "continuous2"
    title = "Table 2 under continuous control"
    number = CONTINUOUS_FEWER
    mode = "continuous"
    rates = (MAIN_RATE,)
    first_task = True
    goals = True

    def variants(self, methods: Sequence[str], rates: Sequence[float]) -> list[Variant]:
        """Return the methods guarded and at equal kept tokens, tri-stage in all ways."""
        found = [UNPRUNED]
        for rate in rates:
            found += [Variant(method, rate, True) for method in ("random", "sp_vla") if method in methods]
            found += [after_layer_1(method, rate) for method in IN_PASS if method in methods]
            if "tristage" in methods:
                found += [literal(rate), carried_over(rate, "paper"), without_stage_1(rate), carried_over(rate)]
        return found

    def count(self, row: Row) -> int:
        """Return the number of episodes."""
        return CONTINUOUS if row.variant in (UNPRUNED, OURS) else self.number

    def chapter(self) -> Chapter:
        """Return the tables and how the episodes ran."""
        chapter = super().chapter()
        chapter.note = CONTINUOUS_NOTE
        return chapter


class Continuous3(Stages):
    """Switch stages on under continuous control."""

    name = "continuous3"
    title = "Table 3 under continuous control"
    number = CONTINUOUS_FEWER
    mode = "continuous"
