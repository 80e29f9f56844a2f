"""The decoder of a control step on other runtimes, as one would export it, beside ours.

Rivals run the prefix once, and in every pass a denoising step and its noisy action. Shapes are fixed and warm,
precision, threads and number of steps are ours. All else of a step is ours for everybody, so that rows differ by the
decoder alone.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from statistics import median
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tristage_ros.bench.model.table import Table, ratio
from tristage_ros.bench.model.timing import Rounds
from tristage_ros.bench.model.variants import Running, Variant
from tristage_ros.bench.model.workloads import Workload
from tristage_ros.mla.engines import EngineName, PassOutput, Prefix, Suffix
from tristage_ros.mla.exported import PACKAGES, DecoderGraph, ExportedDecoder, inputs_of, missing
from tristage_ros.mla.passes import Denoised

RATE = 0.7
METHODS = {"none": 0.0, "tristage": RATE}  # and what it prunes
NOTE = (
    "Control steps in float32, all rows in turn, round by round. cached, recompute: "
    "ours, in torch. openvino, onnx: ours, the decoder as one graph. Rivals: the decoder as one would export it, the "
    "prefix once and two tokens in every pass, static shapes, all denoising steps in one graph (torch.compile: a graph "
    "for the prefix, one for a pass); all else of their steps is ours. Milliseconds: medians of the processor's and of "
    "wall time, with the quartiles of the former. Speedup, by the processor's time: over ours in torch, cached, of the "
    "same pruning. Error: largest difference to its normalised action, from the same noise."
)


class TwoTokenGraph(DecoderGraph):
    """Run a denoising step and its action in every pass."""

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, places: Tensor, hidden: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Do what `DecoderGraph.forward` does."""
        keys, values, last = self.prefill(x, cos, sin)
        for step in range(self.steps):
            predicted, attention = self.one(keys, values, self.times[step : step + 1], places, hidden, noise)
            noise = self.less(step, noise, predicted)
        return noise, last, attention

    def prefill(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return keys and values, [layers, heads, S, head_width], and the last block's output, [S, width]."""
        keys, values = [], []
        for block in self.blocks:
            q, k, v = (part[None] for part in self._project(block, x, (cos, sin)))
            x = self._behind(block, x, F.scaled_dot_product_attention(q, k, v, is_causal=True)[0])
            keys.append(k[0])
            values.append(v[0])
        return torch.stack(keys), torch.stack(values), x

    def one(
        self, keys: Tensor, values: Tensor, time: Tensor, places: Tensor, hidden: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return what a pass predicts, [1, action_dim], and the attention that the prefix received, [heads, S]."""
        x, received = torch.cat([time, self.model.x_embedder(noise)]), []
        length, causal = keys.shape[2], torch.full((2, 2), -torch.inf).triu(1)
        for layer, block in enumerate(self.blocks):
            q, k, v = self._project(block, x, tuple(places.unbind()))
            scores = [self._scores(q, keys[layer]) + hidden, self._scores(q, k) + causal]
            shares = torch.cat(scores, -1).softmax(-1)
            received.append(shares[..., :length].mean(1))
            x = self._behind(block, x, shares[..., :length] @ values[layer] + shares[..., length:] @ v)
        return self._head(x[1:]), torch.stack(received).mean(0)


class CompiledDecoder:
    """Run the same by torch.compile: a graph for the prefix, and one for a pass."""

    def __init__(self, graph: TwoTokenGraph) -> None:
        """Compile nothing yet."""
        self._graph = graph
        self._prefill: Callable[..., Any] = torch.compile(graph.prefill, dynamic=False, fullgraph=True)
        self._one: Callable[..., Any] = torch.compile(graph.one, dynamic=False, fullgraph=True)

    def denoise(self, prefix: Prefix, suffix: Suffix, noise: Tensor) -> tuple[Denoised, PassOutput]:
        """Do what `ExportedDecoder.denoise` does."""
        graph = self._graph
        x, cos, sin, places, hidden, noisy = inputs_of(graph.model, prefix, suffix, noise, len(prefix))
        keys, values, last = self._prefill(x, cos, sin)
        for step in range(graph.steps):
            time = graph.times[step : step + 1].clone()
            predicted, attention = self._one(keys, values, time, places, hidden, noisy)
            noisy = graph.less(step, noisy, predicted)
        return Denoised(noisy[None], noisy[None]), PassOutput(last.new_empty(1, 1, 0), last[None], attention)


def _rivals(running: Running) -> dict[str, Callable[[], Any]]:
    """Return what makes the decoders of the rivals that are installed, for the policy of a step, by name."""
    parts = running.policy.graph_parts
    made: dict[str, Callable[[], Any]] = {"torch.compile": lambda: CompiledDecoder(TwoTokenGraph(*parts).eval())}
    labels: dict[EngineName, str] = {"onnx": "ONNX Runtime", "openvino": "OpenVINO"}
    for engine, label in labels.items():
        if not missing(engine):
            made[label] = lambda engine=engine: ExportedDecoder(engine, *parts, TwoTokenGraph, 1)  # type: ignore[misc]
    return made


def measure_rivals(workload: Workload, rounds: Rounds) -> list[dict[str, Any]]:
    """Return milliseconds, speedup and error of every row, unpruned and pruned."""
    running: dict[tuple[str, str], Running] = {}
    for method, rate in METHODS.items():
        ours = ["cached", "recompute", *(engine for engine in PACKAGES if not missing(engine))]
        running |= {(method, engine): Running(workload, Variant(engine, method, rate)) for engine in ours}
        for name, make in _rivals(running[method, "cached"]).items():
            rival = running[method, name] = Running(workload, Variant("cached", method, rate))
            rival.policy.exported = make()
    spent: dict[tuple[str, str], list[tuple[float, float]]] = {key: [] for key in running}
    error = dict.fromkeys(running, 0.0)
    for index in range(rounds.total):
        for key, run in running.items():
            processor, wall = process_time(), perf_counter()
            run.step(index)
            wall, processor = perf_counter() - wall, process_time() - processor
            if index >= rounds.warm_up:
                spent[key].append((1e3 * processor, 1e3 * wall))
        for (method, name), run in running.items():
            difference = run.said() - running[method, "cached"].said()
            error[method, name] = max(error[method, name], float(abs(difference).max()))
    rows = []
    for (method, name), samples in spent.items():
        processor, wall = zip(*samples, strict=True)
        low, high = np.percentile(processor, [25, 75]).tolist()
        cached = median(time for time, _ in spent[method, "cached"])
        rows.append(
            {
                "method": method,
                "engine": name,
                "ms": median(processor),
                "quartiles": [low, high],
                "wall_ms": median(wall),
                "over_cached": cached / median(processor),
                "error": error[method, name],
            }
        )
    return rows


def rivals_table(rows: list[dict[str, Any]]) -> Table:
    """Return the table of the rows: the four corners first of each pruning."""
    columns = ("decoder", "pruning", "ms", "quartiles", "wall ms", "over cached", "error")
    table = Table("Engines and rivals", columns, note=NOTE)
    for method, row in product(METHODS, rows):
        if row["method"] == method:
            low, high = row["quartiles"]
            label = "none" if method == "none" else f"tri-stage, r = {100 * RATE:.0f} %"
            cells = (f"{row['ms']:.1f}", f"{low:.1f} to {high:.1f}", f"{row['wall_ms']:.1f}", ratio(row["over_cached"]))
            table.rows.append((row["engine"], label, *cells, f"{row['error']:.0e}"))
    return table
