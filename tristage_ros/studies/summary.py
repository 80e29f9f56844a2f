"""From finished episodes to the figures of a row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from statistics import fmean, median
from typing import Any

from tristage_ros.reports.statistics import Paired, Proportion, paired, proportion
from tristage_ros.studies.record import PRUNING, Record

Episodes = Mapping[tuple[str, int], Record]  # by task and seed


@dataclass(frozen=True)
class Summary:
    """Hold what a row says of its episodes; rates are means over all control steps, refreshed ones included.

    With several tasks, intervals are those of all episodes together: every task has as many.
    """

    success: Proportion
    by_task: dict[str, Proportion]
    against: Paired | None  # the unpruned policy, on the episodes that both have finished
    key_frames: float  # control steps of a successful episode, mean; NaN where none succeeded
    steps: float  # of any episode, mean
    rates: dict[str, float]  # of PRUNING, and "pruned", the share of the steps that were
    ms: float  # median of the episodes' means, as they ran, in parallel processes

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return asdict(self)


def summarise(episodes: Episodes, reference: Episodes | None = None) -> Summary | None:
    """Return the summary of a row, None before its first episode is finished."""
    if not episodes:
        return None
    records = list(episodes.values())
    tasks = list(dict.fromkeys(task for task, _ in episodes))
    by_task = {task: proportion([r.success for (t, _), r in episodes.items() if t == task]) for task in tasks}
    lengths = [record.length for record in records if record.success]
    return Summary(
        success=proportion([record.success for record in records]),
        by_task=by_task,
        against=None if reference is None else compare(episodes, reference),
        key_frames=fmean(lengths) if lengths else float("nan"),
        steps=fmean(record.length for record in records),
        rates={name: over_steps(records, name) for name in (*PRUNING, "pruned")},
        ms=median(record.ms for record in records),
    )


def compare(first: Episodes, second: Episodes) -> Paired | None:
    """Compare two rows on the episodes that both have finished; None where there is none."""
    common = [key for key in first if key in second]
    if not common:
        return None
    return paired([first[key].success for key in common], [second[key].success for key in common])


def over_steps(records: Iterable[Record], name: str) -> float:
    """Return the mean of a quantity over all control steps; 0 where there are none."""
    known = list(records)
    steps = sum(record.length for record in known)
    return sum(record.length * record.mean(name) for record in known) / max(steps, 1)
