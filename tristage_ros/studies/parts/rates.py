"""More methods, rates and settings than the core has, and the methods under continuous control."""

from __future__ import annotations

from collections.abc import Sequence

from tristage_ros.mla.scales import load_magnitudes
from tristage_ros.pruning.baselines import LABELS
from tristage_ros.simulation.closed_loop import LATENCY, LONGEST, PACE, PERIOD
from tristage_ros.studies.compared import (
    IN_PASS,
    after_layer_1,
    attention_alone,
    carried_over,
    literal,
    no_3d_only,
    rescaled,
    weighted,
    without_stage_1,
)
from tristage_ros.studies.parts.core import MAIN_RATE, OURS
from tristage_ros.studies.parts.matrix import Matrix, variants
from tristage_ros.studies.parts.part import Chapter, Row
from tristage_ros.studies.protocol import CONTINUOUS, CONTINUOUS_FEWER
from tristage_ros.studies.variant import UNPRUNED, Variant

OTHER_RATES = (0.5, 0.6, 0.8)


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
            literal(MAIN_RATE, "robot"),
            weighted(carried_over(MAIN_RATE)),
            weighted(literal(MAIN_RATE, "robot")),
            weighted(without_stage_1(MAIN_RATE)),
            carried_over(None),
            literal(None),
        ]
        measured = load_magnitudes(self.study.scope.models.of(self.mode)).get("pre_norm")
        if measured is not None:  # the paper does not say whether its mean counts patches without 3D tokens
            factor = measured.scale_if_empty_count / measured.scale
            found.append(rescaled(MAIN_RATE, factor, "the paper's mean over all patches"))
        return found


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
