"""Approximations beside pruning: other ways to denoise, and weights of fewer bytes.

Denoising: all steps one after the other, fewer of them, or all side by side. Weights: what fewer bytes save, and what
they cost in error. Both are measured on trained weights where there are some.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from statistics import mean
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tristage_ros.bench.model.table import Table, ratio
from tristage_ros.bench.model.timing import Rounds, alternate, medians
from tristage_ros.bench.model.variants import Running, Variant
from tristage_ros.bench.model.workloads import FRAMES, Workload
from tristage_ros.mla.memory import PRECISIONS, QUANTISED, free_bytes, has_torchao, loaded_as, needed_bytes, quantise
from tristage_ros.mla.passes import Denoising, ParallelDenoising
from tristage_ros.pruning.baselines import LABELS

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
DENOISING_NOTE = (
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
    table = Table("Denoising", columns, note=DENOISING_NOTE + (TRAINED if trained else RANDOM))
    for row in rows:
        label = row["denoising"] + (f", {row['engine']}" if row["engine"] != "cached" else "")
        method = LABELS[row["method"]] + (f" {100 * row['rate']:.0f} %" if row["rate"] else "")
        speedups = (ratio(row["over_cached"]), ratio(row["over_recompute"]))
        table.rows.append((label, method, f"{row['passes']:.2f}", f"{row['ms']:.1f}", *speedups))
    return table


# Weights of fewer bytes.

ENGINES = ("recompute", "cached")
WEIGHTS_NOTE = (
    "Weights of the decoder's blocks in 8 bits are torchao's, a scale per output channel, the arithmetic as it was; "
    "without torchao, or room for a second model, their rows are missing. Error: the largest difference of any action "
    "to that of the weights as they are stored, unpruned, over eight observations, in shares of half an action's "
    "range. Speedup: over the unpruned step of the same engine with those weights. "
)


def precisions(largest: torch.dtype) -> list[str]:
    """Return what can be compared here with weights of dtype `largest`, which come first."""
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    plain = [name for name, dtype in known.items() if dtype.itemsize <= largest.itemsize]
    return plain + [name for name in PRECISIONS if name in QUANTISED and has_torchao()]


def measure_weights(workload: Workload, rounds: Rounds) -> list[dict[str, Any]]:
    """Return bytes, error, milliseconds and speedup of every precision, unpruned."""
    made = {}
    for name in precisions(workload.model.dtype):
        if not made or _fits_again(workload):
            made[name] = _with(workload, name)
    exact, *_ = (_actions(w) for w in made.values())
    running = {f"{name} {e}": Running(w, Variant(e, "none")) for name, w in made.items() for e in ENGINES}
    times = medians(alternate({name: run.step for name, run in running.items()}, rounds, workload.device))
    first = next(iter(made))
    return [
        {
            "precision": name,
            "megabytes": _bytes(w) / 1e6,
            "error": float(np.abs(_actions(w) - exact).max()),
            "ms": {e: times[f"{name} {e}"] for e in ENGINES},
            "speedup": {e: times[f"{first} {e}"] / times[f"{name} {e}"] for e in ENGINES},
        }
        for name, w in made.items()
    ]


def weights_table(rows: list[dict[str, Any]], trained: bool) -> Table:
    """Return the table of the rows."""
    columns = ("weights", "MB", "error", *(f"{engine} {what}" for engine in ENGINES for what in ("ms", "x")))
    whose = "The weights that ship." if trained else "RANDOM WEIGHTS: their errors say little of trained ones."
    note = WEIGHTS_NOTE + whose
    table = Table("Weights", columns, note=note)
    for row in rows:
        fast = [text for e in ENGINES for text in (f"{row['ms'][e]:.1f}", ratio(row["speedup"][e]))]
        table.rows.append((row["precision"], f"{row['megabytes']:.1f}", f"{row['error']:.4f}", *fast))
    return table


def _fits_again(workload: Workload) -> bool:
    """Tell whether a GPU has room for the model once more; it is copied whole before it gets smaller."""
    model = workload.model
    free = free_bytes(model.device) if model.device.type == "cuda" else None
    return free is None or free > 1.1 * needed_bytes(model.config, model.dtype)


def _with(workload: Workload, name: str) -> Workload:
    dtype, quantised = loaded_as(name)
    model = workload.model
    if quantised is not None:
        model = quantise(copy.deepcopy(model), quantised)
    elif dtype is not None and dtype != model.dtype:
        model = copy.deepcopy(model)
        for module in model.modules():
            for parameter in module.parameters(recurse=False):
                parameter.data = parameter.data.to(dtype)  # running statistics keep their digits
    return replace(workload, model=model)


def _actions(workload: Workload) -> NDArray[np.float64]:
    """Return the normalised translations and rotations, [FRAMES, chunk, 6], that a fresh policy answers with."""
    ranges = workload.statistics.action
    half = (np.array(ranges.q99) - np.array(ranges.q01))[:6] / 2
    running, said = Running(workload, Variant("cached", "none")), []
    for index in range(FRAMES):
        action, _ = running.policy.act(workload.observation(index))
        said.append(np.concatenate([action.translation, action.rotation], 1) / half)
    return np.array(said)


def _bytes(workload: Workload) -> int:
    """Return what the decoder's blocks hold, in bytes."""
    total = 0
    for parameter in workload.model.llm.layers.parameters():
        parts = [getattr(parameter, name, None) for name in ("qdata", "scale")]  # of a quantised one
        tensors = [part for part in parts if isinstance(part, torch.Tensor)] or [parameter]
        total += sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    return total
