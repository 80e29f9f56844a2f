"""Measure how long a graph takes to stop, at every moment of its life: `tristage bench stop`.

Runs the simulated cell as `tristage run piper_pick` does, sends it SIGINT at a moment that its output tells, and counts
until the last process is gone: on a machine that does nothing else, and with a process more per core that never rests.
A launch system kills what is left after 10 s, `tristage run` after 4. Then it times what the nodes import.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

import torch

from tristage_ros.bench.model.timing import describe
from tristage_ros.graph.load import busy
from tristage_ros.start import NODES

RATE = "control:=rate"  # to infer without an operator
MOMENTS = {  # a line of the output, and how long after it, s
    "the nodes start": ("policy started", 0.0),
    "they import": ("policy started", 1.0),
    "the weights load": ("loading ", 0.0),
    "all are ready": ("] [policy]: ready", 0.0),
    "in control steps": ("] [policy]: ready", 3.0),
}


def run(options: argparse.Namespace) -> int:
    """Print both tables; return the exit code."""
    repetitions = options.repetitions
    for name in ("date", "cpu", "load"):
        print(f"- {name}: {describe(torch.device('cpu'), '')[name]}")
    print(f"- command: tristage bench stop; seconds, medians of {repetitions}\n")
    print("| stopped when | idle | busy | killed |\n|---|--:|--:|--:|")
    for moment in MOMENTS:
        idle, busy = ([_stop(moment, spinning) for _ in range(repetitions)] for spinning in (0, os.cpu_count() or 1))
        killed = sum(each[1] for each in (*idle, *busy))
        medians = " | ".join(f"{statistics.median(each[0] for each in stops):.1f}" for stops in (idle, busy))
        print(f"| {moment} | {medians} | {killed} |", flush=True)
    print("\n| imports of | elapsed | processor |\n|---|--:|--:|")
    for node in NODES:
        times = [_import(node) for _ in range(repetitions)]
        print(f"| {node} | {' | '.join(f'{statistics.median(each):.1f}' for each in zip(*times, strict=True))} |")
    return 0


def _stop(moment: str, spinning: int) -> tuple[float, int]:
    """Return how long the graph took to stop, s, and how many of its processes had to be killed."""
    line, later = MOMENTS[moment]
    command = [sys.executable, "-m", "tristage_ros", "run", "piper_pick", RATE, f"can_channel:={_free()}"]
    graph = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert graph.stdout is not None
    said = []
    for text in graph.stdout:
        said.append(text)
        if line in text:
            break
    with busy(spinning):
        time.sleep(later)
        began = time.monotonic()
        graph.send_signal(signal.SIGINT)
        rest = graph.stdout.read()
        code, took = graph.wait(), time.monotonic() - began
    if code != 0 or "Traceback" in rest:
        sys.exit(f"error: {moment}: the graph ended with exit code {code}:\n{''.join(said[-20:])}{rest}")
    return took, rest.count("sending SIGKILL")


def _free() -> str:
    """Return an address of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return ":".join(map(str, probe.getsockname()))


def _import(node: str) -> Sequence[float]:
    """Return the seconds, and those of the processor, that the imports of a node take."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run([sys.executable, "-c", f"import {NODES[node]}"], check=True)
    after, took = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - began
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
