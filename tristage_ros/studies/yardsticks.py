"""What success leaves out: time and way of the episodes that a row and the unpruned policy both solved.

Pruning can lengthen a task that it does not fail (arXiv 2603.19131). Smoothness is a matter of continuous control
alone: by key frames the arm stands still between two of them, whatever prunes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy.stats import t as student

from tristage_ros.studies.record import Record
from tristage_ros.studies.summary import Episodes

YARDSTICKS: dict[str, Callable[[Record], float | None]] = {
    "time s": lambda record: record.seconds,
    "way m": lambda record: record.path,
    "jerk rad/s³": lambda record: record.jerk,
    "reversals": lambda record: record.reversals,
}


@dataclass(frozen=True)
class Change:
    """Hold a mean and the mean difference to the unpruned policy's on the same episodes, with its 95 % interval."""

    mean: float
    difference: float
    low: float  # of Student's interval; NaN for a single episode
    high: float
    n: int

    def in_words(self, compared: bool = True) -> str:
        """Return it for print, the difference where it is `compared`."""
        digits = _digits(self.mean)
        span = f"{self.difference:+.{digits}f} [{self.low:+.{digits}f}, {self.high:+.{digits}f}]"
        return f"{self.mean:.{digits}f}" + (f" ({span})" if compared and self.n > 1 else "")


def changes(first: Episodes, unpruned: Episodes) -> dict[str, Change]:
    """Return the yardsticks by name; none where no episode was solved by both."""
    solved = [key for key in first if first[key].success and key in unpruned and unpruned[key].success]
    found: dict[str, Change] = {}
    for name, measure in YARDSTICKS.items():
        pairs = [(measure(first[key]), measure(unpruned[key])) for key in solved]
        known = [(one, other) for one, other in pairs if one is not None and other is not None]
        if known:
            found[name] = _change([one for one, _ in known], [one - other for one, other in known])
    return found


def _change(values: Sequence[float], differences: Sequence[float]) -> Change:
    n, middle = len(values), fmean(differences)
    half = stdev(differences) / math.sqrt(n) * float(student.ppf(0.975, n - 1)) if n > 1 else math.nan
    return Change(fmean(values), middle, middle - half, middle + half, n)


def _digits(value: float) -> int:
    """Return the digits behind the point that three significant ones need."""
    return max(0, 2 - math.floor(math.log10(abs(value)))) if value else 2
