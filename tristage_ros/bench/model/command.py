"""The command `tristage bench`: measure section by section, print, write JSON and Markdown.

Each section is a method of Session by the name that `--only` takes.
"""

from __future__ import annotations

import argparse
import json
import sys
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import torch

from tristage_ros.bench.model import approximations, decoder, rivals, stages, steps
from tristage_ros.bench.model.steps import Ceilings, summary_table
from tristage_ros.bench.model.table import Table, show, write_chapter
from tristage_ros.bench.model.timing import Rounds, describe
from tristage_ros.bench.model.variants import RATES
from tristage_ros.bench.model.workloads import Workload
from tristage_ros.bench.options import SECTIONS, command_line


def run(options: argparse.Namespace) -> int:
    """Run the benchmark; return the exit code."""
    if options.threads < 1:
        raise ValueError(f"--threads is {options.threads}; it must be at least 1")
    torch.set_num_threads(options.threads)
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        print("error: torch sees no CUDA device here; use --device cpu", file=sys.stderr)
        return 2
    device = torch.device(options.device)
    dtype = options.dtype or ("bfloat16" if device.type == "cuda" else "float32")
    session = Session(options.size, device, dtype, options.quick)
    for section in options.only or SECTIONS:
        print(f"measuring: {section}", file=sys.stderr, flush=True)
        getattr(session, section)()
    tables = session.tables()
    facts = describe(device, dtype) | {"command": command_line(options)}
    facts |= {"rounds": "few: a first look, not a result"} if options.quick else {}
    show([Table("Machine", ("what", "which"), list(facts.items())), *tables])
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({"machine": facts, "size": options.size} | session.figures, indent=1))
    where = f"CPU, threads: {facts['threads']}" if device.type == "cpu" else device.type
    if options.plot:
        from tristage_ros.bench.model.plot import picture

        options.plot.parent.mkdir(parents=True, exist_ok=True)
        picture(session.figures, f"{options.size} on {where}").savefig(options.plot, dpi=90)
    if options.markdown:
        listed = "\n".join(f"- {name}: {value}" for name, value in facts.items())
        body = "\n".join([listed, "", *(table.markdown() for table in tables)])
        write_chapter(options.markdown, f"{options.size} on {where}", body)
    return 0


class Session:
    """Measure sections, each a method of its own, and collect their tables and figures."""

    def __init__(self, size: str, device: torch.device, dtype: str, quick: bool) -> None:
        """Say what to measure; the model is built when the first section needs it."""
        self.size, self.device, self.dtype = size, device, dtype
        self.rounds = Rounds.quick() if quick else Rounds()
        self.rates = (steps.CORNER_RATE,) if quick else RATES
        self.patches = stages.SIZES[:1] if quick else stages.SIZES
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
        self._overhead = stages.measure_overhead(self.workload, self.rounds)
        self.figures["overhead_ms"] = self._overhead
        self._tables.append(stages.overhead_table(self._overhead))

    def ablation(self) -> None:
        """Measure the steps of every choice of stages."""
        rows = stages.measure_ablation(self.workload, self.rounds)
        self.figures["ablation"] = rows
        self._tables.append(stages.ablation_table(rows))

    def denoising(self) -> None:
        """Measure the ways to denoise."""
        workload = self.most_trained
        rows = approximations.measure_denoising(workload, self.rounds)
        self.figures["denoising"] = {"trained": workload.trained, "rows": rows}
        self._tables.append(approximations.denoising_table(rows, workload.trained))

    def weights(self) -> None:
        """Measure weights of fewer bytes: the error of the actions, and the time."""
        workload = self.most_trained
        rows = approximations.measure_weights(workload, self.rounds)
        self.figures["weights"] = {"trained": workload.trained, "rows": rows}
        self._tables.append(approximations.weights_table(rows, workload.trained))

    def pruning(self) -> None:
        """Measure the pruner alone."""
        rows = stages.measure_pruning(self.rounds, self.patches)
        self.figures["pruning"] = rows
        self._tables.append(stages.pruning_table(rows))

    def reference(self) -> None:
        """Measure the decoder against another's, where that is installed."""
        if decoder.available():
            self.figures["reference"] = decoder.measure_reference(self.workload, self.rounds)
            self._tables.append(decoder.reference_table(self.figures["reference"]))

    def rivals(self) -> None:
        """Measure the decoder on other runtimes."""
        workload = self.most_trained
        if (workload.device.type, workload.model.dtype) == ("cpu", torch.float32) and workload.model.config.chunk == 1:
            self.figures["rivals"] = rivals.measure_rivals(workload, self.rounds)
            self._tables.append(rivals.rivals_table(self.figures["rivals"]))

    def growth(self) -> None:
        """Measure how latency grows with tokens and points."""
        tokens = decoder.measure_tokens(self.workload, self.rounds)
        points = decoder.measure_points(self.workload, self.rounds)
        self.figures["growth"] = {"tokens_ms": tokens, "points_ms": points}
        self._tables += decoder.growth_tables(tokens, points)
