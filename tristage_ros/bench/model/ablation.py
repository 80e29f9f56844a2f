"""The seven rows of the ablation (Table 3): which stages are on."""

from __future__ import annotations

from typing import Any

from tristage_ros.bench.model.table import Table, ratio
from tristage_ros.bench.model.timing import Rounds, alternate, medians
from tristage_ros.bench.model.variants import Running, Variant
from tristage_ros.bench.model.workloads import Workload
from tristage_ros.mla.passes import ENGINES, EngineName

RATE = 0.7
ROWS: tuple[tuple[frozenset[int], float], ...] = (  # stages, and the paper's speedup
    (frozenset(), 1.00),
    (frozenset({1}), 1.22),
    (frozenset({2}), 1.34),
    (frozenset({1, 3}), 1.35),
    (frozenset({2, 3}), 1.84),
    (frozenset({1, 2}), 1.55),
    (frozenset({1, 2, 3}), 2.49),
)
NOTE = (
    "Every pruned row keeps 30 % of the visual tokens, so that only the moment of the decision differs: with stage 3 a "
    "step is pruned before its frame is encoded, without it only after the first pass has seen everything. The paper's "
    "rows differ in rate as well. A cached step without stage 3 has paid for the whole prefix before it prunes, so it "
    "gains next to nothing."
)


def _variant(engine: EngineName, stages: frozenset[int]) -> Variant:
    return Variant(engine, "tristage", RATE, stages) if stages else Variant(engine, "none")


def measure_ablation(workload: Workload, rounds: Rounds) -> list[dict[str, Any]]:
    """Return stages, milliseconds and speedups of every row, both engines."""
    variants = {(engine, stages): _variant(engine, stages) for stages, _ in ROWS for engine in ENGINES}
    running = {variant.name: Running(workload, variant) for variant in variants.values()}
    times = medians(alternate({name: run.step for name, run in running.items()}, rounds, workload.device))
    results = []
    for stages, paper in ROWS:
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
    table = Table("Ablation", columns, note=NOTE)
    for row in rows:
        label = " + ".join(f"S{stage}" for stage in row["stages"]) or "unpruned"
        kept = (str(row["kept_2d"]), str(row["kept_3d"]))
        recompute = (f"{row['recompute_ms']:.1f}", ratio(row["recompute_speedup"]))
        cached = (f"{row['cached_ms']:.1f}", ratio(row["cached_speedup"]))
        table.rows.append((label, *kept, *recompute, *cached, ratio(row["paper"])))
    return table
