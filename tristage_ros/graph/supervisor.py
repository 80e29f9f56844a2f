"""Run a graph without a launch system: every node a process, one exit ends them all, nothing is left behind.

`run` does so in this process, for `tristage run`. A `GraphProcess` is such a supervisor in a process of its own, for as
long as this one wants it.
"""

from __future__ import annotations

import fcntl
import math
import os
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TextIO

from honcho.manager import Manager
from honcho.printer import Message, Printer

from tristage_ros.graph.graph import OURS, Graph, GraphError, NodeSpec, parameter_files
from tristage_ros.graph.prerequisites import program
from tristage_ros.start import end_with_supervisor

SHARED_MEMORY = Path("/dev/shm")
MIDDLEWARE_FILES = re.compile(r"(sem\.)?fastdds_|lttng-ust-wait")
PORT, PORT_LOCK = re.compile(r"port\d+"), "_el"  # of FastDDS, each file of a port and the lock of who listens there
LONGEST = 2000  # characters of a line; a pipe that takes anything takes as many
PATIENCE = 1.0  # s for a reader to go on reading
STOPPED = re.compile(r"(\w+) stopped \(rc=(-?\d+)\)")


class FirstExit(Printer):
    """Print what the nodes print, and remember in which order they stopped, how, and what they complained of."""

    def __init__(self, output: TextIO) -> None:
        """Print to `output`."""
        super().__init__(output)
        self.codes: dict[str, int] = {}  # by node, in the order in which they stopped
        self.complaints: dict[str, str] = {}
        self._patience = PATIENCE

    def write(self, message: Message) -> None:
        """Print a line of a node or of the supervisor itself."""
        text = message.data.decode(errors="replace") if isinstance(message.data, bytes) else str(message.data)
        found = STOPPED.match(text) if message.name == "system" else None
        if found:
            self.codes[found[1]] = int(found[2])
        if text.startswith("error: "):
            self.complaints[message.name] = text.removeprefix("error: ").strip()
        for begin in range(0, len(text), LONGEST):
            self._print(message._replace(data=text[begin : begin + LONGEST]))

    def _print(self, message: Message) -> None:
        """Print, unless nobody reads: the nodes go on, and still have to be stopped."""
        if not takes_more(self.output, self._patience):
            self._patience = 0.0
            return
        self._patience = PATIENCE
        with suppress(OSError, RuntimeError):  # nobody will read any more, or the disk is full
            super().write(message)


class PatientManager(Manager):
    """Ask the nodes to stop, also while they are still starting, and kill those that do not within `GRACE` seconds.

    On a busy machine a node that loads its weights takes three of them to hear of it.
    """

    GRACE = 10.0
    _deadline = math.inf  # s, monotonic clock

    def terminate(self) -> None:
        """Send SIGTERM to every node; SIGKILL follows."""
        if not self._all_started():
            self._later(0.1, self.terminate)
            return
        if not self._terminating:
            self._deadline = time.monotonic() + self.GRACE
            self._later(self.GRACE, self.kill)
        super().terminate()

    def kill(self) -> None:
        """Send SIGKILL to every node that is left, but not as early as honcho would once the first has ended."""
        if time.monotonic() >= self._deadline:
            super().kill()

    @staticmethod
    def _later(seconds: float, action: Callable[[], None]) -> None:
        timer = threading.Timer(seconds, action)
        timer.daemon = True
        timer.start()


def run(graph: Graph, output: TextIO = sys.stdout) -> int:
    """Run `graph` until it is interrupted or one of its nodes ends; then end the others.

    Returns:
        0 after Ctrl-C or SIGTERM when every node stopped cleanly, else the exit code of the node that ended the run.

    Raises:
        GraphError: a program of the graph is not installed.
    """
    files = parameter_files(graph.nodes)
    commands = {node.name: _command(node, graph, files.get(node.name)) for node in graph.nodes}
    before = shared_memory()
    printer = FirstExit(output)
    manager = PatientManager(printer)
    ours = {"TRISTAGE_SUPERVISOR": str(os.getpid()), "PYTHONUNBUFFERED": "1"}
    for node in graph.nodes:
        environment = os.environ | graph.environment_of(node) | ours
        manager.add_process(node.name, "exec " + shlex.join(commands[node.name]), env=environment)
    end_with_supervisor()
    signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))  # the terminal is gone
    manager.loop()
    remove_unused(shared_memory() - before)
    interrupted = manager.returncode in (130, 143)
    # A node that is still importing when it is asked to stop ends by the signal itself.
    clean = (0, -signal.SIGTERM) if interrupted else ()
    culprits = [name for name, code in printer.codes.items() if code not in clean]
    if not culprits:
        return 0
    name, code = culprits[0], printer.codes[culprits[0]]
    why = f": {printer.complaints[name]}" if name in printer.complaints else ""
    if takes_more(sys.stderr, PATIENCE):
        with suppress(OSError):
            print(f"error: {name} ended with exit code {code}{why}", file=sys.stderr, flush=True)
    return code if code > 0 else 1


