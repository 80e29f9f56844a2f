"""Control steps: every engine, method and rate against the released loop and against a cached one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from tristage_ros.bench.model.ceilings import Ceilings
from tristage_ros.bench.model.table import Table, percent, ratio
from tristage_ros.bench.model.timing import Rounds, alternate, medians
from tristage_ros.bench.model.variants import LABELS, RATES, Running, Variant, step_variants
from tristage_ros.bench.model.workloads import Workload

CORNER_RATE = 0.7
PAPER = {  # average speedups, Table 2
    "random": (1.22, 1.39, 1.47, 1.57),
    "vla_pruner": (1.22, 1.39, 1.49, 1.57),
    "sp_vla": (1.22, 1.38, 1.45, 1.46),
    "tristage": (2.49, 2.48, 2.55, 2.51),
}
CORNERS_NOTE = (
    "Recompute runs tokenizers and decoder in each of the denoising passes, as the released code does, though without "
    "the logits of every token that it throws away, and with the centres of point tokens chosen once; cached runs them "
    "once. Against a cached loop pruning is worth less, because the passes behind the prefix cost the same with few "
    "tokens as with many: judge a method by the cached, unpruned step as well, not by the released loop alone."
)
METHODS_NOTE = (
    "Speedup: over the unpruned step of the same engine. Kept tokens: those of the last pass. Ideal: what the decoder "
    "alone would take at the matrix rate and memory bandwidth measured in this run, over what the whole step took. "
    "Paper: its Table 2, in the released loop on an A100 (2533 ms unpruned, 14 times above the ideal of that loop). It "
    "credits tri-stage with 'frame savings' beyond its tokens, which it does not define: naive at 70 % reaches 1.47x "
    "there, tri-stage 2.55x with more tokens. Here every method keeps about as many tokens, so speedups differ by "
    "when a method decides, by what that costs, and by 2D against 3D, which do not cost the same to tokenise. FastV "
    "and VLA-Pruner decide inside the pass: all tokens are made and go through the first 2 or 3 blocks, which is half "
    "of the mini model's 4 and little of the 7B's 32. Random weights: nothing here is about success."
)


@dataclass(frozen=True)
class StepFigures:
    """Hold what was measured of one variant."""

    engine: str
    method: str
    rate: float
    milliseconds: float  # median of the control steps
    over_recompute: float  # speedup over the unpruned step of the released loop
    over_cached: float  # speedup over the unpruned step of the cached loop
    kept_2d: int
    kept_3d: int
    ideal_ms: float


def measure_steps(
    workload: Workload, ceilings: Ceilings, rounds: Rounds, rates: tuple[float, ...]
) -> list[StepFigures]:
    """Return the figures of all variants, measured in turn."""
    running = {variant: Running(workload, variant) for variant in step_variants(rates)}
    samples = alternate({v.name: run.step for v, run in running.items()}, rounds, workload.device)
    times = medians(samples)
    recompute, cached = (times[Variant(engine, "none").name] for engine in ("recompute", "cached"))
    figures = []
    for variant, run in running.items():
        mine, config = times[variant.name], workload.model.config
        ideal = ceilings.step_ms(config, variant.engine, run.sequence(), workload.model.dtype.itemsize)
        figures.append(
            StepFigures(
                variant.engine, variant.method, variant.rate, mine, recompute / mine, cached / mine, *run.kept(), ideal
            )
        )
    return figures


def corners(figures: list[StepFigures], ceilings: Ceilings) -> Table:
    """Return the table of the four corners: recompute or cached, unpruned or pruned."""
    table = Table(
        "The four corners",
        ("control step", "ms", "over recompute, unpruned", "over cached, unpruned", "share of ideal"),
        note=f"{CORNERS_NOTE} Measured: {ceilings.flops / 1e12:.3g} TFLOP/s, {ceilings.bandwidth / 1e9:.3g} GB/s.",
    )
    for rate, method in ((0.0, "none"), (CORNER_RATE, "tristage")):
        for engine in ("recompute", "cached"):
            row = find(figures, engine, method, rate)
            cells = (ratio(row.over_recompute), ratio(row.over_cached), percent(row.ideal_ms / row.milliseconds))
            label = Variant(engine, method, rate).label
            table.rows.append((f"{engine}, {label}", f"{row.milliseconds:.1f}", *cells))
    return table


def by_method(figures: list[StepFigures]) -> Table:
    """Return the table of methods and rates, one line for both engines."""
    table = Table(
        "Methods and rates",
        ("method", "2D", "3D", "recompute ms", "speedup", "ideal", "cached ms", "speedup", "ideal", "paper"),
        note=METHODS_NOTE,
    )
    for first in (row for row in figures if row.engine == "recompute"):
        second = find(figures, "cached", first.method, first.rate)
        paper = PAPER.get(first.method, ())
        known = first.rate in RATES and len(paper) > 0
        table.rows.append(
            (
                LABELS[first.method] + (f" {100 * first.rate:.0f} %" if first.rate else ""),
                str(first.kept_2d),
                str(first.kept_3d),
                f"{first.milliseconds:.1f}",
                ratio(first.over_recompute),
                percent(first.ideal_ms / first.milliseconds),
                f"{second.milliseconds:.1f}",
                ratio(second.over_cached),
                percent(second.ideal_ms / second.milliseconds),
                ratio(paper[RATES.index(first.rate)]) if known else "",
            )
        )
    return table


def find(figures: list[StepFigures], engine: str, method: str, rate: float) -> StepFigures:
    """Return the figures of a variant."""
    return next(row for row in figures if (row.engine, row.method, row.rate) == (engine, method, rate))


def to_json(figures: list[StepFigures]) -> list[dict[str, Any]]:
    """Return the figures as JSON can hold them."""
    return [asdict(row) for row in figures]
