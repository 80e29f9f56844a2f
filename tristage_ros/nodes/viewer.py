"""Start a viewer once the topics that it shows are there."""

from __future__ import annotations

import sys

from tristage_ros.namespaces import plain, program_arguments, relative
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
        if all(self.count_publishers(relative(topic)) for topic in s.topics if topic):
            self._wait.cancel()
            self.start(s.package, s.executable, [a for a in s.arguments if a] + self._of_this_cell())

    def _of_this_cell(self) -> list[str]:
        """Return the arguments with which a program that names topics as without a namespace finds this cell's."""
        namespace = self.get_namespace()
        if namespace == "/":
            return []
        known = {plain(full, namespace): full for full, _ in self.get_topic_names_and_types()}
        remap = [part for name, full in known.items() if name for part in ("-r", f"{name}:={full}")]
        return program_arguments(namespace) + remap


def main() -> None:
    """Run the node until a signal ends it."""
    sys.exit(run(ViewerNode, niceness=10))


if __name__ == "__main__":
    main()
