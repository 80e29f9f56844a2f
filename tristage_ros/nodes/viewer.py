"""Start a viewer once the topics that it shows are there."""

from __future__ import annotations

from tristage_ros.nodes.parameters import Parameter, declare
from tristage_ros.nodes.program import ProgramNode
from tristage_ros.nodes.runner import run

PARAMETERS = (
    Parameter("package", "", "ROS 2 package of the program"),
    Parameter("executable", "", "the program"),
    Parameter("arguments", [""], "its command line"),
    Parameter("topics", [""], "topics that are published before it starts"),
)


class ViewerNode(ProgramNode):
    """Wait for topics, then run the program."""

    def __init__(self) -> None:
        """Begin to wait."""
        super().__init__("viewer")
        self.settings = declare(self, PARAMETERS)
        self._wait = self.create_timer(0.5, self._start_when_published)

    def _start_when_published(self) -> None:
        s = self.settings
        if all(self.count_publishers(topic) for topic in s.topics if topic):
            self._wait.cancel()
            self.start(s.package, s.executable, [argument for argument in s.arguments if argument])


def main() -> int:
    """Run the node until a signal ends it; return the exit code."""
    return run(ViewerNode, niceness=10)
