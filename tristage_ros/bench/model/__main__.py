"""Run the benchmark where the package is not installed: `python -m tristage_ros.bench.model`."""

from __future__ import annotations

import argparse
import sys

from tristage_ros.bench.model.command import run
from tristage_ros.bench.options import add_bench_options

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tristage_ros.bench.model")
    add_bench_options(parser)
    sys.exit(run(parser.parse_args()))