def takes_more(output: TextIO, patience: float) -> bool:
    """Tell whether printing would not wait longer than `patience`, s, for somebody to read a pipe empty."""
    try:
        return bool(select.select([], [output], [], patience)[1])
    except (OSError, ValueError):  # it is kept in memory
        return True


def _command(node: NodeSpec, graph: Graph, parameters: Path | None) -> list[str]:
    names = {"__node": node.name, "__ns": graph.namespace or "/", **node.remappings}
    remap = [part for old, new in names.items() for part in ("-r", f"{old}:={new}")]
    given = ["--params-file", str(parameters)] if parameters else []
    return [*_program(node), *node.arguments, "--ros-args", *remap, *given]


def _program(node: NodeSpec) -> list[str]:
    if node.package == OURS:
        return [sys.executable, "-m", "tristage_ros.nodes", node.executable]
    found = program(node.package, node.executable) or shutil.which(node.executable)
    if found is None:
        raise GraphError(
            f"{node.executable} is not installed or not sourced here: "
            f"sudo apt install ros-$ROS_DISTRO-{node.package.replace('_', '-')}"
        )
    return [str(found)]


def shared_memory() -> set[Path]:
    """Return what the middleware has in shared memory."""
    if not SHARED_MEMORY.is_dir():
        return set()
    return {path for path in SHARED_MEMORY.iterdir() if MIDDLEWARE_FILES.match(path.name)}


def remove_unused(paths: set[Path]) -> None:
    """Remove what killed processes left; files that another running process maps or holds open are somebody else's."""
    used: set[str] = set()
    for process in Path("/proc").glob("[0-9]*"):
        if process.name != str(os.getpid()):
            used |= _files_of(process)
    for path in sorted(paths, key=lambda path: path.name.endswith(PORT_LOCK)):  # a port's lock last
        with suppress(OSError):  # gone meanwhile, or another user's
            if str(path) not in used and path.stat().st_uid == os.getuid():
                _unlink(path)


def _unlink(path: Path) -> None:
    """Remove a file, but not of a port at which a process has begun to listen: it would hear nothing from then on."""
    lock = path.with_name(f"fastdds_{port[0]}{PORT_LOCK}") if (port := PORT.search(path.name)) else None
    with lock.open() if lock and lock.exists() else nullcontext() as held:
        if held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)  # as FastDDS does, which takes another port when it cannot
        path.unlink()


def _files_of(process: Path) -> set[str]:
    files: set[str] = set()
    with suppress(OSError):  # it ended meanwhile, or is another user's
        lines = (process / "maps").read_text().splitlines()
        files |= {line.split(maxsplit=5)[-1] for line in lines if "/dev/shm/" in line}
        for descriptor in (process / "fd").iterdir():
            with suppress(OSError):
                files.add(os.readlink(descriptor))
    return files


# The same for who needs a graph beside his own work, as the demo, a replay and measurements do.

SHUT_DOWN = 15.0  # s for the supervisor to end its nodes


class GraphProcess:
    """A process that runs `tristage run`."""

    def __init__(self, graph: str, arguments: Mapping[str, str], log: Path) -> None:
        """Start the nodes; what they say goes to `log`."""
        self._log = log
        texts = [f"{name}:={value}" for name, value in arguments.items()]
        command = [sys.executable, "-m", "tristage_ros", "run", graph, *texts]
        environment = os.environ | {"TRISTAGE_SUPERVISOR": str(os.getpid())}  # without us it ends by itself
        with log.open("w") as file:
            # A session of its own: Ctrl-C reaches us alone, and we decide when the supervisor is to end.
            self._process = subprocess.Popen(
                command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True, env=environment
            )

    def trouble(self) -> str:
        """Return why it has ended, in a line for a person; empty while it runs."""
        code = self._process.poll()
        if code is None:
            return ""
        errors = [line for line in self._log.read_text(errors="replace").splitlines() if "error:" in line.lower()]
        why = errors[-1].split("error:", 1)[-1].strip() if errors else "the nodes ended by themselves"
        return f"{why} (exit code {code}; the whole log: {shown(self._log)})"

    def end(self) -> None:
        """Stop it."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(SHUT_DOWN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def shown(path: Path) -> str:
    """Return a path as a person would write it here."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
