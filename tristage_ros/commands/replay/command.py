"""The command `tristage replay`: replay a bag, then compare what came of it."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from rich.console import Console

from tristage_ros.bags.reader import BagError
from tristage_ros.commands.replay.processes import ReplayError
from tristage_ros.commands.replay.replay import Outcome, Request, replay
from tristage_ros.reports.compare.command import compare_and_tell

EXIT_ERROR, EXIT_INTERRUPTED = 2, 130


def run(options: argparse.Namespace) -> int:
    """Replay as the options say; return the exit code: 1 when the runs differ more than allowed, 2 after an error.

    Raises:
        GraphError: a setting is wrong.
        OSError: the folder cannot be written.
    """
    out = options.out or Path(time.strftime("runs/%Y%m%d-%H%M%S-replay"))
    console = Console()
    request = Request(
        options.bag, out.resolve(), options.lockstep, options.every_frame, options.factor, tuple(options.changes),
        dict(options.remap), options.timeout,
    )  # fmt: skip
    try:
        outcome = replay(request, console)
        _tell(outcome, console)
        if outcome.interrupted:
            return EXIT_INTERRUPTED
        return _compare(options, outcome, out, console)
    except (BagError, ReplayError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_ERROR


def _tell(outcome: Outcome, console: Console) -> None:
    for reason, count in outcome.without_action.items():
        console.print(f"[yellow]note:[/yellow] {count} frames without an action: {reason}", soft_wrap=True)
    end = ", interrupted" if outcome.interrupted else ""
    console.print(f"{outcome.steps} control steps{end}; bag: {outcome.bag}", soft_wrap=True)


def _compare(options: argparse.Namespace, outcome: Outcome, out: Path, console: Console) -> int:
    try:
        return compare_and_tell(
            options.against or options.bag, outcome.bag, out, dict(options.limit), options.identical, console
        )
    except BagError as error:
        if options.against or options.limit or options.identical or not outcome.steps:
            raise
        console.print(f"not compared: {error}", soft_wrap=True)  # a bag without actions can still be replayed
        return 0
