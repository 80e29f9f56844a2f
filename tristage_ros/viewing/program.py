"""The program that shows: a window where there is a display, else a page that this machine alone can open."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from tristage_ros.viewing.environment import Environment, ViewerError
from tristage_ros.viewing.page import LOOPBACK, PageServer, free_port

PORT, PAGE_PORT = 9876, 9090  # where records come in, and where the page is; another one where these are taken
PAGE_OPTIONS = "hide_welcome_screen&persist=false&notebook=false&theme=dark"
MEMORY = "512MB"
# Run a program until it ends, or the standard input does: also of us who were killed nothing is left.
WHILE_WE_LIVE = 'exec 3<&0; "$@" 3<&- & v=$!; (cat <&3; kill $v) >/dev/null 2>&1 & wait $v'
PATIENCE = 20.0  # s for it to listen
ESTABLISHED, LISTENING = "01", "0A"  # in /proc/net/tcp


class Program:
    """The viewer, which listens on the loopback interface only."""

    def __init__(self, environment: Environment, memory: str = MEMORY, recording: Path | None = None) -> None:
        """Start it.

        Args:
            environment: where it is installed.
            memory: what it keeps at most, the newest; without a window: for a page that is opened later.
            recording: file to show.

        Raises:
            ViewerError: it does not start.
        """
        self.has_window = has_display()
        self.port = free_port(PORT)
        self.url = f"rerun+http://{LOOPBACK}:{self.port}/proxy"
        command = [str(environment.viewer), "--bind", LOOPBACK, "--port", str(self.port), "--hide-welcome-screen"]
        command += [str(recording)] if recording else []
        command += ["--memory-limit", memory] if self.has_window else ["--serve-grpc", "--server-memory-limit", memory]
        self.page = ""
        self._server = None if self.has_window else PageServer(environment.page, PAGE_PORT)
        if self._server:
            self.page = f"http://{LOOPBACK}:{self._server.port}/?url={quote(self.url, safe='')}&{PAGE_OPTIONS}"
        self.process = subprocess.Popen(
            ["sh", "-c", WHILE_WE_LIVE, "sh", "nice", "-n", "10", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment.variables(),
        )
        self._wait_until_listening()

    def _wait_until_listening(self) -> None:
        end = time.monotonic() + PATIENCE
        while not listens(self.port):
            if not self.is_open or time.monotonic() > end:
                code = self.process.poll()
                self.close()
                raise ViewerError(
                    f"the Rerun viewer does not start (exit code {code})"
                    + ("; without a window: env -u DISPLAY -u WAYLAND_DISPLAY ..." if self.has_window else "")
                )
            time.sleep(0.05)

    @property
    def is_open(self) -> bool:
        """Tell whether it runs."""
        return self.process.poll() is None

    @property
    def is_watched(self) -> bool:
        """Tell whether somebody looks: the window is open, or a page is connected beside the process that logs."""
        return self.is_open and (self.has_window or connections(self.port) > 1)

    def close(self) -> None:
        """End it."""
        if self._server:
            self._server.close()
            self._server = None
        if self.process.stdin:
            self.process.stdin.close()
        try:
            self.process.wait(3.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def has_display() -> bool:
    """Tell whether a window can be opened."""
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def connections(port: int) -> int:
    """Return how many connections there are to a port of this machine."""
    return sum(local == port and state == ESTABLISHED for _, local, state in _sockets())


def listens(port: int) -> bool:
    """Tell whether somebody listens on a port."""
    return any(local == port and state == LISTENING for _, local, state in _sockets())


def _sockets() -> Iterator[tuple[str, int, str]]:
    """Yield local address, local port and state of the TCP sockets of this machine."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:  # without IPv6
            continue
        for line in lines:
            _, local, _, state, *_ = line.split()
            address, port = local.rsplit(":", 1)
            yield address, int(port, 16), state
