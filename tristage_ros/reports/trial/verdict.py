"""What a trial came to, once all of it is done: rates, their difference, and what else the runs that succeeded tell."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tristage_ros.bags.episodes.episode import EpisodeError
from tristage_ros.bags.episodes.folder import Collection
from tristage_ros.bags.reader import BagError
from tristage_ros.reports.statistics import Change, Paired, Proportion, change, paired, proportion, smallest_difference
from tristage_ros.reports.trial.file import ABORT, EPISODES, SIDES, SUCCESS, Result, Trial, TrialError
from tristage_ros.reports.trial.measures import Measures, measured

VERDICT = "verdict.json"
YARDSTICKS: dict[str, Callable[[Result, Measures], float | None]] = {
    "time to success, s": lambda result, measures: result.seconds,
    "path of the tool, m": lambda result, measures: measures.path,
    "jerk, rad/s³": lambda result, measures: measures.jerk,
    "reversals, %": lambda result, measures: None if measures.reversals is None else 100 * measures.reversals,
}


@dataclass(frozen=True)
class Side:
    """Hold what one way to run came to."""

    success: Proportion
    aborts: int
    refused: int  # chunks
    faults: int  # of the arm
    ended: dict[str, int]  # why the runs that did not succeed ended, the most frequent first


@dataclass(frozen=True)
class Verdict:
    """Hold what a trial came to. Differences are b minus a."""

    n: int  # pairs
    a: Side
    b: Side
    difference: Paired  # its first is b
    smallest: float | None  # that so many pairs, differing as often as these, show with a power of 0.8
    solved: int  # pairs in which both succeeded, of which the changes are
    changes: dict[str, Change]
    unread: list[str]  # bags that could not be

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold, None what is unknown."""
        content = _plain(asdict(self))
        content["difference"]["only_b"] = content["difference"].pop("only_first")
        content["difference"]["only_a"] = content["difference"].pop("only_second")
        return content


def verdict(trial: Trial, told: Callable[[str], None] = lambda line: None) -> Verdict:
    """Return the verdict on a trial; `told` is told which bag is being read.

    Raises:
        TrialError: it is not done yet.
    """
    if trial.next:
        raise TrialError(f"{trial.folder}: {progress(trial)}; there is a verdict once all are")
    unread: list[str] = []
    of_episode: dict[int, Measures] = {}
    for number in dict.fromkeys(result.episode for result in trial.results):
        told(f"reading episode {number}")
        try:
            of_episode[number] = measured(Collection(trial.folder / EPISODES).place(number).bag)
        except (BagError, EpisodeError) as error:
            of_episode[number] = Measures()
            unread.append(str(error))
    measures = {result: of_episode[result.episode] for result in trial.results}
    first, second = (trial.of(side) for side in SIDES)
    sides = [_side(results, measures) for results in (first, second)]
    difference = paired(*([result.outcome == SUCCESS for result in results] for results in (second, first)))
    both = [(a, b) for a, b in zip(first, second, strict=True) if a.outcome == b.outcome == SUCCESS]
    changes = {}
    for name, measure in YARDSTICKS.items():
        pairs = [(measure(a, measures[a]), measure(b, measures[b])) for a, b in both]
        known = [(a, b) for a, b in pairs if a is not None and b is not None]
        if known:
            changes[name] = change([b for _, b in known], [a for a, _ in known])
    share = (difference.only_first + difference.only_second) / trial.plan.n
    smallest = smallest_difference(trial.plan.n, share)
    return Verdict(trial.plan.n, sides[0], sides[1], difference, smallest, len(both), changes, unread)


def progress(trial: Trial) -> str:
    """Return how far it is, in words that say nothing of either side."""
    counts = Counter(result.outcome for result in trial.results)
    parts = ", ".join(f"{counts[outcome]} {outcome}" for outcome in sorted(counts))
    return f"{len(trial.results)} of {2 * trial.plan.n} runs done" + (f": {parts}" if parts else "")


def _side(results: list[Result], measures: dict[Result, Measures]) -> Side:
    ended = Counter(result.reason for result in results if result.outcome != SUCCESS)
    return Side(
        proportion([result.outcome == SUCCESS for result in results]),
        sum(result.outcome == ABORT for result in results),
        sum(measures[result].refused for result in results),
        sum(measures[result].faults for result in results),
        dict(ended.most_common()),
    )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


# In words, for terminal and page alike.

NAMES = ("", "a", "b", "b - a")


def in_words(run: Mapping[str, str]) -> str:
    """Return launch arguments as they are typed."""
    return " ".join(f"{name}:={value}" for name, value in run.items()) or "as it is by default"


def rows(found: Verdict) -> list[tuple[str, str, str, str]]:
    """Return the lines of its table, under `NAMES`."""
    sides, paired_ = (found.a, found.b), found.difference
    interval = f"[{100 * paired_.low:+.1f}, {100 * paired_.high:+.1f}]"
    table = [
        ("success", *map(_rate, sides), f"{100 * paired_.difference:+.1f} points {interval}, p = {paired_.p_value:.3g}")
    ]
    table += [(name, moved.other, moved.own, moved.span) for name, moved in found.changes.items()]
    for name in ("aborts", "faults", "refused"):
        first, second = (getattr(side, name) for side in sides)
        table.append(("chunks refused" if name == "refused" else name, str(first), str(second), f"{second - first:+d}"))
    return table


def sentences(found: Verdict) -> list[str]:
    """Return what its table says and does not say, a line each."""
    seen, low, high = (
        100 * value for value in (found.difference.difference, found.difference.low, found.difference.high)
    )
    only_b, only_a = found.difference.only_first, found.difference.only_second
    alone = f"of {_pairs(found.n)} a alone succeeded in {only_a}, b alone in {only_b}"
    if found.difference.p_value <= 0.05:
        better, worse = ("b", "a") if seen > 0 else ("a", "b")
        lines = [f"{better} succeeds more often than {worse}: {alone}."]
    else:
        lines = [
            f"No difference in success was shown ({alone}), which does not say that there is none: "
            f"it may be anything from {low:+.0f} to {high:+.0f} points."
        ]
    lines.append(least(found.n, found.smallest))
    if found.solved:
        lines.append(
            f"Times, paths, jerk and reversals: means over the {_pairs(found.solved)} in which both succeeded, and "
            "Student's interval of the difference. Intervals are of 95 %."
        )
    else:
        lines.append("In no pair both succeeded, so that nothing is said of times and paths. Intervals are of 95 %.")
    return lines


def least(n: int, smallest: float | None, seen: str = ", of which as many differ as did here,") -> str:
    """Return what `n` pairs can show."""
    if smallest is None:
        return f"{_pairs(n)} can show no difference, however large: six are the least."
    return f"{_pairs(n)}{seen} show a difference of {100 * smallest:.0f} points or more (in 4 of 5 trials)."


def _pairs(n: int) -> str:
    return f"{n} pair{'' if n == 1 else 's'}"


def _rate(side: Side) -> str:
    found = side.success
    return f"{found.successes} of {found.n}, {100 * found.rate:.0f} % [{100 * found.low:.0f}, {100 * found.high:.0f}]"
