"""What goes from the host to the model's device, and the time that the parts of a control step take there."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from time import perf_counter
from typing import Any

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor of the CPU on `device`; to a GPU it is copied while the host goes on."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


@lru_cache(maxsize=64)
def constant(values: tuple[Any, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return a tensor of numbers, maybe nested, on `device`; it goes there once, and is not to be changed."""
    with torch.inference_mode(False):  # for every later use
        return torch.tensor(values, dtype=dtype, device=device)


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
