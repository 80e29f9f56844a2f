"""The paper's own figures (arXiv 2604.09244, Tables 1 to 3), beside which ours stand."""

from __future__ import annotations

from tristage_ros.bench.model.table import Table, ratio
from tristage_ros.pruning.baselines import LABELS
from tristage_ros.studies.parts.part import percent

TABLE_1 = {  # task: success unpruned; by rate success with 2D pruned, with 3D pruned, and M_2d of stage 1; percent
    "box": (55.00, {0.5: (6.67, 40.0, 90.16), 0.6: (45.0, 70.0, 90.31)}),
    "fridge": (56.66, {0.5: (33.33, 70.0, 81.47), 0.6: (50.0, 40.0, 88.24)}),
    "laptop": (80.00, {0.5: (53.33, 90.0, 90.38), 0.6: (90.0, 80.0, 91.48)}),
}
TABLE_2_TASKS = ("box", "laptop", "fridge", "umbrella")
TABLE_2: dict[str, dict[float, tuple[float, float, float, float]]] = {  # mean success, speedup, pruned 2D, 3D; percent
    "none": {0.0: (48.8, 1.00, 0.0, 0.0)},
    "random": {0.5: (14.2, 1.22, 50.0, 50.0), 0.6: (24.2, 1.39, 60.2, 60.2),
               0.7: (16.7, 1.47, 69.9, 69.9), 0.8: (11.7, 1.57, 80.1, 80.1)},
    "sp_vla": {0.5: (10.8, 1.22, 34.8, 61.3), 0.6: (21.7, 1.38, 43.0, 76.6),
               0.7: (16.7, 1.45, 46.7, 89.1), 0.8: (12.5, 1.46, 43.6, 93.4)},
    "vla_pruner": {0.5: (22.5, 1.22, 50.0, 50.0), 0.6: (25.8, 1.39, 60.2, 60.2),
                   0.7: (21.7, 1.49, 69.9, 69.9), 0.8: (21.7, 1.57, 80.1, 80.1)},
    "tristage": {0.5: (47.5, 2.49, 39.0, 60.7), 0.6: (40.0, 2.48, 43.6, 66.1),
                 0.7: (46.3, 2.55, 54.7, 72.8), 0.8: (40.0, 2.51, 56.2, 76.4)},
}  # fmt: skip
TABLE_3 = {  # stages: success in percent, speedup
    frozenset[int](): (70.0, 1.00),
    frozenset({1}): (69.6, 1.22),
    frozenset({2}): (69.8, 1.34),
    frozenset({1, 3}): (62.2, 1.35),
    frozenset({2, 3}): (71.5, 1.84),
    frozenset({1, 2}): (71.1, 1.55),
    frozenset({1, 2, 3}): (70.0, 2.49),
}


def paper_table_2() -> Table:
    """Return the paper's comparison of the methods."""
    title = f"The paper's Table 2: mean of {', '.join(TABLE_2_TASKS[:-1])} and {TABLE_2_TASKS[-1]}"
    table = Table(title, ("method", "r %", "success %", "speedup", "pruned 2D / 3D %"))
    for method, by_rate in TABLE_2.items():
        for rate, (succeeded, speedup, pruned_2d, pruned_3d) in by_rate.items():
            cells = (f"{succeeded:.1f}", ratio(speedup), f"{pruned_2d:.0f} / {pruned_3d:.0f}")
            table.rows.append((LABELS[method], percent(rate) if rate else "", *cells))
    return table


def paper_table_3() -> Table:
    """Return the paper's ablation."""
    table = Table("The paper's Table 3", ("stages", "success %", "speedup"))
    for stages, (succeeded, speedup) in TABLE_3.items():
        table.rows.append((stages_label(stages), f"{succeeded:.1f}", ratio(speedup)))
    return table


def stages_label(stages: frozenset[int]) -> str:
    """Return a combination of stages for print."""
    return " + ".join(f"S{stage}" for stage in sorted(stages)) or "unpruned"
