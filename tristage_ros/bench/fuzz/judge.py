"""What may come of an input: it is taken, or refused in one line of ours, soon and in little memory."""

from __future__ import annotations

import linecache
import signal
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.strategies import SearchStrategy

PATIENCE = 10.0  # s of the processor's time that one input may take
LONGEST = 2000  # characters of a message: more is no line for a person
PACKAGE = str(Path(__file__).resolve().parents[2])


@dataclass(frozen=True)
class Kind:
    """Describe what is read: how inputs are made, what reads them, and as what it may refuse them."""

    inputs: SearchStrategy[bytes]
    read: Callable[[bytes], object]
    refusals: tuple[type[Exception], ...] = ()


@dataclass
class Outcome:
    """Count what came of inputs; `findings` are by their places: what it is, and the smallest input."""

    counts: Counter[str] = field(default_factory=Counter)  # of "accepted" and "refused"
    findings: dict[str, tuple[str, bytes]] = field(default_factory=dict)


class Finding(Exception):  # noqa: N818 - it is what is looked for
    """Say what is wrong with how an input was refused."""


class _Overrun(BaseException):
    """End what takes too long; nothing that catches errors catches it."""


def examine(kind: Kind, data: bytes) -> str:
    """Return "accepted", or the message of the refusal.

    Raises:
        Finding: the refusal is not as it has to be, or did not come in time.
        Exception: what came out in its place.
    """
    try:
        with _within(PATIENCE):
            kind.read(data)
    except kind.refusals as error:
        if flaw := _flaw(error):
            raise Finding(flaw) from error
        return str(error)
    except _Overrun as error:
        raise Finding(f"not done after {PATIENCE:g} s") from error
    return "accepted"


def search(kind: Kind, inputs: int, seed: int, begin: Callable[[bytes], object] = len) -> Outcome:
    """Try so many inputs; where one is a finding, look for the smallest one like it. `begin` is told each before."""
    outcome = Outcome()

    @hypothesis.seed(seed)
    @settings(
        max_examples=inputs,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
        verbosity=hypothesis.Verbosity.quiet,
    )
    @hypothesis.given(kind.inputs)
    def every(data: bytes) -> None:
        begin(data)
        try:
            came = examine(kind, data)
        except Exception as error:
            outcome.findings[place(error)] = told(error), data  # the last one is the smallest
            raise
        outcome.counts["accepted" if came == "accepted" else "refused"] += 1

    try:
        every()
    except BaseException as error:
        if not outcome.findings or isinstance(error, KeyboardInterrupt):
            raise
    return outcome


def told(error: BaseException) -> str:
    """Return an error's kind, message and place in one line."""
    cause = _cause(error)
    why = f"{error}: " if cause is not error else ""
    return f"{why}{place(error)}: {' '.join(str(cause).split())[:200]}"


def place(error: BaseException) -> str:
    """Return which error it is and where it was raised: two that are alike in this are one finding."""
    cause = _cause(error)
    frames = traceback.extract_tb(cause.__traceback__)
    ours = [frame for frame in frames if frame.filename.startswith(PACKAGE) and frame.filename != __file__]
    frame = (ours or frames)[-1]
    return f"{type(cause).__name__} in {Path(frame.filename).name}:{frame.lineno}"


def _cause(error: BaseException) -> BaseException:
    return error.__cause__ if isinstance(error, Finding) and error.__cause__ else error


def _flaw(error: BaseException) -> str:
    """Return what is wrong with a refusal, "" if nothing."""
    text = str(error)
    if not text.isprintable():
        return "the message is not one printable line"
    if not 0 < len(text) <= LONGEST:
        return f"the message has {len(text)} characters"
    frame = traceback.extract_tb(error.__traceback__)[-1]
    line = linecache.getline(frame.filename, frame.lineno or 0).strip()
    if not (frame.filename.startswith(PACKAGE) and line.startswith("raise ")):
        return "nobody here wrote that message"
    below: Any = error
    while below := below.__cause__ or below.__context__:
        if isinstance(below, MemoryError):
            return f"behind the message is a {type(below).__name__}"
    return ""


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    def end(*_: object) -> None:
        raise _Overrun

    before = signal.signal(signal.SIGPROF, end)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
