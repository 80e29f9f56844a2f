"""A graph that runs under a supervisor of its own, for as long as this process wants it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

SHUT_DOWN = 10.0  # s for the supervisor to end its nodes


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
