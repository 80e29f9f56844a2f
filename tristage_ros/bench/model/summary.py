"""The few figures that decide, beside what was aimed at."""

from __future__ import annotations

from tristage_ros.bench.model.steps import CORNER_RATE, StepFigures, find
from tristage_ros.bench.model.table import Table, percent, ratio

AIMS = {  # by size: pruned over unpruned, cached over recompute, best over recompute, overhead
    "mini": (2.3, 4.5, 0.0, 0.02),
    "7b": (2.55, 2.0, 6.0, 0.01),
}


def summary_table(size: str, figures: list[StepFigures], parts: dict[str, float]) -> Table:
    """Return the table of the deciding figures; the aims are left blank for sizes that have none."""
    pruned, best = (find(figures, engine, "tristage", CORNER_RATE) for engine in ("recompute", "cached"))
    cached = find(figures, "cached", "none", 0.0)
    aims = AIMS.get(size)
    pruning, caching, both, overhead = aims if aims else (0.0, 0.0, 0.0, 0.0)
    rows = [
        ("tri-stage over unpruned, recompute, r = 70 %", ratio(pruned.over_recompute), _at_least(pruning)),
        ("cached over recompute, unpruned", ratio(cached.over_recompute), _at_least(caching)),
        ("cached and pruned over recompute, unpruned", ratio(best.over_recompute), _at_least(both)),
        ("tri-stage over unpruned, cached", ratio(best.over_cached), ""),
        ("control step, cached and pruned", f"{best.milliseconds:.1f} ms", ""),
        (
            "method overhead, of the cached, unpruned step",
            percent(parts["method"] / parts["unpruned_cached"]),
            f"<= {percent(overhead)}" if overhead else "",
        ),
        ("method overhead, of the cached, pruned step", percent(parts["method"] / parts["step"]), ""),
        ("method overhead, of the recompute, pruned step", percent(parts["method"] / parts["pruned_recompute"]), ""),
    ]
    return Table("Summary", ("figure", "measured", "aim"), rows)


def _at_least(aim: float) -> str:
    return f">= {ratio(aim)}" if aim else ""
