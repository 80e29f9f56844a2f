"""How sure a difference is that was seen on the same episodes: intervals and tests for successes and for means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np
from scipy.stats import binom, binomtest
from scipy.stats import t as student


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


LEVEL = 0.05  # of a test, two-sided
POWER = 0.8  # of a difference to be shown


def smallest_difference(n: int, differing: float = 0.0) -> float | None:
    """Return the least true difference of two success rates that McNemar's exact test shows with a power of `POWER`.

    Args:
        n: pairs of episodes.
        differing: share of the pairs with one success, 0..1, as it was seen. A difference above it makes more of them,
            all of one direction; so 0 asks for the least that n pairs can show at all.

    Returns:
        It, 0..1; None where not even success against failure in every pair would be significant.
    """
    if _power(n, 1.0, differing) < POWER:
        return None
    low, high = 0.0, 1.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (low, middle) if _power(n, middle, differing) >= POWER else (middle, high)
    return high


def _power(n: int, difference: float, differing: float) -> float:
    """Return how likely n pairs show `difference`: the pairs that differ are binomial, and so are the first's of them.

    Connor (Biometrics 43, 1987) has it with normal approximations, which are far off for as few as a person can do.
    """
    share = max(difference, differing)
    if share == 0.0:
        return 0.0
    numbers = np.arange(n + 1)
    needed = binom.isf(LEVEL / 2, numbers, 0.5)  # more than so many of them in one direction are significant
    shown = binom.sf(needed, numbers, min((share + difference) / (2 * share), 1.0))
    return float(np.nansum(binom.pmf(numbers, n, share) * shown))


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


# What is not counted but measured.


@dataclass(frozen=True)
class Change:
    """Hold a mean and the mean difference to another one of the same episodes, with its 95 % interval."""

    mean: float
    difference: float
    low: float  # of Student's interval; NaN for a single episode
    high: float
    n: int

    def in_words(self, compared: bool = True) -> str:
        """Return it for print, the difference where it is `compared`."""
        return self.own + (f" ({self.span})" if compared and self.n > 1 else "")

    @property
    def own(self) -> str:
        """Return the mean, for print."""
        return f"{self.mean:.{_digits(self.mean)}f}"

    @property
    def other(self) -> str:
        """Return the other's mean, for print."""
        return f"{self.mean - self.difference:.{_digits(self.mean)}f}"

    @property
    def span(self) -> str:
        """Return the difference and its interval, for print; a single episode has none."""
        digits = _digits(self.mean)
        interval = f" [{self.low:+.{digits}f}, {self.high:+.{digits}f}]" if self.n > 1 else ""
        return f"{self.difference:+.{digits}f}{interval}"


def change(values: Sequence[float], others: Sequence[float]) -> Change:
    """Return how `values` differ from `others` of the same episodes, in the same order; there is at least one."""
    differences = [one - other for one, other in zip(values, others, strict=True)]
    n, middle = len(values), fmean(differences)
    half = stdev(differences) / math.sqrt(n) * float(student.ppf(0.975, n - 1)) if n > 1 else math.nan
    return Change(fmean(values), middle, middle - half, middle + half, n)


def _digits(value: float) -> int:
    """Return the digits behind the point that three significant ones need."""
    return max(0, 2 - math.floor(math.log10(abs(value)))) if value else 2
