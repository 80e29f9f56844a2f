"""The command `tristage show`: a bag, a run, or a recording of Rerun in its viewer."""

from __future__ import annotations

import argparse
import threading
import time
from pathlib import Path

from tristage_ros.bags.reader import BagReader
from tristage_ros.viewing.bag import name_of, play
from tristage_ros.viewing.environment import Environment, ViewerError
from tristage_ros.viewing.logger.wire import Record
from tristage_ros.viewing.program import Program
from tristage_ros.viewing.stream import Stream, logger

RECORDING = ".rrd"
MEMORY = "50%"  # of this machine's, for what is shown


def run(options: argparse.Namespace) -> int:
    """Show it until the window is closed, or Ctrl-C; return the exit code.

    Raises:
        ValueError: it cannot be read, or the viewer does not start.
    """
    path: Path = options.bag
    recording = path if path.suffix == RECORDING and path.is_file() else None
    if recording is None:
        _require_bag(path)
    environment = Environment()
    try:
        environment.make(print)
        program = Program(environment, MEMORY, recording)
    except ViewerError as error:
        raise ValueError(str(error)) from error
    try:
        if program.page:
            print(f"{program.page}\nfor a browser on this machine; Ctrl-C ends it", flush=True)
        if recording is None:
            _send(path, environment, program)
        while program.is_open:
            time.sleep(0.2)
    except KeyboardInterrupt:
        pass
    finally:
        program.close()
    return 0


def _require_bag(path: Path) -> None:
    """Raise BagError where there is none, before anything is installed."""
    inside = path / "bag"
    with BagReader(inside if inside.exists() else path):
        pass


class _ClosedError(Exception):
    """Say that nobody looks any more."""


def _send(path: Path, environment: Environment, program: Program) -> None:
    stream = logger(environment, ["--connect", program.url], name_of(path), patient=True)

    def log(record: Record) -> None:
        if not program.is_open:
            raise _ClosedError
        stream.put(record)

    threading.Thread(target=_end_with, args=(program, stream), daemon=True).start()
    try:
        for line in play(path, log):
            print(line, flush=True)
        why = stream.finish()
    except _ClosedError:
        why = ""
    finally:
        stream.close()
    if why and program.is_open:
        raise ValueError(f"not all of {path} is shown: {why}")


def _end_with(program: Program, stream: Stream) -> None:
    """End what logs once the viewer is closed: it would wait for it, and be waited for."""
    while program.is_open:
        time.sleep(0.2)
    stream.close()
