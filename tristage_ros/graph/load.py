"""Processes that keep a machine busy beside what is run or measured on it."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

MOST_LOAD = 64  # busy processes


@contextmanager
def busy(processes: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Keep the machine busy with processes that never rest; they end with the block."""
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield spinning
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def load(text: str) -> int:
    """Return a number of busy processes that was typed; raise argparse's error for anything else."""
    if not text.isdecimal() or int(text) > MOST_LOAD:
        raise argparse.ArgumentTypeError(f"{text} is not a number of processes from 0 to {MOST_LOAD}")
    return int(text)
