"""One measurement: its sections, and what they found."""

from __future__ import annotations

from functools import cached_property
from importlib.util import find_spec
from typing import Any

import torch

from tristage_ros.bench.model import ablation, denoising, growth, overhead, pruning_only, reference, steps, weights
from tristage_ros.bench.model.ceilings import Ceilings
from tristage_ros.bench.model.summary import summary_table
from tristage_ros.bench.model.table import Table
from tristage_ros.bench.model.timing import Rounds
from tristage_ros.bench.model.variants import RATES
from tristage_ros.bench.model.workloads import Workload


class Session:
    """Measure sections, each a method of its own, and collect their tables and figures."""

    def __init__(self, size: str, device: torch.device, dtype: str, quick: bool) -> None:
        """Say what to measure; the model is built when the first section needs it."""
        self.size, self.device, self.dtype = size, device, dtype
        self.rounds = Rounds.quick() if quick else Rounds()
        self.rates = (steps.CORNER_RATE,) if quick else RATES
        self.patches = pruning_only.SIZES[:1] if quick else pruning_only.SIZES
        self.figures: dict[str, Any] = {}
        self._tables: list[Table] = []
        self._steps: list[steps.StepFigures] = []
        self._overhead: dict[str, float] = {}

    @cached_property
    def workload(self) -> Workload:
        """Return the model and what it is shown."""
        return Workload.build(self.size, str(self.device), self.dtype)

    @property
    def most_trained(self) -> Workload:
        """Return a workload with trained weights where some of this size ship and can be read, else the random ones."""
        if self.size == "mini" and find_spec("safetensors") is not None:
            return Workload.shipped(str(self.device), self.dtype)
        return self.workload

    def tables(self) -> list[Table]:
        """Return what was found: the corners first, the summary last."""
        last = [summary_table(self.size, self._steps, self._overhead)] if self._steps and self._overhead else []
        return self._tables + last

    def steps(self) -> None:
        """Measure control steps: engines, methods and rates."""
        ceilings = Ceilings.measure(self.device, self.workload.model.dtype, self.rounds)
        self._steps = steps.measure_steps(self.workload, ceilings, self.rounds, self.rates)
        self.figures |= {"ceilings": ceilings.to_dict(), "steps": steps.to_json(self._steps)}
        self._tables = [steps.corners(self._steps, ceilings), steps.by_method(self._steps), *self._tables]

    def overhead(self) -> None:
        """Measure what the method costs, stage by stage."""
        self._overhead = overhead.measure_overhead(self.workload, self.rounds)
        self.figures["overhead_ms"] = self._overhead
        self._tables.append(overhead.overhead_table(self._overhead))

    def ablation(self) -> None:
        """Measure the steps of every choice of stages."""
        rows = ablation.measure_ablation(self.workload, self.rounds)
        self.figures["ablation"] = rows
        self._tables.append(ablation.ablation_table(rows))

    def denoising(self) -> None:
        """Measure the ways to denoise."""
        workload = self.most_trained
        rows = denoising.measure_denoising(workload, self.rounds)
        self.figures["denoising"] = {"trained": workload.trained, "rows": rows}
        self._tables.append(denoising.denoising_table(rows, workload.trained))

    def weights(self) -> None:
        """Measure weights of fewer bytes: the error of the actions, and the time."""
        workload = self.most_trained
        rows = weights.measure_weights(workload, self.rounds)
        self.figures["weights"] = {"trained": workload.trained, "rows": rows}
        self._tables.append(weights.weights_table(rows, workload.trained))

    def pruning(self) -> None:
        """Measure the pruner alone."""
        rows = pruning_only.measure_pruning(self.rounds, self.patches)
        self.figures["pruning"] = rows
        self._tables.append(pruning_only.pruning_table(rows))

    def reference(self) -> None:
        """Measure the decoder against another's, where that is installed."""
        if reference.available():
            self.figures["reference"] = reference.measure_reference(self.workload, self.rounds)
            self._tables.append(reference.reference_table(self.figures["reference"]))

    def growth(self) -> None:
        """Measure how latency grows with tokens and points."""
        tokens = growth.measure_tokens(self.workload, self.rounds)
        points = growth.measure_points(self.workload, self.rounds)
        self.figures["growth"] = {"tokens_ms": tokens, "points_ms": points}
        self._tables += growth.growth_tables(tokens, points)
