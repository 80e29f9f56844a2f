"""What a table or a figure is: the episodes it needs, and the chapter it makes of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from matplotlib.figure import Figure

from tristage_ros.bench.model.table import Table
from tristage_ros.studies.cell import Cell, Job, Mode
from tristage_ros.studies.options import choice
from tristage_ros.studies.protocol import TRAINED, Family
from tristage_ros.studies.record import SHARES
from tristage_ros.studies.study import Study
from tristage_ros.studies.summary import Episodes, Summary, compare, summarise
from tristage_ros.studies.variant import UNPRUNED, Variant


@dataclass
class Chapter:
    """Hold what a part found: tables, pictures by file name, and the same as JSON."""

    title: str
    note: str = ""
    tables: list[Table] = field(default_factory=list)
    pictures: dict[str, Figure] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    headline: str = ""  # what a document begins with that has this chapter


@dataclass(frozen=True)
class Row:
    """Name one line of a table: a variant at all tasks of the part."""

    variant: Variant = UNPRUNED
    mode: Mode = "key frames"
    condition: str = "plain"
    course: bool = False  # whether its episodes are kept step by step
    tasks: tuple[str, ...] = ()  # other ones than the part's

    def cells(self, tasks: Sequence[str]) -> list[Cell]:
        """Return its cells."""
        return [Cell(task, self.variant, self.mode, self.condition, self.course) for task in tasks]


class Part(ABC):
    """Make one table or figure of the paper, or one of ours, from episodes of a study."""

    name: ClassVar[str]  # what the command calls it
    title: ClassVar[str]
    number: ClassVar[int]  # episodes of a row by custom; the command says how many of every task
    family: ClassVar[Family] = TRAINED
    first_task: ClassVar[bool] = False  # whether it is about the first task alone
    mode: ClassVar[Mode] = "key frames"
    takes: ClassVar[tuple[str, ...]] = ()  # of "methods" and "rates": what the command may choose of it

    def __init__(self, study: Study) -> None:
        """Take over the study's scope. Raises ValueError for what this part cannot be told or does not have."""
        for option in ("methods", "rates"):
            if getattr(study.scope, option) is not None and option not in self.takes:
                raise ValueError(f"--{option} does not fit {choice(self.name)} ({self.title}): leave it out there")
        self.study = study
        if not self.tasks:
            words = f"--tasks has none of {', '.join(self.family.tasks)}"
            raise ValueError(f"{words}, which {choice(self.name)} ({self.title}) is about")

    @property
    def tasks(self) -> tuple[str, ...]:
        """Return the tasks of this part, in the order in which the command says them."""
        chosen = self.study.scope.tasks or self.family.tasks
        tasks = tuple(task for task in chosen if task in self.family.tasks)
        return tasks[:1] if self.first_task else tasks

    def tasks_of(self, row: Row) -> tuple[str, ...]:
        """Return the tasks of a row."""
        return row.tasks or self.tasks

    @abstractmethod
    def rows(self) -> list[Row]:
        """Return what episodes it needs."""

    @abstractmethod
    def chapter(self) -> Chapter:
        """Return the chapter, from the episodes that are finished."""

    def measured(self) -> tuple[Counter[Mode], Counter[Mode]]:
        """Return what is measured beside its episodes: control steps timed, and episodes of the expert's watched."""
        return Counter(), Counter()

    def timed(self) -> Counter[Mode]:
        """Return how many control steps are timed to know the speed of every row."""
        modes = dict.fromkeys(row.mode for row in self.rows())
        return Counter({mode: self.study.stopwatch(mode).steps(self.together(mode)) for mode in modes})

    def together(self, mode: Mode) -> list[Variant]:
        """Return what is timed in one measurement, so that its speeds can be compared."""
        return list(dict.fromkeys(row.variant for row in self.rows() if row.mode == mode))

    def count(self, row: Row) -> int:
        """Return how many episodes every task of a row has by custom."""
        return self.share(self.number)

    def share(self, episodes: int) -> int:
        """Return how many of a row's episodes every task has; with fewer tasks it is as many of each."""
        return episodes if self.first_task else self.family.share(episodes)

    def seeds(self, row: Row) -> range:
        """Return the seeds of a row."""
        return self.study.seeds(self.count(row))

    def jobs(self) -> list[Job]:
        """Return all its episodes, seed by seed, so that whatever is finished can be compared in pairs."""
        wanted = [
            (seed, Job(cell, seed))
            for row in self.rows()
            for cell in row.cells(self.tasks_of(row))
            for seed in self.seeds(row)
        ]
        return [job for _, job in sorted(wanted, key=lambda pair: pair[0])]

    def row(self, variant: Variant = UNPRUNED) -> Row:
        """Return the row of a variant in the mode and condition of this part."""
        return Row(variant, self.mode, self.family.condition)

    def episodes(self, row: Row) -> Episodes:
        """Return the finished episodes of a row."""
        return self.study.finished(row.cells(self.tasks_of(row)), self.seeds(row))

    def summary(self, row: Row) -> Summary | None:
        """Return a row's figures, compared with the unpruned row of its mode and condition."""
        return summarise(self.episodes(row), self.episodes(replace(row, variant=UNPRUNED)))

    def found(self) -> list[tuple[Row, Summary]]:
        """Return the rows of which an episode is finished, with their figures."""
        found = [(row, self.summary(row)) for row in self.rows()]
        return [(row, summary) for row, summary in found if summary is not None]

    def contest(self, first: Row, second: Row) -> str:
        """Return how the first row's success compares with the second's, for print; empty without episodes."""
        result = compare(self.episodes(first), self.episodes(second))
        return "" if result is None else f"{points(result.difference)} (p = {result.p_value:.3g}, n = {result.n})"


def percent(share: float) -> str:
    """Return a share as whole percent for print."""
    return f"{100 * share:.0f}"


def points(share: float) -> str:
    """Return a difference of shares in percentage points for print."""
    return f"{100 * share:+.1f}"


def success(summary: Summary) -> str:
    """Return success in percent with its interval for print."""
    found = summary.success
    return f"{100 * found.rate:.1f} [{100 * found.low:.1f}, {100 * found.high:.1f}]"


def against(summary: Summary) -> str:
    """Return the difference to unpruned with its interval for print."""
    found = summary.against
    if found is None:
        return ""
    return f"{points(found.difference)} [{points(found.low)}, {points(found.high)}]"


def p_value(summary: Summary) -> str:
    """Return the p value of the difference to unpruned for print."""
    return "" if summary.against is None else f"{summary.against.p_value:.3g}"


def shares(summary: Summary, kind: str) -> str:
    """Return which shares of the patches with 3D tokens were left 2D, both and 3D, for print: "kept" or "stage1"."""
    return " / ".join(percent(summary.rates[f"{kind}_{share}"]) for share in SHARES)


def pruned(summary: Summary) -> str:
    """Return the shares of 2D and of 3D tokens that were pruned, for print."""
    return f"{percent(summary.rates['rate_2d'])} / {percent(summary.rates['rate_3d'])}"
