"""Commands as lines, for scripts: one after the other, each once the one before was answered."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from tristage_ros.commands.teach.view import KEYS
from tristage_ros.commands.terminal import Lines

WORDS = {name for name, _ in KEYS.values()}
BREATH = 0.5  # s from an answer to the next command: what has changed is told on another way
WAIT = "wait"


class Script:
    """Read lines such as `start`, `s`, `wait 5` or `success` from standard input."""

    def __init__(self, complain: Callable[[str], None]) -> None:
        """Begin with the first line; `complain` takes what is no command."""
        self._lines, self._complain = Lines(), complain
        self._waiting: deque[str] = deque()
        self._due = 0.0  # s, monotonic clock

    def next(self, busy: bool) -> str:
        """Return the next command, empty where there is none yet; `busy`: the one before is still carried out."""
        self._waiting.extend(self._lines.read())
        if busy:
            self._due = max(self._due, time.monotonic() + BREATH)
        while self._waiting and time.monotonic() >= self._due:
            if command := self._command(self._waiting.popleft()):
                return command
        return ""

    def ended(self) -> bool:
        """Return whether the last line was read, and has had its effect."""
        return self._lines.ended and not self._waiting and time.monotonic() >= self._due

    def _command(self, line: str) -> str:
        word = line.strip().lower() or line[:1]
        name, _, seconds = word.partition(" ")
        if name == WAIT:
            try:
                self._due = time.monotonic() + float(seconds)
            except ValueError:
                self._complain(f"{line!r}: write {WAIT} and the seconds")
            return ""
        command = KEYS[word][0] if word in KEYS else word
        if command in WORDS:
            return command
        if word:
            self._complain(f"{line!r} is no command; there are: {', '.join(sorted({*WORDS, WAIT}))}")
        return ""
