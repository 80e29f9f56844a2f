"""`tristage dataset make`: the experts of the simulated cell, recorded."""

from __future__ import annotations

import argparse
from collections import Counter

from tristage_ros.commands.dataset.common import counted
from tristage_ros.datasets.making import make


def run(options: argparse.Namespace) -> int:
    """Record them; return the exit code.

    Raises:
        OSError: the folder cannot be written.
    """
    made = make(
        options.out,
        options.tasks,
        options.episodes,
        continuous=options.control == "rate",
        rate=options.rate,
        color=options.color,
        first_seed=options.seed,
        workers=options.workers,
    )
    successes = Counter(one.task for one in made if one.success)
    for task in options.tasks:
        print(f"{task}: {successes[task]} of {counted(options.episodes, 'episode')} succeeded")
    print(f"{options.out}: {counted(len(made), 'episode')}, {counted(sum(one.frames for one in made), 'frame')}")
    return 0
