"""Wall-clock time per stage."""

from __future__ import annotations

from time import perf_counter


class StageClock:
    """Add up the milliseconds that stage1, stage2, stage3 and fusion took in one step.

    This is host time: on an asynchronous device it is the time to issue the work, not to finish it.
    """

    def __init__(self) -> None:
        """Start at zero."""
        self.milliseconds = {"stage1": 0.0, "stage2": 0.0, "stage3": 0.0, "fusion": 0.0}
        self._stage, self._start = "", 0.0

    def timed(self, stage: str) -> StageClock:
        """Add the time of the block that is entered with the result to `stage`; blocks do not nest."""
        self._stage = stage
        return self

    def __enter__(self) -> None:
        """Start the block's time."""
        self._start = perf_counter()

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.milliseconds[self._stage] += (perf_counter() - self._start) * 1e3
