"""Run a program of another ROS 2 package beside the graph: its end ends nothing, and the graph's end ends it."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from rclpy.node import Node

from tristage_ros.graph.prerequisites import interpreter
from tristage_ros.graph.ros_packages import program
from tristage_ros.ros.runner import ConfigurationError

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
