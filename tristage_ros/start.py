"""Start the programs of this package, so that Ctrl-C ends them quietly from their first moment, also as they import.

Python answers Ctrl-C with a traceback, and torch takes seconds to import. So what a program is made of is imported only
here, by name, once `quietly` was called; the console scripts, `python -m tristage_ros` and `python -m
tristage_ros.nodes NAME` all come through this module.
"""

from __future__ import annotations

import io
import logging
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import NoReturn

from tristage_ros import shadowing
from tristage_ros.graph import middleware

EXIT_CONFIGURATION, EXIT_INTERRUPTED = 2, 130
NODES = {  # by name, the modules whose `main` runs them
    "arm": "tristage_ros.nodes.arm.node",
    "camera": "tristage_ros.nodes.camera.node",
    "episodes": "tristage_ros.nodes.recorder.episodes",
    "point_cloud": "tristage_ros.nodes.point_cloud",
    "policy": "tristage_ros.nodes.policy.node",
    "recorder": "tristage_ros.nodes.recorder.node",
    "remote_policy": "tristage_ros.nodes.remote.node",
    "rerun_viewer": "tristage_ros.nodes.viewers.rerun_viewer",
    "robot_model": "tristage_ros.nodes.viewers.robot_model",
    "simulation": "tristage_ros.nodes.simulation",
    "viewer": "tristage_ros.nodes.viewers.viewer",
}


def quietly(code: int) -> None:
    """Let Ctrl-C end this process at once, with `code` and without a word.

    SIGTERM keeps its default: a handler runs only between two steps of the interpreter, and to load a large library is
    one step, which takes seconds where the disk is slow.
    """
    signal.signal(signal.SIGINT, lambda *_: os._exit(code))
    # The scripts of the nodes begin with it blocked, since the interpreter itself takes a moment to start.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def interruptible() -> None:
    """Raise KeyboardInterrupt at the first Ctrl-C or SIGTERM; a further one must not break off what puts in order."""

    def once(number: int, frame: FrameType | None) -> NoReturn:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, once)


def end_with_supervisor() -> None:
    """Ask this process to stop, as SIGTERM does, once the one that started it and would end it is gone."""
    supervisor = os.environ.get("TRISTAGE_SUPERVISOR")
    if supervisor:
        threading.Thread(target=_end_with, args=(supervisor,), daemon=True).start()


def _end_with(pid: str) -> None:
    while Path("/proc", pid).exists():
        time.sleep(0.5)
    with suppress(OSError):  # what it said was read by the same process, perhaps
        os.write(2, b"error: the process that started this one is gone: stopping\n")
    os.kill(os.getpid(), signal.SIGTERM)


def leave(code: int) -> NoReturn:
    """End this process with `code` when all is in order.

    What the interpreter and torch would still tidy up takes a second of processor time, on a busy machine more than a
    launch system waits.
    """
    logging.shutdown()
    flush()
    os._exit(code)


def streams() -> None:
    """Open standard streams that were closed, lest the next file or socket takes their place and is printed into.

    No text is refused by any of them, whatever the encoding of the terminal.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest that is free
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal of ASCII shows ? for what it lacks
            stream.reconfigure(errors="replace")


def unread() -> bool:
    """Tell whether what this process prints goes into a pipe whose reader is gone."""
    poll = select.poll()
    poll.register(1, 0)
    return any(happened & select.POLLERR for _, happened in poll.poll(0))


def flush() -> None:
    """Write what was printed; where nobody reads it any more, let it go instead of complaining as Python does."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream:
                stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def tristage() -> NoReturn:
    """Run the command line."""
    asked_to_run = sys.argv[1:2] == ["run"]  # which goes on until it is stopped: to be stopped is no failure
    quietly(0 if asked_to_run else EXIT_INTERRUPTED)
    streams()
    try:
        if told := shadowing.complaint():
            sys.exit(f"error: {told}")
        sys.exit(import_module("tristage_ros.cli").main())
    except KeyboardInterrupt:  # in the moment between a command and here
        sys.exit(EXIT_INTERRUPTED)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        flush()


def node(name: str) -> NoReturn:
    """Run the node that `ros2 run` knows by `name`."""
    quietly(0)
    streams()
    end_with_supervisor()
    if told := shadowing.complaint():
        print(f"error: {name}: {told}", file=sys.stderr)
        leave(EXIT_CONFIGURATION)
    if name == "simulation" and (told := import_module("tristage_ros.simulation").rendering_trouble()):
        print(f"error: {name}: {told}", file=sys.stderr)
        leave(EXIT_CONFIGURATION)
    try:
        middleware.check(os.environ)
        main: Callable[[], int] = import_module(NODES[name]).main
    except middleware.MiddlewareError as error:
        print(f"error: {name}: {error}", file=sys.stderr)
        leave(EXIT_CONFIGURATION)
    except ImportError as error:
        print(f"error: {name}: {error}; was the workspace sourced, the virtual environment activated?", file=sys.stderr)
        leave(EXIT_CONFIGURATION)
    leave(main())


arm, camera, episodes, point_cloud, policy, recorder, remote_policy, rerun_viewer, robot_model, simulation, viewer = (
    partial(node, name) for name in NODES
)
