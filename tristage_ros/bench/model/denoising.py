"""Ways to denoise: all steps one after the other, fewer of them, or all side by side."""

from __future__ import annotations

from statistics import mean
from typing import Any

from tristage_ros.bench.model.table import Table, ratio
from tristage_ros.bench.model.timing import Rounds, alternate, medians
from tristage_ros.bench.model.variants import LABELS, Running, Variant
from tristage_ros.bench.model.workloads import Workload
from tristage_ros.mla.passes import Denoising, ParallelDenoising

RATE = 0.7
SETTINGS = {
    "all steps": Denoising(),
    "4 steps": Denoising(steps=4),
    "2 steps": Denoising(steps=2),
    "1 step": Denoising(steps=1),
    "side by side to 0.01": Denoising(parallel=ParallelDenoising(0.01)),
    "side by side to 0.01, zero noise": Denoising("zero", parallel=ParallelDenoising(0.01)),
    "3 sweeps, zero noise": Denoising("zero", parallel=ParallelDenoising(0.0, 3)),
}
METHODS = {"none": 0.0, "tristage": RATE}  # and what it prunes
NOTE = (
    "Speedup: over the unpruned step of either engine, all steps one after the other. Passes: of the decoder over the "
    "suffixes of a control step, mean; the first goes along with the prefix. Side by side, all steps are evaluated in "
    "every pass, a sweep, and again until no noisy action moves by more than 0.01 of half an action's range; from zero "
    "noise a control step begins where the one before ended. Fewer steps and a fixed number of sweeps are "
    "approximations: `tristage evaluate --part denoising` tells what they cost in error and success. How many sweeps "
    "it takes to agree is the weights' doing; all other rows hold for any weights. "
)
TRAINED = (
    "Measured with the trained weights that ship, on an object that slides over a bare table by 2 to 6 cm from step to "
    "step: simpler than what a robot sees, so that a sweep more is to be expected there."
)
RANDOM = (
    "These weights are random, and say nothing of how many sweeps a trained model takes: random ones that predict "
    "noise agree late, random ones that predict velocity at once, as they hardly heed what they see."
)


def _variant(engine: str, method: str, denoising: Denoising) -> Variant:
    return Variant(engine, method, METHODS[method], denoising=denoising)


def measure_denoising(workload: Workload, rounds: Rounds) -> list[dict[str, Any]]:
    """Return passes, milliseconds and speedups of every way to denoise: cached, unpruned and pruned.

    The first row is the unpruned step of the released loop.
    """
    sequential = SETTINGS["all steps"]
    variants = [_variant("recompute", "none", sequential)]
    variants += [_variant("cached", method, denoising) for method in METHODS for denoising in SETTINGS.values()]
    running = {variant.name: Running(workload, variant) for variant in variants}
    times = medians(alternate({name: run.step for name, run in running.items()}, rounds, workload.device))
    recompute, cached = (times[_variant(engine, "none", sequential).name] for engine in ("recompute", "cached"))
    labels = {denoising: label for label, denoising in SETTINGS.items()}
    return [
        {
            "denoising": labels[variant.denoising],
            "engine": variant.engine,
            "method": variant.method,
            "rate": variant.rate,
            "passes": mean(report.passes for report in running[variant.name].reports[rounds.warm_up :]),
            "ms": times[variant.name],
            "over_cached": cached / times[variant.name],
            "over_recompute": recompute / times[variant.name],
        }
        for variant in variants
    ]


def denoising_table(rows: list[dict[str, Any]], trained: bool) -> Table:
    """Return the table of the rows; what is to be said of them depends on whether the weights were trained."""
    columns = ("denoising", "method", "passes", "ms", "over cached", "over recompute")
    table = Table("Denoising", columns, note=NOTE + (TRAINED if trained else RANDOM))
    for row in rows:
        label = row["denoising"] + (f", {row['engine']}" if row["engine"] != "cached" else "")
        method = LABELS[row["method"]] + (f" {100 * row['rate']:.0f} %" if row["rate"] else "")
        speedups = (ratio(row["over_cached"]), ratio(row["over_recompute"]))
        table.rows.append((label, method, f"{row['passes']:.2f}", f"{row['ms']:.1f}", *speedups))
    return table
