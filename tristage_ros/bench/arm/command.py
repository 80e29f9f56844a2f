"""Measure the arm's side on the emulated arm: `tristage bench arm reactions|stream|soak|attack`.

reactions: how fast every fault is answered. stream: how closely the arm follows joint targets, how evenly they go out,
and what that costs. soak: whether anything grows while the arm moves for a long time, with faults now and then.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import os
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tristage_ros.bench.arm.attack import Attack
from tristage_ros.bench.arm.faults import reaction_rows
from tristage_ros.bench.arm.jitter import JITTER, KINDS, in_words, jittered, over_all
from tristage_ros.bench.arm.rig import Rig
from tristage_ros.devices.arm.controller import ControllerConfig
from tristage_ros.devices.arm.joint_path import JointPath
from tristage_ros.devices.arm.smoothness import WINDOW, Smoothness
from tristage_ros.devices.arm.values import ArmState, ChunkState, CommandSource


def run(options: argparse.Namespace) -> int:
    """Run one measurement; return the exit code."""
    if options.measurement == "attack":
        attack = Attack(options.seed)
        attack.run(60.0 * options.minutes, lambda line: print(line, flush=True))
        print(*attack.told(), sep="\n")
        return 1 if attack.findings else 0
    if options.measurement == "reactions":
        for row in reaction_rows(options.repetitions):
            print(row, flush=True)
    elif options.measurement == "stream":
        print("\n".join(stream(options.seconds, options.rate).lines()), flush=True)
        for kind, jitter in itertools.product(KINDS, (0.0, JITTER)):
            print("\n".join(jittered(kind, jitter, options.seconds).lines()), flush=True)
    elif grown := soak(options.seconds, lambda line: print(line, flush=True)):
        print(f"error: it grew: {grown}", file=sys.stderr)
        return 1
    return 0


# stream: joint targets go through the real SDK.

Floats = NDArray[np.float64]

_OURS, _EMULATED = ("piper-reader", "arm-controller"), ("firmware",)
_SWING = 0.2 * np.array([1.0, 0.5, -0.5, 1.0, -1.0, 1.0])  # rad
_PERIOD = 4.0  # s


@dataclass(frozen=True)
class Streaming:
    """Hold what was measured."""

    seconds: float
    rate: float  # set-points per second that came over the bus
    jitter: float  # s, standard deviation of the time between them
    jitter_99: float  # s, 99th percentile of its deviation from the wanted period
    error: float  # rad, median distance of the measured joints from the target
    largest_error: float  # rad
    lag: float  # s, by which the measured joints follow the targets
    processor: float  # share of one core, driver and controller
    emulator: float  # share of one core, the emulated arm
    targets: Smoothness
    measured: Smoothness

    def lines(self) -> list[str]:
        """Put it in words."""
        return [
            f"{self.rate:.1f} set-points/s for {self.seconds:.0f} s",
            f"time between them: {self.jitter * 1e3:.2f} ms standard deviation, "
            f"99 % within {self.jitter_99 * 1e3:.2f} ms of the period",
            f"measured joints: {self.error * 1e3:.1f} mrad from the target in the median, "
            f"{self.largest_error * 1e3:.1f} mrad at most, {self.lag * 1e3:.0f} ms behind it",
            f"processor: driver and controller {self.processor:.1%} of one core; the emulated arm {self.emulator:.1%}",
            f"in windows of {WINDOW:g} s, targets: {in_words(self.targets)}",
            f"in windows of {WINDOW:g} s, measured: {in_words(self.measured)}",
        ]


def stream(seconds: float, rate: float = 50.0) -> Streaming:
    """Swing all joints for `seconds` with set-points at `rate` Hz.

    Raises:
        RuntimeError: the emulated arm refuses.
    """
    with Rig(ControllerConfig(rate=rate)) as rig:
        rig.enable()
        rig.controller.set_source(CommandSource.TRAJECTORY)
        times = np.arange(0.1, seconds, 0.1)
        swing = np.sin(2 * np.pi * times / _PERIOD)[:, None] * _SWING
        done, reason = rig.controller.follow(JointPath(time.monotonic(), times, rig.state().position + swing))
        if not done:
            raise RuntimeError(reason)
        before, began = processor_seconds(), time.monotonic()
        samples, windows = _watch(rig, began, seconds)
        elapsed, after = time.monotonic() - began, processor_seconds()
        sent = rig.tap.setpoints() if rig.tap else np.zeros((0, 7))
    periods = np.diff(sent[sent[:, 0] > began, 0])
    error = np.abs(samples[:, 1:7] - samples[:, 7:]).max(1)
    shares = [sum(after[name] - before[name] for name in names) / elapsed for names in (_OURS, _EMULATED)]
    return Streaming(
        elapsed,
        float(1.0 / periods.mean()),
        float(periods.std()),
        float(np.quantile(np.abs(periods - 1.0 / rate), 0.99)),
        float(np.median(error)),
        float(error.max()),
        _lag(samples),
        *shares,
        over_all([state.target_smoothness for state in windows]),
        over_all([state.measured_smoothness for state in windows]),
    )


def _watch(rig: Rig, began: float, seconds: float) -> tuple[Floats, list[ArmState]]:
    """Return time, target and measured joints [n, 13] of `seconds` from `began` on, and a state per whole window."""
    samples, windows = [], list[ArmState]()
    while True:
        state = rig.state()
        samples.append([state.stamp, *state.target, *state.position])
        if state.stamp >= began + WINDOW * (len(windows) + 1):
            windows.append(state)
        if state.stamp >= began + seconds:
            return np.array(samples), windows or [state]
        time.sleep(0.01)


def _lag(samples: Floats) -> float:
    """Return the delay, s, at which the targets come nearest to the measured joints."""
    stamps, targets, measured = samples[:, 0], samples[:, 1:7], samples[:, 7:]
    late = stamps > stamps[0] + 0.5

    def distance(lag: float) -> float:
        shifted = np.stack([np.interp(stamps[late] - lag, stamps, targets[:, k]) for k in range(6)], 1)
        return float(np.square(shifted - measured[late]).sum())

    return float(min(np.arange(0.0, 0.3, 0.002), key=distance))


# soak: memory, threads and open files may not grow.

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


# What this process uses: processor time by thread, memory, open files.

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def processor_seconds() -> dict[str, float]:
    """Return the processor time, s, that this process' threads have used so far, by their name."""
    used: dict[str, float] = defaultdict(float)
    for thread in threading.enumerate():
        stat = Path(f"/proc/self/task/{thread.native_id}/stat")
        if stat.exists():
            fields = stat.read_text().rpartition(")")[2].split()
            used[thread.name] += (int(fields[11]) + int(fields[12])) / _TICKS
    return used


def resident_bytes() -> int:
    """Return how much memory this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


def open_files() -> int:
    """Return how many files and sockets this process holds open."""
    return len(os.listdir("/proc/self/fd"))
