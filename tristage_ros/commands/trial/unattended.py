"""A run in the simulated cell, which tells whether its task is done: nobody has to look."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from tristage_ros.commands.trial.attempt import Attempt, AttemptError, Ended, QuitError
from tristage_ros.reports.trial.file import DONE, FAILURE, SUCCESS

START_UP = 300.0  # s for the cell to come up
LASTING = 1.0  # s for which the task has to stay done


def unattended(attempt: Attempt, max_seconds: float, stop: threading.Event, tell: Callable[[str], None]) -> Ended:
    """Return how a run in the simulated cell ended: that is what tells whether the task is done.

    Raises:
        QuitError: a signal came.
        AttemptError: the run could not begin.
    """
    deadline = time.monotonic() + START_UP
    while missing := attempt.missing():
        tell(f"starting: waiting for {missing}")
        _step(attempt, stop)
        if told := attempt.trouble():
            raise AttemptError(told)
        if time.monotonic() > deadline:
            raise AttemptError(f"the cell did not come up in {START_UP:.0f} s: no {missing}")
    attempt.begin()
    while True:
        tell(f"{attempt.seconds:.0f} of {max_seconds:g} s")
        _step(attempt, stop)
        done = attempt.done_after
        why = attempt.over() or (f"{max_seconds:g} s are over" if attempt.seconds >= max_seconds else "")
        if done is not None and (why or attempt.seconds - done >= LASTING):
            ended = Ended(SUCCESS, DONE, round(done, 2))
        elif why:
            ended = Ended(FAILURE, why, round(attempt.seconds, 2))
        else:
            continue
        attempt.conclude(ended.outcome)
        return ended


def _step(attempt: Attempt, stop: threading.Event) -> None:
    attempt.spin(0.1)
    if stop.is_set():
        raise QuitError
