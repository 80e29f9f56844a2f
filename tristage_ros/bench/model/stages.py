"""The stages of the method: what they cost, and what each of them is good for.

Cost: in a control step, stage by stage (Table 4), and of the pruner alone, over the number of patches. Good for: the
seven rows of the ablation (Table 3).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from statistics import median
from typing import Any

import torch

from tristage_ros.bench.model.table import Table, percent, ratio
from tristage_ros.bench.model.timing import Rounds, alternate, medians, one_thread
from tristage_ros.bench.model.variants import Running, TimedPruner, Variant, prune
from tristage_ros.bench.model.workloads import Workload
from tristage_ros.mla.engines import ENGINES, EngineName
from tristage_ros.pruning import Salience, TokenGeometry, TokenMasks

STAGES = ("stage1", "stage2", "stage3", "fusion")
PAPER = {"stage1": 12.0, "stage2": 38.0, "stage3": 11.0}  # ms of a step of 1050 ms, Table 4
PAPER_STEP, PAPER_TOTAL = 1050.0, 61.0  # ms
RATE = 0.7
OVERHEAD_NOTE = (
    "Of one tri-stage step at r = 70 %, cached. Method: plan and observe, with all checks. Not counted as method: "
    "reading the salience off the model, nor summing the step up for publication, which an action does not wait for. "
    "The paper's 5.8 % is 61 ms of its 1050 ms step, pruned, in a loop that recomputes: its counterpart is the fifth "
    "column. Here everything runs on vectors over patches, and the clustering is exact, so nothing iterates."
)


OVERHEAD_STEPS = 4  # that are timed in turn


def measure_overhead(
    workload: Workload, rounds: Rounds, done: Callable[[str], object] = lambda name: None
) -> dict[str, float]:
    """Return median milliseconds per part of a cached tri-stage step, and of the other steps beside it."""
    variant = Variant("cached", "tristage", RATE)
    pruner = TimedPruner(prune(variant))
    pruned = Running(workload, variant, pruner)
    others = {f"unpruned_{engine}": Running(workload, Variant(engine, "none")) for engine in ("cached", "recompute")}
    others["pruned_recompute"] = Running(workload, Variant("recompute", "tristage", RATE))
    calls = {"step": pruned.step} | {name: run.step for name, run in others.items()}
    samples = alternate(calls, rounds, workload.device, done)
    parts: dict[str, list[float]] = dict(samples)
    for report, method in list(zip(pruned.reports, pruner.steps, strict=True))[rounds.warm_up :]:
        spent = {stage: report.pruning.milliseconds[stage] for stage in STAGES}
        spent["method"] = method["plan"] + method["observe"]
        spent["checks"] = spent["method"] - sum(spent[stage] for stage in STAGES)
        spent["salience"] = max(0.0, report.milliseconds["observe"] - method["observe"] - method["report_later"])
        for name, value in spent.items():
            parts.setdefault(name, []).append(value)
    return {name: median(values) for name, values in parts.items()}


def overhead_table(parts: dict[str, float]) -> Table:
    """Return the table of the parts."""
    table = Table(
        "Method overhead",
        ("part", "ms", "of this step", "of cached, unpruned", "of recompute, pruned", "paper ms", "of its step"),
        note=OVERHEAD_NOTE,
    )
    labels = {
        **{stage: stage.replace("stage", "stage ") for stage in STAGES},
        "checks": "checks, guards, state",
        "method": "method in all",
        "salience": "reading salience",
    }
    for name, label in labels.items():
        paper = PAPER_TOTAL if name == "method" else PAPER.get(name)
        known = ("", "") if paper is None else (f"{paper:.0f}", percent(paper / PAPER_STEP))
        steps = ("step", "unpruned_cached", "pruned_recompute")
        shares = [percent(parts[name] / parts[step]) for step in steps]
        table.rows.append((label, f"{parts[name]:.3f}", *shares, *known))
    return table


# The pruner alone, on one thread: plan and observe, and how they grow with the number of patches.

HEADS = 32
SIZES = (256, 512, 1024, 2048, 4096)  # patches, and as many 3D tokens
# At RATE, too.
PRUNING_NOTE = (
    "Milliseconds per control step on one CPU thread, 32 heads, as many 3D tokens as patches, r = 70 %. Stage 2 "
    "holds the exact clustering, which sets the growth."
)


class PruningLoop:
    """Plan and observe in turn with salience made up anew for every step."""

    def __init__(self, patches: int) -> None:
        """Start without state."""
        generator = torch.Generator().manual_seed(0)
        self.geometry = TokenGeometry(torch.randint(0, patches, (patches,), generator=generator), patches)
        self.salience = [_salience(patches, generator) for _ in range(4)]
        self.pruner = TimedPruner(prune(Variant("", "tristage", RATE)))
        self.stages: list[dict[str, float]] = []

    @torch.inference_mode()  # as the policy does
    def step(self, index: int) -> None:
        """Run one control step without a model."""
        self.pruner.begin_step()
        geometry = replace(self.geometry)  # as new in every step, with nothing worked out about it yet
        masks = self.pruner.plan(geometry)
        self.pruner.observe(geometry, masks, _seen(self.salience[index % 4], masks))
        self.stages.append(self.pruner.report().milliseconds)


def measure_pruning(rounds: Rounds, sizes: tuple[int, ...] = SIZES) -> list[dict[str, Any]]:
    """Return the median milliseconds of plan, observe and every stage, by number of patches."""
    loops = {patches: PruningLoop(patches) for patches in sizes}
    with one_thread():
        for patches, loop in loops.items():  # one after another: a large one would empty the small one's cache
            alternate({str(patches): loop.step}, rounds, torch.device("cpu"))
    results = []
    for patches, loop in loops.items():
        steps = zip(loop.stages, loop.pruner.steps, strict=True)
        measured = [stages | whole for stages, whole in steps][rounds.warm_up :]
        row: dict[str, Any] = {f"{part}_ms": median(p[part] for p in measured) for part in (*STAGES, "plan", "observe")}
        row["step_ms"] = median(p["plan"] + p["observe"] for p in measured)
        results.append({"patches": patches} | row)
    return results


def pruning_table(rows: list[dict[str, Any]]) -> Table:
    """Return the table of the rows."""
    columns = ("patches", "plan + observe", "plan", "observe", "stage 1", "stage 2", "stage 3", "fusion")
    table = Table("Pruning alone", columns, note=PRUNING_NOTE)
    for row in rows:
        parts = (row[f"{name}_ms"] for name in ("step", "plan", "observe", *STAGES))
        table.rows.append((str(row["patches"]), *(f"{value:.3f}" for value in parts)))
    return table


def _salience(patches: int, generator: torch.Generator) -> Salience:
    feature = torch.rand(2, patches, generator=generator) + 0.1
    attention = torch.rand(2, patches, HEADS, generator=generator).pow(8)
    return Salience(*feature, *attention)


def _seen(salience: Salience, masks: TokenMasks) -> Salience:
    def blank(values: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
        return values.masked_fill(~keep.view(-1, *[1] * (values.ndim - 1)), torch.nan)

    return Salience(
        blank(salience.feature_2d, masks.keep_2d),
        blank(salience.feature_3d, masks.keep_3d),
        blank(salience.attention_2d, masks.keep_2d),
        blank(salience.attention_3d, masks.keep_3d),
    )


# The ablation: which stages are on.

# All pruned rows at RATE.
ABLATION_ROWS: tuple[tuple[frozenset[int], float], ...] = (  # stages, and the paper's speedup
    (frozenset(), 1.00),
    (frozenset({1}), 1.22),
    (frozenset({2}), 1.34),
    (frozenset({1, 3}), 1.35),
    (frozenset({2, 3}), 1.84),
    (frozenset({1, 2}), 1.55),
    (frozenset({1, 2, 3}), 2.49),
)
ABLATION_NOTE = (
    "Every pruned row keeps 30 % of the visual tokens, so that only the moment of the decision differs: with stage 3 a "
    "step is pruned before its frame is encoded, without it only after the first pass has seen everything. The paper's "
    "rows differ in rate as well. A cached step without stage 3 has paid for the whole prefix before it prunes, so it "
    "gains next to nothing."
)


def _variant(engine: EngineName, stages: frozenset[int]) -> Variant:
    return Variant(engine, "tristage", RATE, stages) if stages else Variant(engine, "none")


def measure_ablation(workload: Workload, rounds: Rounds) -> list[dict[str, Any]]:
    """Return stages, milliseconds and speedups of every row, both engines."""
    variants = {(engine, stages): _variant(engine, stages) for stages, _ in ABLATION_ROWS for engine in ENGINES}
    running = {variant.name: Running(workload, variant) for variant in variants.values()}
    times = medians(alternate({name: run.step for name, run in running.items()}, rounds, workload.device))
    results = []
    for stages, paper in ABLATION_ROWS:
        row: dict[str, Any] = {"stages": sorted(stages), "paper": paper}
        for engine in ENGINES:
            mine = times[variants[engine, stages].name]
            unpruned = times[variants[engine, frozenset()].name]
            row |= {f"{engine}_ms": mine, f"{engine}_speedup": unpruned / mine}
        row["kept_2d"], row["kept_3d"] = running[variants["recompute", stages].name].kept()
        results.append(row)
    return results


def ablation_table(rows: list[dict[str, Any]]) -> Table:
    """Return the table of the rows."""
    columns = ("stages", "2D", "3D", "recompute ms", "speedup", "cached ms", "speedup", "paper")
    table = Table("Ablation", columns, note=ABLATION_NOTE)
    for row in rows:
        label = " + ".join(f"S{stage}" for stage in row["stages"]) or "unpruned"
        kept = (str(row["kept_2d"]), str(row["kept_3d"]))
        recompute = (f"{row['recompute_ms']:.1f}", ratio(row["recompute_speedup"]))
        cached = (f"{row['cached_ms']:.1f}", ratio(row["cached_speedup"]))
        table.rows.append((label, *kept, *recompute, *cached, ratio(row["paper"])))
    return table
