"""Wall-clock time per stage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter


class StageClock:
    """Add up the milliseconds that stage1, stage2, stage3 and fusion took in one step.

    This is host time: on an asynchronous device it is the time to issue the work, not to finish it.
    """

    def __init__(self) -> None:
        """Start at zero."""
        self.milliseconds = {"stage1": 0.0, "stage2": 0.0, "stage3": 0.0, "fusion": 0.0}

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the time of the enclosed block to `stage`."""
        start = perf_counter()
        yield
        self.milliseconds[stage] += (perf_counter() - start) * 1e3
