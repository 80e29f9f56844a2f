"""`tristage monitor`: the newest of a run in a terminal, also over ssh."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence
from types import FrameType

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from rich.console import Console
from rich.live import Live

from tristage_ros.commands.monitor.view import view
from tristage_ros.graph.middleware import one_machine
from tristage_ros.ros.operator import Operator

PERIOD = 0.25  # s between two pictures
PATIENCE = 10.0  # s that a single picture waits for the first control step


def monitor(once: bool, ros_arguments: Sequence[str] = (), console: Console | None = None) -> int:
    """Show the run until a signal; `once`: print one picture as soon as there is one.

    Args:
        once: print one picture.
        ros_arguments: those of the node, such as its namespace.
        console: where it is shown, default this terminal.

    Returns:
        0, with `once` 1 when nothing was published.

    Raises:
        OSError: the output is no terminal, and not one picture only was asked for.
    """
    console = console or Console()
    if not once and not console.is_terminal:
        raise OSError("the monitor needs a terminal; --once prints one picture into a file or a pipe")
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, on_signal)
    for name, value in one_machine(simulated=False).items():
        os.environ.setdefault(name, value)
    rclpy.init(args=list(ros_arguments), signal_handler_options=SignalHandlerOptions.NO)
    operator, executor = Operator("monitor"), SingleThreadedExecutor()
    executor.add_node(operator)
    try:
        return _print_once(operator, executor, console, stop) if once else _watch(operator, executor, console, stop)
    finally:
        executor.shutdown(timeout_sec=1.0)
        operator.destroy_node()
        rclpy.try_shutdown()


def _watch(operator: Operator, executor: SingleThreadedExecutor, console: Console, stop: threading.Event) -> int:
    # The alternate screen: what was in the terminal before is there again afterwards.
    with Live(console=console, screen=True, auto_refresh=False) as live:
        due = 0.0
        while not stop.is_set():
            executor.spin_once(timeout_sec=0.05)
            if time.monotonic() >= due:
                due = time.monotonic() + PERIOD
                live.update(view(operator, *console.size), refresh=True)
    return 0


def _print_once(operator: Operator, executor: SingleThreadedExecutor, console: Console, stop: threading.Event) -> int:
    end = time.monotonic() + PATIENCE
    while not (operator.complete() or stop.is_set()) and time.monotonic() < end:
        executor.spin_once(timeout_sec=0.1)
    width, height = max(console.width, 80), max(console.height, 24)
    colored = console.color_system is not None
    console.print(view(operator, width, height, colored), width=width, height=height)
    return 0 if operator.heard else 1
