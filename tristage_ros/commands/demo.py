"""The demo: start the simulated cell, enable the arm as an operator would, show the run live, report on it."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
import webbrowser
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rich.console import Console
from rich.live import Live
from rich.table import Table
from std_msgs.msg import Bool

from tristage_ros.commands.monitor import status_table
from tristage_ros.graph import graph
from tristage_ros.graph.load import busy
from tristage_ros.graph.middleware import unwritable, without_images
from tristage_ros.graph.namespaces import inside
from tristage_ros.graph.supervisor import GraphProcess, remove_unused, shared_memory, shown
from tristage_ros.ros import qos
from tristage_ros.ros.context import begin
from tristage_ros.ros.operator import Operator
from tristage_ros.viewing.environment import Environment, ViewerError
from tristage_ros.viewing.page import LOOPBACK
from tristage_ros.viewing.program import has_display

if TYPE_CHECKING:
    from tristage_ros.reports.report import ReportPaths

LABELS = ("pruned", "unpruned")  # of two runs that are compared
START_UP = 120.0  # s for the cell to come up
CALM = 3.0  # simulated s after the task is done, at which a demo in slowed time ends: the rest would take too long
SLOWED = (
    "This computer is too slow, or too busy, for real time: the cell runs {:g} times slower than the clock, and no "
    "longer than until its task is done."
)
INTERRUPTED = 130
PAGE = re.compile(rf"http://{re.escape(LOOPBACK)}:\d+/\S+")  # of the Rerun viewer, in the log


class DemoError(RuntimeError):
    """Say what went wrong in the run; the message is one line for a person."""


def demo(
    seconds: float,
    out: Path | None,
    arguments: Mapping[str, str],
    compare: bool = False,
    processes: int = 0,
    browser: bool = True,
) -> int:
    """Run the pick cell for `seconds` of simulated time and write a report; return the exit code.

    Args:
        seconds: of simulated time, which passes more slowly than the clock on a computer that is too slow.
        out: folder of report and bag, default runs/<time>.
        arguments: launch arguments of piper_pick.
        compare: run the same scene unpruned as well, and put both side by side.
        processes: busy ones beside it.
        browser: show the page where there is a display.

    Raises:
        GraphError: an argument is wrong; nothing was started.
    """
    own = [name for name in ("record", "run_dir") if name in arguments]
    if own:
        raise graph.GraphError(f"{own[0]} is the demo's own; --out chooses the folder of its report and bag")
    folder = (out or Path(time.strftime("runs/%Y%m%d-%H%M%S"))).resolve()
    runs = _runs(folder, arguments, compare)
    described = [graph.build("piper_pick", given) for given in runs.values()]
    if arguments.get("hardware", "sim") != "sim":
        raise graph.GraphError("the demo drives the simulated cell only; use `tristage run piper_pick hardware:=piper`")
    if compare and "policy" not in described[0].executables:
        raise graph.GraphError("--compare needs the policy, and this demo has none: leave --lead and policy:=false out")
    console = Console()
    for run_dir in runs:
        if why := unwritable(run_dir):
            raise graph.GraphError(f"{run_dir} cannot be written ({why}); give --out FOLDER")
    if graph.RERUN in described[0].executables:
        _install_viewer(console)  # now, so that the run is not over before it can be seen
    stop = threading.Event()
    _stop_on_signals(stop)
    os.environ.update(without_images(described[0].environment))
    reports = {}
    with busy(processes):
        for (run_dir, given), each in zip(runs.items(), described, strict=True):
            paths, code = _once(seconds, given, each, run_dir, console, stop)
            if paths is None:
                return code
            reports[run_dir.name] = paths
    return _show(reports, folder, arguments.get("seed", "0"), console, browser)


def _runs(folder: Path, arguments: Mapping[str, str], compare: bool) -> dict[Path, dict[str, str]]:
    """Return the arguments of every run by its folder."""
    given = {"record": "true", **arguments}
    if not compare:
        return {folder: given | {"run_dir": str(folder)}}
    pruned, unpruned = (folder / label for label in LABELS)
    return {
        pruned: given | {"run_dir": str(pruned)},
        unpruned: given | {"run_dir": str(unpruned), "pruning": "unpruned"},
    }


def _once(
    seconds: float,
    given: Mapping[str, str],
    described: graph.Graph,
    run_dir: Path,
    console: Console,
    stop: threading.Event,
) -> tuple[ReportPaths | None, int]:
    """Run the cell once; return the report, None where there is none, and the exit code."""
    console.print(
        f"[bold]tristage_ros demo[/bold]: the simulated Piper cell for {seconds:.0f} s; Ctrl-C ends it. "
        f"Log: {shown(run_dir / 'log.txt')}"
    )
    before = shared_memory()
    try:
        interrupted = _Run(given, described, run_dir, console, stop).drive(seconds)
    except DemoError as error:
        console.print(f"[bold red]error:[/bold red] {error}", soft_wrap=True)
        return None, 1
    finally:
        remove_unused(shared_memory() - before)  # what a killed node left while this process still listened to it
    return _report(run_dir, console, interrupted)


def _install_viewer(console: Console) -> None:
    try:
        Environment().make(lambda told: console.print(told, soft_wrap=True))
    except ViewerError as error:
        raise graph.GraphError(str(error)) from error


def _stop_on_signals(stop: threading.Event) -> None:
    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, on_signal)


class _Run:
    """One supervised run of the graph with an operator beside it."""

    def __init__(
        self,
        arguments: Mapping[str, str],
        described: graph.Graph,
        run_dir: Path,
        console: Console,
        stop: threading.Event,
    ) -> None:
        self._namespace = described.namespace
        self._led = "policy" not in [node.name for node in described.nodes]
        self._console, self._stop, self._log = console, stop, run_dir / "log.txt"
        self._has_page = graph.RERUN in described.executables and not has_display()  # that is still to be told
        self._done = False  # the task, by the true state
        self._graph = GraphProcess("piper_pick", arguments, self._log)

    def drive(self, seconds: float) -> bool:
        """Enable the arm, watch for `seconds`, stop; return whether a person interrupted it."""
        begin(inside(self._namespace))
        executor = SingleThreadedExecutor()
        operator = Operator(led=self._led)
        executor.add_node(operator)
        operator.create_subscription(Bool, "tristage/task_done", self._on_done, qos.LATCHED)
        try:
            self._wait_until_ready(operator, executor)
            if not self._stop.is_set():
                self._watch(operator, executor, seconds)
                self._call(operator, executor, "stop", timeout=2.0)
            return self._stop.is_set()
        finally:
            executor.shutdown(timeout_sec=1.0)
            operator.destroy_node()
            rclpy.try_shutdown()
            self._graph.end()

    def _on_done(self, message: Bool) -> None:
        self._done = bool(message.data)

    def _wait_until_ready(self, operator: Operator, executor: SingleThreadedExecutor) -> None:
        deadline = time.monotonic() + START_UP
        with self._console.status("starting the nodes ...") as status:
            while not operator.ready() and not self._stop.is_set():
                self._check_alive()
                executor.spin_once(timeout_sec=0.1)
                status.update(f"starting the nodes: waiting for {operator.missing()}")
                if time.monotonic() > deadline:
                    raise DemoError(
                        f"the cell did not come up in {START_UP:.0f} s: no {operator.missing()}; see {self._log}"
                    )
        if not self._stop.is_set():
            self._call(operator, executor, "enable", timeout=10.0)

    def _call(self, operator: Operator, executor: SingleThreadedExecutor, service: str, timeout: float) -> None:
        future, end = operator.call(service), time.monotonic() + timeout
        interrupted = self._stop.is_set()
        while not future.done() and time.monotonic() < end and self._stop.is_set() == interrupted:
            executor.spin_once(timeout_sec=0.1)
        if self._stop.is_set():
            return
        if not future.done():
            raise DemoError(f"{self._namespace}/arm/{service} did not answer within {timeout:.0f} s; see {self._log}")
        if not future.result().success:
            raise DemoError(f"{self._namespace}/arm/{service}: {future.result().message}")

    def _watch(self, operator: Operator, executor: SingleThreadedExecutor, seconds: float) -> None:
        """Show the run until `seconds` of the cell's time have passed."""
        passed, calm, before, due, told = 0.0, 0.0, time.monotonic(), 0.0, 1.0
        with Live(
            status_table(operator, seconds), console=self._console, refresh_per_second=4, transient=False
        ) as live:
            while passed < seconds and not self._stop.is_set():
                self._check_alive()
                executor.spin_once(timeout_sec=0.1)
                now = time.monotonic()
                simulated = (now - before) / operator.dilation
                passed, calm, before = passed + simulated, calm + simulated if self._done else 0.0, now
                if operator.dilation != told:
                    told = operator.dilation
                    self._console.print(SLOWED.format(told), soft_wrap=True, highlight=False)
                if told > 1.0 and calm > CALM:
                    return
                if now >= due:
                    due = now + 0.25
                    live.update(status_table(operator, max(seconds - passed, 0.0)))

    def _check_alive(self) -> None:
        if trouble := self._graph.trouble():
            raise DemoError(trouble)
        if self._has_page and (page := PAGE.search(self._log.read_text(errors="replace"))):
            self._has_page = False
            self._console.print(f"for a browser on this machine: {page[0]}", soft_wrap=True)


