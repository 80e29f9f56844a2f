"""Control steps: every engine, method and rate against the released loop and against a cached one.

Beside them stands what the device could do at best. The summary has the few figures that decide, and the aims.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from tristage_ros.bench.model.table import Table, percent, ratio
from tristage_ros.bench.model.timing import Rounds, alternate, medians
from tristage_ros.bench.model.variants import RATES, Running, Variant, step_variants
from tristage_ros.bench.model.workloads import Workload
from tristage_ros.mla.config import MlaConfig
from tristage_ros.pruning.baselines import LABELS

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


# What the device can do at best, and how long a control step would take at that.


@dataclass(frozen=True)
class Ceilings:
    """Hold measured limits of the device."""

    flops: float  # 1/s, of a large matrix product
    bandwidth: float  # bytes/s, of a large copy, read and written

    @classmethod
    def measure(cls, device: torch.device, dtype: torch.dtype, rounds: Rounds) -> Ceilings:
        """Measure both with the best of a few products and copies."""
        large = device.type == "cuda"
        side, length = (8192, 2**31) if large else (1024, 2**28)  # of the matrices; bytes that are copied
        left = torch.randn(side, side, device=device).to(dtype)
        source = torch.empty(length, dtype=torch.uint8, device=device).fill_(1)
        target = torch.empty_like(source)
        calls = {"product": partial(_product, left), "copy": partial(_copy, target, source)}
        times = alternate(calls, rounds, device)
        return cls(2 * side**3 / min(times["product"]) * 1e3, 2 * length / min(times["copy"]) * 1e3)

    def to_dict(self) -> dict[str, float]:
        """Return the fields by name."""
        return asdict(self)

    def pass_ms(self, config: MlaConfig, tokens: int, context: int, bytes_each: int) -> float:
        """Return how long the decoder needs for `tokens` that attend to `context`: for arithmetic or one weight sweep.

        Tokenizers, heads and attention's memory are left out, so the true limit is a little higher.
        """
        weights = config.layers * (4 * config.width**2 + 3 * config.width * config.ffn_width)
        work = 2 * weights * tokens + 4 * config.layers * config.width * tokens * context
        return 1e3 * max(work / self.flops, weights * bytes_each / self.bandwidth)

    def step_ms(self, config: MlaConfig, engine: str, tokens: int, bytes_each: int) -> float:
        """Return how long the passes of a control step over `tokens` need; its suffix is one step and one action."""
        whole = self.pass_ms(config, tokens, tokens, bytes_each)
        if engine == "recompute":
            return config.denoising_steps * whole
        suffix = self.pass_ms(config, 1 + config.chunk, tokens, bytes_each)
        return whole + (config.denoising_steps - 1) * suffix


def _product(left: Tensor, index: int) -> Tensor:
    return left @ left


def _copy(target: Tensor, source: Tensor, index: int) -> Tensor:
    return target.copy_(source)


# The few figures that decide, beside what was aimed at.

AIMS = {  # by size: pruned over unpruned, cached over recompute, best over recompute, overhead
    "mini": (2.3, 4.5, 0.0, 0.02),
    "7b": (2.55, 2.0, 6.0, 0.01),
}


def summary_table(size: str, figures: list[StepFigures], parts: dict[str, float]) -> Table:
    """Return the table of the deciding figures; the aims are left blank for sizes that have none."""
    pruned, best = (find(figures, engine, "tristage", CORNER_RATE) for engine in ("recompute", "cached"))
    cached = find(figures, "cached", "none", 0.0)
    aims = AIMS.get(size)
    pruning, caching, both, overhead = aims if aims else (0.0, 0.0, 0.0, 0.0)
    rows = [
        ("tri-stage over unpruned, recompute, r = 70 %", ratio(pruned.over_recompute), _at_least(pruning)),
        ("cached over recompute, unpruned", ratio(cached.over_recompute), _at_least(caching)),
        ("cached and pruned over recompute, unpruned", ratio(best.over_recompute), _at_least(both)),
        ("tri-stage over unpruned, cached", ratio(best.over_cached), ""),
        ("control step, cached and pruned", f"{best.milliseconds:.1f} ms", ""),
        (
            "method overhead, of the cached, unpruned step",
            percent(parts["method"] / parts["unpruned_cached"]),
            f"<= {percent(overhead)}" if overhead else "",
        ),
        ("method overhead, of the cached, pruned step", percent(parts["method"] / parts["step"]), ""),
        ("method overhead, of the recompute, pruned step", percent(parts["method"] / parts["pruned_recompute"]), ""),
    ]
    return Table("Summary", ("figure", "measured", "aim"), rows)


def _at_least(aim: float) -> str:
    return f">= {ratio(aim)}" if aim else ""
