"""The command `tristage trial`: run two ways in pairs, one after the other, and say at the end which is better.

What is compared, how often and in which order is on the disk before the first run. The order is shown to nobody, and
no outcome is told by side before all are there; so neither who judges nor who decides to stop can favour one.
"""

from __future__ import annotations

import argparse
import os
import signal
import threading
from contextlib import nullcontext
from pathlib import Path
from types import FrameType

import rclpy
from rich.console import Console

from tristage_ros.commands.table import print_table
from tristage_ros.commands.trial.attempt import Attempt, AttemptError, Ended, QuitError
from tristage_ros.commands.trial.desk import Desk
from tristage_ros.commands.trial.runs import check_pair, read_run
from tristage_ros.commands.trial.unattended import unattended
from tristage_ros.graph.middleware import unwritable, without_images
from tristage_ros.graph.namespaces import inside
from tristage_ros.graph.supervisor import shown
from tristage_ros.reports.statistics import smallest_difference
from tristage_ros.reports.trial.file import (
    CELL,
    MOST_PAIRS,
    OPERATOR,
    SIDES,
    Plan,
    Result,
    Trial,
    TrialError,
    opened,
    write_json,
)
from tristage_ros.reports.trial.verdict import NAMES, VERDICT, in_words, least, progress, rows, sentences, verdict
from tristage_ros.ros.context import begin
from tristage_ros.start import EXIT_INTERRUPTED, interruptible

HIGHEST_SEED = 2**31 - 1  # of a simulated cell


def run(options: argparse.Namespace) -> int:
    """Do what is missing of the trial, and tell the verdict once nothing is; return the exit code.

    Raises:
        TrialError: what was typed does not make a trial, or is another one than that in its folder.
        GraphError: a run names something that does not exist.
        OSError: the folder cannot be written.
    """
    wanted = _planned(options)
    described = check_pair(wanted)
    console = Console()
    if not (options.unattended or (console.is_terminal and os.isatty(0))):
        raise TrialError(
            "a trial is judged by keys, which need a terminal; --unattended leaves it to the simulated cell"
        )
    trial = _opened(options.out.resolve(), wanted, options.seed)
    console.print(f"{shown(trial.folder)}: {progress(trial)}", soft_wrap=True, highlight=False)
    if trial.next:
        can_show = least(trial.plan.n, smallest_difference(trial.plan.n), " at best")
        console.print(can_show, soft_wrap=True, highlight=False)
        os.environ.update(without_images(described.environment))
        trial, code = _Session(trial, console).go_on(inside(described.namespace))
        if trial.next:
            return code
    return _tell(trial, console)


def _planned(options: argparse.Namespace) -> Plan:
    if not 1 <= options.n <= MOST_PAIRS:
        raise TrialError(f"-n {options.n}: a trial has 1 to {MOST_PAIRS} pairs")
    seed = Plan.drawn() if options.seed is None else options.seed
    if not 0 <= seed <= HIGHEST_SEED - options.n:
        raise TrialError(f"--seed {seed} is not a whole number from 0 to {HIGHEST_SEED - options.n}")
    judge = CELL if options.unattended else OPERATOR
    a, b = (read_run(getattr(options, side), side) for side in ("a", "b"))
    return Plan(a, b, options.n, seed, judge, options.max_seconds)


def _opened(folder: Path, wanted: Plan, seed: int | None) -> Trial:
    """Return the trial that is in the folder, or write down a new one there; without a `seed`, that of the folder."""
    there = opened(folder, wanted, any_seed=seed is None)
    if there:
        return there
    if why := unwritable(folder):
        raise TrialError(f"{folder} cannot be written ({why}); give --out FOLDER")
    folder.mkdir(parents=True, exist_ok=True)
    trial = Trial(folder, wanted, wanted.order())
    trial.write()
    return trial


class _Session:
    """What is done of a trial in one go."""

    def __init__(self, trial: Trial, console: Console) -> None:
        self._trial, self._console, self._stop = trial, console, threading.Event()
        self._attended = trial.plan.judge == OPERATOR

    def go_on(self, ros_arguments: list[str]) -> tuple[Trial, int]:
        """Run what is missing; return the trial as it then stands, and the exit code where something still is."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        begin(ros_arguments)
        try:
            desk = Desk(self._console, self._stop, self._trial.plan.max_seconds) if self._attended else nullcontext()
            with desk as shown_desk:
                while place := self._trial.next:
                    self._run(*place, shown_desk)
        except QuitError:
            code = EXIT_INTERRUPTED if self._stop.is_set() else 0
        except AttemptError as error:
            self._console.print(f"error: {error}", soft_wrap=True, markup=False, highlight=False)
            code = 1
        else:
            return self._trial, 0
        finally:
            rclpy.try_shutdown()
            interruptible()
        told = f"{progress(self._trial)}; the same command goes on"
        self._console.print(told, soft_wrap=True, markup=False, highlight=False)
        return self._trial, code

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stop.set()

    def _run(self, pair: int, place: int, desk: Desk | None) -> None:
        trial = self._trial
        heading = f"pair {pair} of {trial.plan.n}, run {place}"
        attempt = Attempt(trial.folder, f"{pair:03d}-{place}", trial.arguments(pair, place))
        ended: Ended | None = None
        try:
            if desk:
                ended = desk.conduct(attempt, f"{heading}   ({progress(trial)})", place == 2)
            else:
                with self._console.status(heading) as status:
                    ended = unattended(
                        attempt, trial.plan.max_seconds, self._stop, lambda line: status.update(f"{heading}: {line}")
                    )
            self._trial = trial.with_result(
                Result(pair, place, ended.outcome, ended.reason, ended.seconds, attempt.number)
            )
        finally:
            attempt.end(ended)
        if not desk:
            told = f"{heading}: {ended.outcome}, {ended.reason}, {ended.seconds:.1f} s"
            self._console.print(told, soft_wrap=True, markup=False, highlight=False)


def _tell(trial: Trial, console: Console) -> int:
    """Print the verdict, and write it."""
    with console.status("reading the episodes ...") as status:
        found = verdict(trial, status.update)
    write_json(trial.folder / VERDICT, found.to_dict())
    for side in SIDES:
        told = f"{side}: {in_words(getattr(trial.plan, side))}"
        console.print(told, soft_wrap=True, markup=False, highlight=False)
    print_table(NAMES, rows(found))
    for line in [*sentences(found), *(f"note: {why}" for why in found.unread)]:
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    told = f"written: {shown(trial.folder / VERDICT)}; its page: tristage report {shown(trial.folder)}"
    console.print(told, soft_wrap=True, markup=False, highlight=False)
    return 0
