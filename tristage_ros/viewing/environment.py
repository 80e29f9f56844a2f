"""The environment of its own that rerun-sdk lives in: made on first use, by pip, in the user's cache.

rerun-sdk wants numpy 2, which in the nodes' environment would take the place of apt's numpy 1.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TextIO

from tristage_ros.resources import resource
from tristage_ros.viewing.page import take_page

DOWNLOAD, DISK = 250, 900  # MB
UNREACHABLE = re.compile(r"name resolution|unreachable|Failed to establish|timed out|ProxyError|No matching dist", re.I)
FULL = re.compile(r"No space left on device|Errno 28|Disk quota", re.I)
# What a sourced ROS 2 or another environment sets for its own programs.
FOREIGN = ("PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "PIP_CONSTRAINT", "PIP_TARGET", "PIP_USER")


class ViewerError(RuntimeError):
    """Say why nothing can be shown; the message is one line for a person."""


class Environment:
    """Where the viewer is installed, for the Python that runs this."""

    def __init__(self, cache: Path | None = None) -> None:
        """Look into `cache`, default the user's."""
        base = cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tristage_ros"
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        self.folder = base / f"rerun-{version}"
        self.python, self.page = self.folder / "bin" / "python", self.folder / "page"
        # What shows and serves.
        self.viewer = self.folder / "lib" / f"python{version}" / "site-packages" / "rerun_cli" / "rerun"
        self._requirements = resource("config", "rerun.txt")
        self._stamp = (
            self.folder / "installed.txt"
        )  # what is installed; written last, so one that exists can be trusted

    @property
    def is_whole(self) -> bool:
        """Tell whether everything is installed."""
        wanted = self._requirements.read_text(encoding="utf-8")
        there = all(path.exists() for path in (self.python, self.viewer, self.page, self._stamp))
        return there and self._stamp.read_text(encoding="utf-8") == wanted

    def variables(self) -> dict[str, str]:
        """Return the environment variables of what runs in it; its settings are ours, by which it sends nobody data."""
        own = {name: value for name, value in os.environ.items() if name not in FOREIGN}
        return own | {"XDG_CONFIG_HOME": str(self.folder / "settings"), "RUST_LOG": "error"}

    def make(self, say: Callable[[str], None], stop: threading.Event | None = None) -> None:
        """Install what is missing, after one line to `say`; another process that does so already is waited for.

        Raises:
            ViewerError: it cannot be done, or `stop` was set meanwhile.
        """
        if self.is_whole:
            return
        stop = stop or threading.Event()
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            with self.folder.with_name(f"{self.folder.name}.lock").open("w") as lock:
                _take(lock, stop)
                if not self.is_whole:
                    size = f"about {DOWNLOAD} MB from the package index"
                    say(f"installing the Rerun viewer into {self.folder}, once: {size}")
                    self._install(stop)
        except OSError as error:
            raise ViewerError(
                f"the Rerun viewer cannot be installed: {error}; XDG_CACHE_HOME chooses the place"
            ) from error

    def _install(self, stop: threading.Event) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        log_path = self.folder.with_name(f"{self.folder.name}.log")
        with log_path.open("w") as log:
            self._run([sys.executable, "-I", "-m", "venv", str(self.folder)], os.environ, log, stop)
            pip = ["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--only-binary=:all:"]
            self._run([str(self.python), "-I", *pip, "-r", str(self._requirements)], self.variables(), log, stop)
            self._run([str(self.viewer), "analytics", "disable"], self.variables(), log, stop)
        take_page(self.viewer, self.variables(), self.page)
        self._stamp.write_text(self._requirements.read_text(encoding="utf-8"), encoding="utf-8")

    def _run(self, command: list[str], variables: Mapping[str, str], log: TextIO, stop: threading.Event) -> None:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=dict(variables))
        try:
            while process.poll() is None:
                if stop.wait(0.1):
                    raise ViewerError("the installation of the Rerun viewer was stopped; the next one begins anew")
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
        if process.returncode:
            raise ViewerError(_explained(Path(log.name)))


def _take(lock: TextIO, stop: threading.Event) -> None:
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if stop.wait(0.2):
                raise ViewerError("the Rerun viewer is being installed by another process") from None


def _explained(log: Path) -> str:
    text = log.read_text(encoding="utf-8", errors="replace")
    if FULL.search(text):
        why = f"the disk is full; it takes {DISK} MB, XDG_CACHE_HOME chooses the place"
    elif UNREACHABLE.search(text):
        why = "the package index cannot be reached; check the network (proxy: HTTPS_PROXY), and try again"
    elif "ensurepip" in text:
        why = "this Python makes no environments; sudo apt install python3-venv"
    else:
        why = next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no word of why")
    return f"the Rerun viewer cannot be installed: {why} (log: {log}); in any terminal: tristage monitor"
