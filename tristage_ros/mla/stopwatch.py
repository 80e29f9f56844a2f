"""Wall-clock time per part of a control step."""

from __future__ import annotations

from time import perf_counter

import torch

PARTS = ("preprocess", "image_tokens", "point_tokens", "plan", "prefill", "denoise", "observe")


class Stopwatch:
    """Attribute the time since the last lap to a part of the step; waits for an accelerator at every lap."""

    def __init__(self, device: torch.device) -> None:
        """Start."""
        self._device = device
        self._start = self._last = perf_counter()
        self._milliseconds = dict.fromkeys(PARTS, 0.0)

    def lap(self, part: str) -> None:
        """Add the time since the last lap to `part`."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now = perf_counter()
        self._milliseconds[part] += (now - self._last) * 1e3
        self._last = now

    def result(self) -> dict[str, float]:
        """Return the milliseconds of every part and `total`, up to the last lap."""
        return self._milliseconds | {"total": (self._last - self._start) * 1e3}
