"""A recorder of one's own, where the graph that runs has none."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from tristage_ros.graph.graph import environment
from tristage_ros.graph.middleware import without_images
from tristage_ros.graph.namespaces import node_arguments

PATIENCE = 15.0  # s to end what runs


class OwnRecorder:
    """The node `episodes` as a process, which ends with this one."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        """Start it.

        Raises:
            OSError: its log cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "recorder.log"
        values = {
            "folder": json.dumps(str(folder)),
            "color": options.color,
            "cameras": json.dumps(options.cameras),
            "cameras_file": json.dumps(str(options.cameras_file or "")),
            "site_file": json.dumps(str(options.site or "")),
        }
        overrides = [part for name, value in values.items() for part in ("-p", f"{name}:={value}")]
        command = [sys.executable, "-m", "tristage_ros.nodes", "episodes", *node_arguments(options), *overrides]
        variables = os.environ | without_images(environment()) | {"TRISTAGE_SUPERVISOR": str(os.getpid())}
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=variables,
                start_new_session=True,
            )  # fmt: skip

    def trouble(self) -> str:
        """Return why it no longer runs, empty while it does."""
        if self._process.poll() is None:
            return ""
        said = [line for line in self.log.read_text(errors="replace").splitlines() if line.startswith("error: ")]
        return said[-1].removeprefix("error: ") if said else f"the recorder ended; see {self.log}"

    def end(self) -> None:
        """Ask it to end, and see that it does."""
        self._process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(PATIENCE)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
