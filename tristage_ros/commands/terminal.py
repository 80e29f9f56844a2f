"""What a person types while something runs: every key at once in a terminal, lines where it is none."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def every_key() -> Iterator[None]:
    """Let the terminal give every key at once, and not show it; Ctrl-C remains what it is."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def typed() -> str:
    """Return the keys that were typed since the last look, none where there is no terminal."""
    return _read() if sys.stdin.isatty() and _readable() else ""


class Lines:
    """What comes from a pipe or a file, a line at a time."""

    def __init__(self) -> None:
        """Begin with what comes next."""
        self.ended = False
        self._rest = ""

    def read(self) -> list[str]:
        """Return the lines that are complete, without waiting for more; the last one also without its end."""
        while not self.ended and _readable():
            text = _read()
            self.ended = not text
            self._rest += text or ("\n" if self._rest else "")
        *lines, self._rest = self._rest.split("\n")
        return lines


def _readable() -> bool:
    return bool(select.select([sys.stdin], [], [], 0.0)[0])


def _read() -> str:
    return os.read(sys.stdin.fileno(), 4096).decode(errors="replace")
