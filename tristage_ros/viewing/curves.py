"""What a control step amounts to, as curves: pruning rates by stage, salience, milliseconds by part."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tristage_ros.viewing.logger.wire import Record

STAGES = ("stage 1", "stage 2", "fused", "applied")
SETS = ("background", "robot", "object")
PARTS = ("preprocess", "tokens", "pruning", "prefill", "denoise", "total")
# 2D in blues, 3D in oranges, as the overlay has them.
BLUES = ((85, 110, 150), (80, 130, 190), (100, 165, 230), (150, 210, 255))
ORANGES = ((140, 100, 60), (180, 115, 40), (220, 130, 20), (255, 175, 70))
OF_PARTS = ((0, 158, 115), (86, 180, 233), (230, 159, 0), (0, 114, 178), (204, 121, 167), (210, 210, 210))
CURVES = {  # by entity: names, colours, widths
    "pruned/2d": ([f"2D {stage}" for stage in STAGES], BLUES, (1.0, 1.0, 1.0, 2.5)),
    "pruned/3d": ([f"3D {stage}" for stage in STAGES], ORANGES, (1.0, 1.0, 1.0, 2.5)),
    "salience/2d": (["2D stage 1", *(f"2D {name}" for name in SETS)], BLUES, (2.5, 1.0, 1.0, 1.0)),
    "salience/3d": (["3D stage 1", *(f"3D {name}" for name in SETS)], ORANGES, (2.5, 1.0, 1.0, 1.0)),
    "milliseconds": (list(PARTS), OF_PARTS, (1.5, 1.5, 1.5, 1.5, 1.5, 2.5)),
}


def styles() -> Iterator[Record]:
    """Yield what the curves are called and look like."""
    for path, (names, colors, widths) in CURVES.items():
        yield Record(path, "SeriesLines", {"names": names, "colors": np.array(colors, np.uint8), "widths": widths})


def pruning(message: Any, time: int) -> Iterator[Record]:
    """Yield the shares that each stage would prune, and the mean salience, of a PruningStats."""
    m = message
    yield _point("pruned/2d", m.stage_rates_2d, time)
    yield _point("pruned/3d", m.stage_rates_3d, time)
    yield _point("salience/2d", [m.salience_2d_stage1, *m.salience_2d_by_set], time)
    yield _point("salience/3d", [m.salience_3d_stage1, *m.salience_3d_by_set], time)


def timings(message: Any, time: int) -> Iterator[Record]:
    """Yield the milliseconds of a StageTimings; those of a look, of which nothing was carried out, are left out."""
    if message.step:
        yield _point("milliseconds", [*message.parts_ms, message.total_ms], time)


def _point(path: str, values: Any, time: int) -> Record:
    return Record(path, "Scalars", {"scalars": np.array(values, np.float64)}, time)
