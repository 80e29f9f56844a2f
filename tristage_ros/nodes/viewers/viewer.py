"""Run one viewer beside the graph: `ros2 run tristage_ros viewer --ros-args -p view:=rqt`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tristage_ros.graph.viewers import VIEWS
from tristage_ros.nodes.viewers.program import ProgramNode
from tristage_ros.ros.parameters import Parameter, declare
from tristage_ros.ros.runner import run

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
