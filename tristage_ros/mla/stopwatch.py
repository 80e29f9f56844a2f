"""Wall-clock time per part of a control step."""

from __future__ import annotations

from itertools import pairwise
from time import perf_counter

import torch

PARTS = ("preprocess", "image_tokens", "point_tokens", "plan", "prefill", "denoise", "observe")


class Stopwatch:
    """Attribute the time since the last lap to a part of the step.

    On a GPU, the time at which the GPU gets there: it is noted among its work, and nothing waits before `result`.
    """

    def __init__(self, device: torch.device) -> None:
        """Start."""
        self._device = device
        self._laps: list[str] = []
        self._marks = [self._mark()]

    def lap(self, part: str) -> None:
        """Add the time since the last lap to `part`."""
        self._laps.append(part)
        self._marks.append(self._mark())

    def result(self) -> dict[str, float]:
        """Return the milliseconds of every part and `total`, up to the last lap."""
        milliseconds = dict.fromkeys(PARTS, 0.0)
        for part, (start, end) in zip(self._laps, pairwise(self._marks), strict=True):
            milliseconds[part] += self._between(start, end)
        return milliseconds | {"total": self._between(self._marks[0], self._marks[-1])}

    def _mark(self) -> float | torch.cuda.Event:
        if self._device.type != "cuda":
            return perf_counter()
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self._device))
        return event

    def _between(self, start: float | torch.cuda.Event, end: float | torch.cuda.Event) -> float:
        if isinstance(start, float) or isinstance(end, float):
            return 1e3 * (end - start)  # type: ignore[operator]
        end.synchronize()
        return float(start.elapsed_time(end))
