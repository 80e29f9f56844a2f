"""How far a long evaluation has come: a bar in a terminal, a line a minute into a log."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import TextIO, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

T = TypeVar("T")
Advance = Callable[[str], None]  # one more is done; what is to be said of all that are


def in_words(seconds: float) -> str:
    """Return a duration for print, as exact as an estimate is."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


@dataclass(frozen=True)
class Progress:
    """Show on the standard error how much of something is done, until it is."""

    every: float = 60.0  # s between two lines of a log
    quiet: bool = False

    @contextmanager
    def stage(self, what: str, total: int) -> Iterator[Advance]:
        """Show `what` until the block ends, which advances `total` times."""
        if self.quiet or not total:
            yield lambda note: None
        elif sys.stderr.isatty():
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
            times = (TimeElapsedColumn(), TimeRemainingColumn())
            # Once a second: what is measured meanwhile is not to wait for it.
            with Bars(*columns, *times, console=Console(stderr=True), refresh_per_second=1) as bars:
                bar = bars.add_task(what, total=total)
                yield lambda note: bars.update(bar, advance=1, description=", ".join(filter(None, (what, note))))
        else:
            with _Log(what, total, sys.stderr, self.every) as log:
                yield log.advance

    def over(
        self, what: str, items: Iterable[T], total: int, note: Callable[[T], str] = lambda item: ""
    ) -> Iterator[T]:
        """Yield `total` items, each of which is done when the next is asked for; `note` returns what to say then."""
        with self.stage(what, total) as advance:
            for item in items:
                yield item
                advance(note(item))


SHOWN, QUIET = Progress(), Progress(quiet=True)


@dataclass
class _Log:
    """Write a line every so often from a thread of its own, and one at the end."""

    what: str
    total: int
    stream: TextIO
    every: float
    done: int = 0
    note: str = ""
    _begun: float = field(default_factory=monotonic)
    _ended: threading.Event = field(default_factory=threading.Event)

    def advance(self, note: str) -> None:
        self.done, self.note = self.done + 1, note

    def __enter__(self) -> _Log:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()
        self._say()

    def _run(self) -> None:
        while not self._ended.wait(self.every):
            self._say()

    def _say(self) -> None:
        gone = monotonic() - self._begun
        words = [f"{self.what}: {self.done} of {self.total}", self.note, f"{in_words(gone)} so far"]
        if 0 < self.done < self.total:
            words.append(f"about {in_words(gone / self.done * (self.total - self.done))} to go")
        print(", ".join(filter(None, words)), file=self.stream, flush=True)
