"""The figures of the paper (arXiv 2604.09244) that ours stand beside."""

from __future__ import annotations

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
