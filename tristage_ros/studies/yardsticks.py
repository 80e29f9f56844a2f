"""What success leaves out: time and way of the episodes that a row and the unpruned policy both solved.

Pruning can lengthen a task that it does not fail (arXiv 2603.19131). Smoothness is a matter of continuous control
alone: by key frames the arm stands still between two of them, whatever prunes.
"""

from __future__ import annotations

from collections.abc import Callable

from tristage_ros.reports.statistics import Change, change
from tristage_ros.studies.record import Record
from tristage_ros.studies.summary import Episodes

YARDSTICKS: dict[str, Callable[[Record], float | None]] = {
    "time s": lambda record: record.seconds,
    "way m": lambda record: record.path,
    "jerk rad/s³": lambda record: record.jerk,
    "reversals": lambda record: record.reversals,
}


def changes(first: Episodes, unpruned: Episodes) -> dict[str, Change]:
    """Return the yardsticks by name; none where no episode was solved by both."""
    solved = [key for key in first if first[key].success and key in unpruned and unpruned[key].success]
    found: dict[str, Change] = {}
    for name, measure in YARDSTICKS.items():
        pairs = [(measure(first[key]), measure(unpruned[key])) for key in solved]
        known = [(one, other) for one, other in pairs if one is not None and other is not None]
        if known:
            found[name] = change([one for one, _ in known], [other for _, other in known])
    return found