def _report(run_dir: Path, console: Console, interrupted: bool) -> tuple[ReportPaths | None, int]:
    """Write a run's report and say how it ended; return the report, None where there is none, and the exit code."""
    from tristage_ros.reports.ended import sentences
    from tristage_ros.reports.report import report  # matplotlib only where it is needed

    console.print()  # the table ends without a line break where it is not a terminal
    if interrupted:
        recorded = f" What was recorded: {shown(run_dir / 'bag')}" if (run_dir / "bag").exists() else ""
        console.print(f"interrupted; everything is stopped.{recorded}", soft_wrap=True)
        return None, INTERRUPTED
    try:
        with console.status("writing the report ..."):
            paths = report(run_dir / "bag", run_dir, {})
    except (ValueError, OSError) as error:
        console.print(
            f"[bold red]error:[/bold red] no report: {error}; log: {shown(run_dir / 'log.txt')}", soft_wrap=True
        )
        return None, 1
    for sentence in sentences(paths.run) if paths.run else ():
        console.print(sentence, soft_wrap=True, highlight=False)
    console.print(f"report: [bold]{shown(paths.html)}[/bold]")
    console.print(f"bag:    [bold]{shown(run_dir / 'bag')}[/bold]")
    return paths, 0


def _show(reports: Mapping[str, ReportPaths], folder: Path, seed: str, console: Console, browser: bool) -> int:
    """Put two runs side by side, and show what was written where there is a display; return the exit code."""
    page = next(iter(reports.values())).html
    if len(reports) > 1:
        from tristage_ros.reports.ended import rows, side_by_side

        table = Table("", *reports, "")
        for row in rows(*(paths.run for paths in reports.values() if paths.run)):
            table.add_row(*row)
        console.print(table)
        page = side_by_side(reports, seed, folder)
        console.print(f"both:   [bold]{shown(page)}[/bold]")
    if browser and has_display():
        webbrowser.open(page.as_uri())
    return 0
