"""What the method itself costs, stage by stage (Table 4)."""

from __future__ import annotations

from statistics import median

from tristage_ros.bench.model.table import Table, percent
from tristage_ros.bench.model.timing import Rounds, alternate
from tristage_ros.bench.model.variants import Running, TimedPruner, Variant, prune
from tristage_ros.bench.model.workloads import Workload

STAGES = ("stage1", "stage2", "stage3", "fusion")
PAPER = {"stage1": 12.0, "stage2": 38.0, "stage3": 11.0}  # ms of a step of 1050 ms, Table 4
PAPER_STEP, PAPER_TOTAL = 1050.0, 61.0  # ms
RATE = 0.7
NOTE = (
    "Of one tri-stage step at r = 70 %, cached. Method: plan and observe, with all checks. Not counted as method: "
    "reading the salience off the model, and summing the step up for publication. The paper's 5.8 % is 61 ms of its "
    "1050 ms step, pruned, in a loop that recomputes: its counterpart is the fifth column. Here "
    "everything runs on vectors over patches, and the clustering is exact, so nothing iterates."
)


def measure_overhead(workload: Workload, rounds: Rounds) -> dict[str, float]:
    """Return median milliseconds per part of a cached tri-stage step, and of the other steps beside it."""
    variant = Variant("cached", "tristage", RATE)
    pruner = TimedPruner(prune(variant))
    pruned = Running(workload, variant, pruner)
    others = {f"unpruned_{engine}": Running(workload, Variant(engine, "none")) for engine in ("cached", "recompute")}
    others["pruned_recompute"] = Running(workload, Variant("recompute", "tristage", RATE))
    calls = {"step": pruned.step} | {name: run.step for name, run in others.items()}
    samples = alternate(calls, rounds, workload.device)
    parts: dict[str, list[float]] = dict(samples)
    for report, method in list(zip(pruned.reports, pruner.steps, strict=True))[rounds.warm_up :]:
        spent = {stage: report.pruning.milliseconds[stage] for stage in STAGES}
        spent["method"] = method["plan"] + method["observe"]
        spent["checks"] = spent["method"] - sum(spent[stage] for stage in STAGES)
        spent["report"] = method["report"]
        spent["salience"] = max(0.0, report.milliseconds["observe"] - method["observe"] - method["report"])
        for name, value in spent.items():
            parts.setdefault(name, []).append(value)
    return {name: median(values) for name, values in parts.items()}


def overhead_table(parts: dict[str, float]) -> Table:
    """Return the table of the parts."""
    table = Table(
        "Method overhead",
        ("part", "ms", "of this step", "of cached, unpruned", "of recompute, pruned", "paper ms", "of its step"),
        note=NOTE,
    )
    labels = {
        **{stage: stage.replace("stage", "stage ") for stage in STAGES},
        "checks": "checks, guards, state",
        "method": "method in all",
        "salience": "reading salience",
        "report": "report",
    }
    for name, label in labels.items():
        paper = PAPER_TOTAL if name == "method" else PAPER.get(name)
        known = ("", "") if paper is None else (f"{paper:.0f}", percent(paper / PAPER_STEP))
        steps = ("step", "unpruned_cached", "pruned_recompute")
        shares = [percent(parts[name] / parts[step]) for step in steps]
        table.rows.append((label, f"{parts[name]:.3f}", *shares, *known))
    return table
