"""The operator's terminal: what is to be done next, and the keys. Nothing here knows which of the two is run."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from tristage_ros.commands.terminal import every_key, typed
from tristage_ros.commands.trial.attempt import Attempt, AttemptError, Ended, QuitError
from tristage_ros.graph.supervisor import shown
from tristage_ros.reports.trial.file import ABORT, DONE, FAILURE, SUCCESS

PERIOD = 0.25  # s between two pictures
VERDICTS = {"y": SUCCESS, "n": FAILURE, "x": ABORT}
RUNNING = "[y] success  [n] failure  [x] abort, counts as failure  [space] STOP"
REASONS = ("missed it", "dropped it", "put it in the wrong place", "touched what it should not", "went nowhere")
STOPPED = "the operator stopped the arm"
QUIT, ENTER, ERASE = "q", "\r\n", "\x7f\b"


class Desk:
    """Show what is to be done, and take what is typed; use it in a `with` statement."""

    def __init__(self, console: Console, stop: threading.Event, max_seconds: float) -> None:
        """Begin with an empty screen; `stop` ends it at any moment, a run ends by itself after `max_seconds`."""
        self._console, self._stop, self._limit = console, stop, max_seconds
        self._resources = ExitStack()
        self._live: Live | None = None
        self._due = 0.0  # s, monotonic

    def __enter__(self) -> Desk:
        """Take every key, and the screen."""
        self._resources.enter_context(every_key())
        self._live = self._resources.enter_context(Live(console=self._console, screen=True, auto_refresh=False))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the terminal as it was."""
        self._resources.close()

    def conduct(self, attempt: Attempt, heading: str, again: bool) -> Ended:
        """Return how a run ended, once the operator has said it; `again`: its scene is that of the run before.

        Raises:
            QuitError: the operator leaves before that.
            AttemptError: the graph ended before the run began.
        """
        self._start(attempt, heading, again)
        ended = self._watch(attempt, heading)
        attempt.conclude(ended.outcome)
        return ended if ended.reason else replace(ended, reason=self._reason(attempt, heading, ended))

    def _start(self, attempt: Attempt, heading: str, again: bool) -> None:
        """Wait until the scene is set and the operator lets the arm go."""
        trouble, scene = "", _scene(attempt, again)
        while True:
            missing = attempt.missing()
            lines = [*scene, f"! {trouble}" if trouble else ""]
            waits = f"starting: waiting for {missing}" if missing else "[s] start: the arm moves"
            if "s" in self._look(attempt, heading, lines, f"{waits}  [q] quit") and not missing:
                try:
                    attempt.begin()
                    return
                except AttemptError as error:
                    trouble = str(error)
            if told := attempt.trouble():
                raise AttemptError(told)

    def _watch(self, attempt: Attempt, heading: str) -> Ended:
        """Return the outcome that is keyed; why it ended is empty where that is for the operator to say."""
        while True:
            why = attempt.over()
            if not why and attempt.seconds >= self._limit:
                why = f"{self._limit:g} s are over"
            keys = self._look(attempt, heading, [f"{attempt.seconds:.1f} of {self._limit:g} s"], RUNNING)
            seconds = round(attempt.seconds, 2)
            for key in keys:
                if key in VERDICTS:
                    return Ended(VERDICTS[key], DONE if VERDICTS[key] == SUCCESS else why, seconds)
                if key == " ":
                    why = STOPPED
            if why:
                attempt.halt()
                outcome = self._outcome(attempt, heading, why)
                unsaid = why == STOPPED and outcome != SUCCESS
                return Ended(outcome, "" if unsaid else why, seconds)

    def _outcome(self, attempt: Attempt, heading: str, why: str) -> str:
        """Ask what came of a run that ended by itself, or was stopped."""
        while True:
            for key in self._look(attempt, heading, [f"It ended: {why}. What came of it?"], RUNNING):
                if key in VERDICTS:
                    return VERDICTS[key]
                if key == " ":
                    attempt.halt()

    def _reason(self, attempt: Attempt, heading: str, ended: Ended) -> str:
        """Ask why it ended: one of `REASONS` by its number, or a line."""
        choices = "  ".join(f"[{number}] {reason}" for number, reason in enumerate(REASONS, 1))
        line = ""
        while True:
            shown_line = f"{ended.outcome}, because: {line}_"
            for key in self._look(attempt, heading, [shown_line, choices], "or type why, and Enter", quits=False):
                if key in ENTER:
                    return line.strip() or f"the operator's {ended.outcome}"
                if not line and key.isdecimal() and 1 <= int(key) <= len(REASONS):
                    return REASONS[int(key) - 1]
                line = line[:-1] if key in ERASE else line + key * key.isprintable()

    def _look(self, attempt: Attempt, heading: str, lines: Sequence[str], keys: str, quits: bool = True) -> str:
        """Show it, hear what is new, and return what was typed."""
        attempt.spin()
        if self._live and time.monotonic() >= self._due:
            self._due = time.monotonic() + PERIOD
            self._live.update(
                Group(Text(heading, style="bold"), *map(Text, lines), attempt.arm(), Text(keys, style="cyan")),
                refresh=True,
            )
        pressed = typed()
        if self._stop.is_set() or (quits and QUIT in pressed.lower()):
            raise QuitError
        return pressed.lower() if quits else pressed


def _scene(attempt: Attempt, again: bool) -> list[str]:
    """Return what is to be done before a run."""
    picture = attempt.start_picture
    if picture is None:
        return ["Set the scene, and bring the arm to where it is to begin."]
    first = "Set the scene again as it was, and the arm where it was, when the last run began:"
    return [
        first if again else "Set a scene for this pair, and the arm where it is to begin. The last run began so:",
        f"{shown(picture)}; over the live image: ros2 run rqt_image_view rqt_image_view {attempt.overlay}",
    ]
