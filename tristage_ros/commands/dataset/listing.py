"""`tristage dataset list`: which episodes a folder has, and which of them are used."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence

from tristage_ros.bags.episodes.episode import FAILURE, KEPT, Episode
from tristage_ros.commands.dataset.common import counted
from tristage_ros.commands.table import print_table
from tristage_ros.datasets.division import task_of
from tristage_ros.datasets.recorded import Recorded, found
from tristage_ros.datasets.values import DatasetError


def run(options: argparse.Namespace) -> int:
    """Print a line for each; return the exit code.

    Raises:
        DatasetError: there are none.
    """
    tasks = Counter[str]()
    rows = [_row(one, tasks, options.failures) for one in found(options.folder)]
    print_table(("no.", "task", "outcome", "s", "led by", "used", "verdict"), rows, right=("no.", "s"))
    for task, count in tasks.most_common():
        print(f"{counted(count, 'episode')} used: {task or 'no task'}")
    return 0


def _row(one: Recorded, tasks: Counter[str], failures: bool) -> Sequence[str]:
    try:
        known, task = one.read(), task_of(one)
    except DatasetError as error:
        return str(one.number), "", "", "", "", "no", str(error)
    why_not = _why_not(known, failures)
    if not why_not:
        tasks[task] += 1
    begin, end = known.span
    return (
        str(one.number),
        task,
        known.outcome or "not marked",
        f"{end - begin:.1f}" if known.seconds else "",
        ", ".join(known.command_source),
        f"no: {why_not}" if why_not else "yes",
        "; ".join(known.complaints) or ("all is well" if one.kept else ""),
    )


def _why_not(known: Episode, failures: bool) -> str:
    if known.standing != KEPT:
        return known.standing
    return "it failed" if known.outcome == FAILURE and not failures else ""
