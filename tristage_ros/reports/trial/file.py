"""The file of a trial: what was fixed before it began, and how each of its runs ended; written whole or not at all."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from tristage_ros.graph.arguments import PIPER_PICK, GraphError, resolve
from tristage_ros.json_text import parse
from tristage_ros.resources import read_text
from tristage_ros.words import one_line, shown

FILE, EPISODES, LOGS = "trial.json", "episodes", "logs"
SUCCESS, FAILURE, ABORT = "success", "failure", "abort"  # an abort is a failure whose reason is the operator's
OUTCOMES = (SUCCESS, FAILURE, ABORT)
DONE = "the task is done"  # why a success ended
OPERATOR, CELL = "operator", "cell"  # who judges
SIDES = ("a", "b")
MOST_PAIRS = 10_000
# From where the seed is drawn: below those that were trained on, above those that studies run.
SEEDS = range(1_000_000, 4_000_000)


class TrialError(ValueError):
    """Say what is wrong with a trial, or with what was asked of it; the message is one line for a person."""


@dataclass(frozen=True)
class Plan:
    """Hold what is fixed before the first run, so that no outcome can have a say in it."""

    a: dict[str, str]  # launch arguments
    b: dict[str, str]
    n: int  # pairs
    seed: int  # of the order; the scene of pair p has seed + p
    judge: str = OPERATOR
    max_seconds: float = 60.0  # a run ends by itself then

    @staticmethod
    def drawn() -> int:
        """Return a seed that nobody chose."""
        return random.SystemRandom().choice(SEEDS)

    def order(self) -> list[str]:
        """Return for each pair which side is run first and which second: `ab` or `ba`."""
        draw = random.Random(self.seed)
        return [draw.choice(("ab", "ba")) for _ in range(self.n)]

    def difference(self, other: Plan) -> str:
        """Return in what another plan differs, as `n is 20, not 30`; empty where it is the same."""
        for part in fields(Plan):
            mine, theirs = getattr(self, part.name), getattr(other, part.name)
            if part.name in SIDES:
                mine, theirs = (resolve(PIPER_PICK, given) for given in (mine, theirs))
                unlike = next((name for name in mine if mine[name] != theirs[name]), "")
                if unlike:
                    return f"{unlike} of {part.name} is {mine[unlike] or 'empty'}, not {theirs[unlike] or 'empty'}"
            elif mine != theirs:
                return f"{part.name} is {mine}, not {theirs}"
        return ""


@dataclass(frozen=True)
class Result:
    """Hold how one run ended."""

    pair: int  # from 1
    place: int  # in its pair, 1 or 2
    outcome: str
    reason: str  # why it ended
    seconds: float  # from when the arm could move until it ended; of a success, until the task was done
    episode: int  # its number in the folder of episodes; 0: there is none


@dataclass(frozen=True)
class Trial:
    """Hold a trial as it stands; `results` are in the order in which they ended."""

    folder: Path
    plan: Plan
    order: list[str]
    results: list[Result] = field(default_factory=list)

    @property
    def next(self) -> tuple[int, int] | None:
        """Return pair and place of the next run, None when all are done."""
        done = len(self.results)
        return None if done == 2 * self.plan.n else (done // 2 + 1, done % 2 + 1)

    def side(self, pair: int, place: int) -> str:
        """Return which of the two is run there: `a` or `b`."""
        return self.order[pair - 1][place - 1]

    def arguments(self, pair: int, place: int) -> dict[str, str]:
        """Return the launch arguments of a run: those of its side, and the scene's seed."""
        given: dict[str, str] = getattr(self.plan, self.side(pair, place))
        return given | {"seed": str(self.plan.seed + pair)}

    def of(self, side: str) -> list[Result]:
        """Return the results of a side, by pair."""
        return [result for result in self.results if self.side(result.pair, result.place) == side]

    def with_result(self, result: Result) -> Trial:
        """Return it with one more result, which is on the disk then.

        Raises:
            OSError: it cannot be written; the file is as it was.
        """
        grown = replace(self, results=[*self.results, result])
        grown.write()
        return grown

    def write(self) -> None:
        """Write the file in place of the one that is there; it is on the disk afterwards.

        Raises:
            OSError: it cannot be written; the one before is left as it was.
        """
        content = {
            "plan": asdict(self.plan),
            "order": self.order,
            "results": [asdict(result) for result in self.results],
        }
        write_json(self.folder / FILE, content)


def opened(folder: Path, wanted: Plan | None = None, any_seed: bool = False) -> Trial | None:
    """Return the trial in `folder`, None where there is none yet.

    Args:
        folder: its folder.
        wanted: what it has to be a trial of; None: whatever it is.
        any_seed: it may have another seed.

    Raises:
        TrialError: the file is damaged, or is that of another trial.
        OSError: it cannot be read.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        trial = _of(folder, parse(read_text(path)))
    except (ValueError, TypeError, KeyError) as error:
        told = f"there is no {error}" if isinstance(error, KeyError) else one_line(error)
        raise TrialError(f"{path} is damaged: {told}; nothing was changed: mend it, or choose another --out") from error
    if wanted and any_seed:
        wanted = replace(wanted, seed=trial.plan.seed)
    if wanted and (unlike := trial.plan.difference(wanted)):
        raise TrialError(
            f"{folder} is another trial, whose {unlike}: what was planned before is not changed afterwards; "
            "type it as it was, or choose another --out"
        )
    return trial


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a file in place of the one that is there; it is on the disk afterwards.

    Raises:
        OSError: it cannot be written; the one before is left as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(content, file, indent=1, ensure_ascii=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise


def _of(folder: Path, content: Mapping[str, Any]) -> Trial:
    plan = Plan(**content["plan"])
    kinds = {"a": dict, "b": dict, "n": int, "seed": int, "judge": str, "max_seconds": (int, float)}
    for name, kind in kinds.items():
        if not isinstance(getattr(plan, name), kind):
            raise ValueError(f"{name} is {shown(getattr(plan, name))}")
    if not 1 <= plan.n <= MOST_PAIRS:
        raise ValueError(f"n is {shown(plan.n)}")
    for given in (plan.a, plan.b):
        try:
            resolve(PIPER_PICK, given)
        except (GraphError, AttributeError) as error:
            raise ValueError(str(error)) from error
    order = content["order"]
    if order != plan.order():
        raise ValueError("the order is not that of its seed")
    results = [Result(**result) for result in content["results"]]
    for number, result in enumerate(results):
        expected = (number // 2 + 1, number % 2 + 1)
        if (result.pair, result.place) != expected or number >= 2 * plan.n:
            raise ValueError(f"result {number + 1} is of pair {shown(result.pair)}, place {shown(result.place)}")
        if result.outcome not in OUTCOMES or not isinstance(result.seconds, (int, float)):
            raise ValueError(f"result {number + 1} is {shown(result.outcome)} after {shown(result.seconds)} s")
        if not isinstance(result.episode, int) or not isinstance(result.reason, str):
            raise ValueError(f"result {number + 1} has episode {shown(result.episode)}, reason {shown(result.reason)}")
    return Trial(folder, plan, order, results)
