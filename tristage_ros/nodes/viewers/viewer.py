"""Run one viewer beside the graph: `ros2 run tristage_ros viewer --ros-args -p view:=rqt`.

It is a program of another ROS 2 package: its end ends nothing, and the graph's end ends it.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rclpy.node import Node

from tristage_ros.graph.prerequisites import interpreter, program
from tristage_ros.graph.viewers import VIEWS
from tristage_ros.ros.parameters import Parameter, declare
from tristage_ros.ros.runner import ConfigurationError, run

PATIENCE = 3.0  # s to end by itself
NICE = ("nice", "-n", "10")  # what shows may wait when the processor is short; the node that has to end it may not


class ProgramNode(Node):
    """Own one child process."""

    def __init__(self, name: str) -> None:
        """Start without a child."""
        super().__init__(name)
        self.process: subprocess.Popen[bytes] | None = None
        self._path: Path | None = None
        self._watch = self.create_timer(0.5, self._check)

    def start(self, package: str, executable: str, arguments: Sequence[str], starter: str = "") -> None:
        """Start the program, by the folder `starter` beside this file if one is named.

        Raises:
            ConfigurationError: it is not installed.
        """
        self._path = path = program(package, executable)
        if path is None:
            raise ConfigurationError(f"{executable} of the package {package} is not installed or not sourced")
        # In the interpreter that the program would be run by: its libraries need not be those of this one.
        before = [interpreter(path), str(Path(__file__).with_name(starter))] if starter else []
        self.process = subprocess.Popen([*NICE, *before, str(path), *arguments])
        self.get_logger().info(f"started {path}")

    def _check(self) -> None:
        process = self.process
        if process and process.poll() is not None:
            self.process = None
            ended = f"exit code {process.returncode}" if process.returncode else "closed"
            self.get_logger().info(f"{self._path}: {ended}; the graph goes on without it")

    def close(self) -> None:
        """End the program."""
        self.close_program()

    def close_program(self) -> None:
        """End the program, at once if it does not end by itself."""
        process, self.process = self.process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


PARAMETERS = (Parameter("view", "", "the viewer", choices=tuple(VIEWS)),)


class ViewerNode(ProgramNode):
    """Start the program with a configuration that names the topics of this node's namespace."""

    def __init__(self) -> None:
        """Start it."""
        super().__init__("viewer")
        view = VIEWS[declare(self, PARAMETERS).view]
        self._folder = tempfile.TemporaryDirectory(prefix="tristage-viewer-")
        arguments = view.command_line(self.get_namespace(), Path(self._folder.name))
        self.start(view.packages[0], view.executable, arguments, view.starter)

    def close(self) -> None:
        """End the program and remove its configuration."""
        self.close_program()
        self._folder.cleanup()


def main() -> int:
    """Run the node until a signal ends it; return the exit code."""
    return run(ViewerNode)
