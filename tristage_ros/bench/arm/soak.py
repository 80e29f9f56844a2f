"""Whether memory, threads or open files grow while the emulated arm moves for long, with faults now and then."""

from __future__ import annotations

import gc
import itertools
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tristage_ros.bench.arm.rig import Rig
from tristage_ros.devices.arm.values import ChunkState

_PAGE = os.sysconf("SC_PAGE_SIZE")

_WAYS = ((0.0, 0.05, 0.0), (0.0, 0.0, -0.04), (0.0, -0.05, 0.0), (0.0, 0.0, 0.04))  # m, back to the start
_GROWTH = 8e6  # bytes between the first and the last quarter that count as none: the allocator's own play
_DONE = (ChunkState.REACHED, ChunkState.ABORTED, ChunkState.REFUSED)


@dataclass(frozen=True)
class Sample:
    """Hold what the process used at one moment."""

    seconds: float
    memory: int  # bytes
    threads: int
    files: int

    def line(self, chunks: int) -> str:
        """Put it in words, with the number of chunks done."""
        used = f"{self.memory / 1e6:7.1f} MB  {self.threads} threads  {self.files} files"
        return f"{self.seconds:6.0f} s  {used}  {chunks} chunks"


def soak(seconds: float, say: Callable[[str], None]) -> str:
    """Drive the emulated arm for `seconds`; return what grew, "" when nothing did."""
    samples: list[Sample] = []
    with Rig(tapped=False) as rig:
        rig.enable()
        began, ways = time.monotonic(), itertools.cycle(_WAYS)
        for number in itertools.count(1):
            elapsed = time.monotonic() - began
            if elapsed > seconds:
                break
            if number % 10 == 0:
                rig.arm.silence(0.4)  # a gap that ends by itself
                rig.until(lambda state: state.feedback_age > 0.3)
                rig.until(lambda state: state.feedback_age < 0.02)
            if rig.submit(next(ways))[0]:
                rig.until(lambda state: state.chunk_state in _DONE)
            if not samples or elapsed - samples[-1].seconds >= seconds / 20:
                gc.collect()
                samples.append(Sample(elapsed, resident_bytes(), threading.active_count(), open_files()))
                say(samples[-1].line(rig.state().chunks_accepted))
    return growth(samples)


def growth(samples: list[Sample]) -> str:
    """Return what grew between the first and the last quarter of the samples, "" when nothing did."""
    quarter = max(1, len(samples) // 4)
    first, last = samples[quarter : 2 * quarter] or samples, samples[-quarter:]
    found = []
    if (more := min(s.memory for s in last) - max(s.memory for s in first)) > _GROWTH:
        found.append(f"memory by {more / 1e6:.1f} MB")
    for name in ("threads", "files"):
        if (more := min(getattr(s, name) for s in last) - max(getattr(s, name) for s in first)) > 0:
            found.append(f"{name} by {more}")
    return ", ".join(found)


def resident_bytes() -> int:
    """Return how much memory this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


def open_files() -> int:
    """Return how many files and sockets this process holds open."""
    return len(os.listdir("/proc/self/fd"))
