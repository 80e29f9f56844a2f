"""Timing of things that are to be compared, and the machine that they are timed on.

They run in turn, round by round, so that noise meets them alike.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from statistics import median
from time import perf_counter

import torch

from tristage_ros.bench.machine import cpu_model


@dataclass(frozen=True)
class Rounds:
    """Say how often everything is run. VLA-Pruner prunes from its fourth step on, so the warm-up is at least that."""

    measured: int = 20
    warm_up: int = 4

    @property
    def total(self) -> int:
        """Return how often everything is run."""
        return self.warm_up + self.measured

    @classmethod
    def quick(cls) -> Rounds:
        """Return few rounds, for a first look."""
        return cls(measured=3)


def synchronise(device: torch.device) -> None:
    """Wait until the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def alternate(
    calls: Mapping[str, Callable[[int], object]],
    rounds: Rounds,
    device: torch.device,
    done: Callable[[str], object] = lambda name: None,
) -> dict[str, list[float]]:
    """Run all calls in turn, round by round, and return the milliseconds of every measured round by name.

    A call takes the number of its round. The rounds of the warm-up are not measured. `done` is told of every call.
    """
    milliseconds: dict[str, list[float]] = {name: [] for name in calls}
    for index in range(rounds.warm_up + rounds.measured):
        for name, call in calls.items():
            synchronise(device)
            start = perf_counter()
            call(index)
            synchronise(device)
            if index >= rounds.warm_up:
                milliseconds[name].append((perf_counter() - start) * 1e3)
            done(name)
    return milliseconds


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use a single thread, as the policy node does."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def medians(samples: Mapping[str, list[float]]) -> dict[str, float]:
    """Return the median of every list."""
    return {name: median(values) for name, values in samples.items()}


def describe(device: torch.device, dtype: str) -> dict[str, str]:
    """Return what a reader has to know about the machine, by name."""
    facts = {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": f"{cpu_model()}, {os.cpu_count()} cores",
        "load": ", ".join(f"{load:.1f}" for load in os.getloadavg()) + " (1, 5, 15 min, at the end)",
        "software": f"Python {platform.python_version()}, torch {torch.__version__}",
        "threads": str(torch.get_num_threads()),
        "dtype": dtype,
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        facts["gpu"] = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}"
    return facts
