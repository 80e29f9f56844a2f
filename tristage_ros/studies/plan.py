"""What an evaluation would run, and how long that takes here, by episodes that are finished."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from tristage_ros.bench.model.table import Table
from tristage_ros.bench.model.timing import one_thread
from tristage_ros.studies.cell import MODES, Cell, Job, Mode
from tristage_ros.studies.options import choice
from tristage_ros.studies.parts import PARTS
from tristage_ros.studies.progress import in_words
from tristage_ros.studies.study import Study


@dataclass(frozen=True)
class Plan:
    """Say what a part runs."""

    part: str
    rows: int
    tasks: tuple[str, ...]
    episodes: int  # in all
    finished: int
    missing: tuple[Job, ...]  # the others, without those that parts before it run
    steps: dict[Mode, int]  # control steps that are measured beside them
    watched: dict[Mode, int]  # episodes of the expert that the model watches, which are measured

    @staticmethod
    def of(name: str, study: Study, others: Iterable[Plan] = ()) -> Plan:
        """Return the plan of a part that runs after `others`.

        Raises:
            ValueError: an option does not fit the part.
        """
        part = PARTS[name](study)
        rows, jobs = part.rows(), list(dict.fromkeys(part.jobs()))
        before, unfinished = {job for plan in others for job in plan.missing}, study.store.missing(jobs)
        missing = tuple(job for job in unfinished if job not in before)
        steps, watched = part.measured()
        tasks = tuple(dict.fromkeys(job.cell.task for job in jobs)) or part.tasks
        finished = len(jobs) - len(unfinished)
        return Plan(name, len(set(rows)), tasks, len(jobs), finished, missing, steps, watched)

    @property
    def unbegun(self) -> bool:
        """Tell whether it is made of episodes, and none is finished."""
        return self.episodes > 0 == self.finished

    @property
    def modes(self) -> set[Mode]:
        """Return the modes in which something is run."""
        asked = Counter(job.cell.mode for job in self.missing) + Counter(self.steps) + Counter(self.watched)
        return {mode for mode in MODES if asked[mode]}

    def seconds(self, paces: dict[Mode, Pace], processes: int) -> float | None:
        """Return about how long it takes where `processes` run episodes, by paces; None where one is not known."""
        if not self.modes <= paces.keys():
            return None
        beside = sum(n * paces[mode].step for mode, n in self.steps.items() if n)
        beside += sum(n * paces[mode].episode for mode, n in self.watched.items() if n)
        return beside + sum(paces[job.cell.mode].episode for job in self.missing) / max(processes, 1)

    def __str__(self) -> str:
        """Return what it runs, for print."""
        count = "all" if self.finished == self.episodes else str(self.finished)
        known = f" ({count} of them finished)" if self.finished else ""
        words = f"{self.rows} rows, {self.episodes} episodes{known}" if self.episodes else "no episodes"
        measured = sum(self.steps.values())
        beside = f", {measured} control steps to be timed" if measured else ""
        return f"{PARTS[self.part].title}: {words} of {', '.join(self.tasks)}{beside}"


def plans_of(names: Sequence[str], study: Study) -> list[Plan]:
    """Return the plans of parts that run one after the other. Raises ValueError where an option does not fit one."""
    plans: list[Plan] = []
    for name in names:
        plans.append(Plan.of(name, study, plans))
    return plans


@dataclass(frozen=True)
class Pace:
    """Say how long an episode takes on this machine, and how long one of its control steps, s, means."""

    episode: float
    step: float


def paces(study: Study, modes: Iterable[Mode]) -> dict[Mode, Pace]:
    """Return the paces in the modes, by the study's finished episodes; by one that is run now where there is none.

    On a cluster none is run here: what it would take says nothing of the machines there.
    """
    found: dict[Mode, Pace] = {}
    for mode in sorted(modes):
        timed = [
            record for record in study.store.records() if record.took and record.ms and f"| {mode} |" in record.cell
        ]
        if not timed and not study.spread.cluster:
            job = Job(Cell(study.tasks[0], mode=mode), study.scope.seed)
            with one_thread():
                timed = [study.attempts(mode).run(job)]
            study.store.add(timed[0])
        if timed:
            found[mode] = Pace(fmean(record.took for record in timed), fmean(record.ms for record in timed) / 1e3)
    return found


def at_a_time(study: Study) -> int:
    """Return how many episodes run at a time."""
    asked = study.spread.processes
    return asked if study.spread.cluster else min(asked, os.cpu_count() or asked)


def announced(plans: Sequence[Plan], study: Study) -> Iterator[str]:
    """Yield what is going to be run, a line each, and then, when it is known, how long that takes."""
    yield from map(str, plans)
    known = paces(study, set().union(*(plan.modes for plan in plans)))
    times = [plan.seconds(known, at_a_time(study)) for plan in plans]
    where = "on the cluster" if study.spread.cluster else "on this machine"
    if None in times:
        yield f"how long that takes {where} is known once an episode is finished"
        return
    by = ", ".join(f"{pace.episode:.1f} s an episode by {mode}" for mode, pace in known.items())
    yield f"about {in_words(sum(filter(None, times)))} {where}, {at_a_time(study)} episodes at a time ({by})"


def menu(names: Sequence[str], study: Study) -> Table:
    """Return what there is to choose, and how long it takes here."""
    plans = [Plan.of(name, study) for name in names]
    known = paces(study, set().union(*(plan.modes for plan in plans)))
    table = Table("What there is to run", ("choose", "what", "rows", "episodes", "finished", "about"))
    for plan in plans:
        seconds = plan.seconds(known, at_a_time(study))
        counts = (str(plan.rows), str(plan.episodes), str(plan.finished))
        time = "" if seconds is None else in_words(seconds)
        table.rows.append((choice(plan.part), PARTS[plan.part].title, *counts, time))
    return table
