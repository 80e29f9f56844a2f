"""Measure the arm's side on the emulated arm: `python -m tristage_ros.bench.arm reactions|stream|soak`."""

from __future__ import annotations

import argparse
import sys

from tristage_ros.bench.arm.reactions import table
from tristage_ros.bench.arm.soak import soak
from tristage_ros.bench.arm.streaming import stream


def main() -> int:
    """Run one measurement; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tristage_ros.bench.arm", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    reactions = commands.add_parser("reactions", help="provoke every fault and print how fast it is answered")
    reactions.add_argument("--repetitions", type=int, default=3, help="of each fault; the median counts (default: 3)")
    streaming = commands.add_parser("stream", help="stream joint targets: tracking, jitter, processor")
    streaming.add_argument("--seconds", type=float, default=30.0)
    streaming.add_argument("--rate", type=float, default=50.0, help="set-points per second, 20 to 200 (default: 50)")
    soaking = commands.add_parser("soak", help="move for a long time; fails when memory, threads or files grow")
    soaking.add_argument("--seconds", type=float, default=600.0)
    options = parser.parse_args()
    if options.command == "reactions":
        print(table(options.repetitions))
    elif options.command == "stream":
        print("\n".join(stream(options.seconds, options.rate).lines()))
    elif grown := soak(options.seconds, lambda line: print(line, flush=True)):
        print(f"error: it grew: {grown}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
