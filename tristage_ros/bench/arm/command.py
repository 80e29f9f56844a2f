"""Measure the arm's side on the emulated arm: `tristage bench arm reactions|stream|soak`."""

from __future__ import annotations

import argparse
import sys

from tristage_ros.bench.arm.reactions import table
from tristage_ros.bench.arm.soak import soak
from tristage_ros.bench.arm.streaming import stream


def run(options: argparse.Namespace) -> int:
    """Run one measurement; return the exit code."""
    if options.measurement == "reactions":
        print(table(options.repetitions))
    elif options.measurement == "stream":
        print("\n".join(stream(options.seconds, options.rate).lines()))
    elif grown := soak(options.seconds, lambda line: print(line, flush=True)):
        print(f"error: it grew: {grown}", file=sys.stderr)
        return 1
    return 0
