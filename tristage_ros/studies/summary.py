"""From finished episodes to the figures of a row, and how sure a difference is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, median
from typing import Any

from scipy.stats import binomtest

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


# Intervals and tests for successes counted on the same seeds.


@dataclass(frozen=True)
class Proportion:
    """Hold a success rate with its 95 % interval after Wilson."""

    successes: int
    n: int
    low: float
    high: float

    @property
    def rate(self) -> float:
        """Return the share of successes, 0..1."""
        return self.successes / self.n


@dataclass(frozen=True)
class Paired:
    """Hold the difference of two success rates on the same episodes."""

    difference: float  # -1..1, first minus second
    low: float  # of the 95 % interval
    high: float
    p_value: float  # of McNemar's exact test, two-sided
    only_first: int  # episodes that succeeded with the first alone
    only_second: int
    n: int


def proportion(outcomes: Sequence[bool]) -> Proportion:
    """Return the success rate of `outcomes`. Raises ValueError when there are none."""
    if not outcomes:
        raise ValueError("no outcomes: a success rate needs at least one episode")
    interval = binomtest(sum(outcomes), len(outcomes)).proportion_ci(method="wilson")
    return Proportion(sum(outcomes), len(outcomes), float(interval.low), float(interval.high))


def paired(first: Sequence[bool], second: Sequence[bool]) -> Paired:
    """Compare outcomes of the same episodes, in the same order.

    The interval is Newcombe's hybrid of two Wilson intervals for paired proportions (Statistics in Medicine 17, 1998,
    method 10): unlike a bootstrap it does not collapse where no episode differs.

    Raises:
        ValueError: there are none, or not as many of each.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} outcomes cannot be paired with {len(second)}")
    a, b = proportion(first), proportion(second)
    pairs = list(zip(first, second, strict=True))
    only_first, only_second = pairs.count((True, False)), pairs.count((False, True))
    phi = _correlation(pairs.count((True, True)), only_first, only_second, pairs.count((False, False)))
    difference = a.rate - b.rate
    below = _combined(a.rate - a.low, b.high - b.rate, phi)
    above = _combined(a.high - a.rate, b.rate - b.low, phi)
    differing = only_first + only_second
    p_value = float(binomtest(only_first, differing).pvalue) if differing else 1.0
    return Paired(difference, difference - below, difference + above, p_value, only_first, only_second, a.n)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values, in their order, adjusted for being so many (Holm, Scand. J. Statist. 6, 1979)."""
    adjusted, least = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        least = max(least, min((len(p_values) - rank) * p_values[place], 1.0))
        adjusted[place] = least
    return adjusted


def _combined(one: float, other: float, phi: float) -> float:
    return math.sqrt(max(one**2 - 2 * phi * one * other + other**2, 0.0))


def _correlation(both: int, only_first: int, only_second: int, neither: int) -> float:
    """Return the correlation of the pairs, with the continuity correction of the method."""
    n = both + only_first + only_second + neither
    margins = (both + only_first) * (only_second + neither) * (both + only_second) * (only_first + neither)
    if margins == 0:
        return 0.0
    covariance = float(both * neither - only_first * only_second)
    if covariance > 0:
        covariance = max(covariance - n / 2, 0.0)
    return covariance / math.sqrt(margins)
