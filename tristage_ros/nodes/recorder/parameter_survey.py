"""Ask every node of the graph for its parameters, without ever waiting for an answer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from rcl_interfaces.msg import ParameterEvent
from rcl_interfaces.srv import GetParameters, ListParameters
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python
from rclpy.task import Future

from tristage_ros.graph.namespaces import plain

PERIOD = 1.0  # s between looks for nodes that are new


class ParameterSurvey:
    """Keep the parameters of all nodes but the asking one, and call back when they are other than before.

    Nodes outside of the asking one's namespace are another cell's.
    """

    def __init__(self, node: Node, on_change: Callable[[], None]) -> None:
        """Begin to ask; `on_change` is called by the executor of `node`."""
        self.parameters: dict[str, dict[str, Any]] = {}  # by node, without the leading slash and the namespace
        self._node, self._on_change = node, on_change
        self._asked: set[str] = set()
        self._timer = node.create_timer(PERIOD, self._look)
        node.create_subscription(ParameterEvent, "/parameter_events", self._on_event, 100)

    def _look(self) -> None:
        """Ask the nodes that are new; one that only just starts is asked again at the next look."""
        own = self._node.get_fully_qualified_name()
        present = [(f"{where.rstrip('/')}/{name}", name) for name, where in self._node.get_node_names_and_namespaces()]
        self._asked &= {full for full, _ in present}  # one that is started again may have other parameters
        for full, name in present:
            if full not in self._asked and full != own and not name.startswith("_") and self._name(full):
                self._ask(full)

    def _name(self, full: str) -> str:
        return plain(full, self._node.get_namespace()).removeprefix("/")

    def _ask(self, full: str) -> None:
        client = self._node.create_client(ListParameters, f"{full}/list_parameters")
        if not client.service_is_ready():
            self._node.destroy_client(client)
            return
        self._asked.add(full)
        future = client.call_async(ListParameters.Request())
        future.add_done_callback(lambda done: self._on_names(full, client, done))

    def _on_names(self, full: str, client: Any, future: Future) -> None:
        self._node.destroy_client(client)
        names = list(future.result().result.names)
        getter = self._node.create_client(GetParameters, f"{full}/get_parameters")
        asked = getter.call_async(GetParameters.Request(names=names))
        asked.add_done_callback(partial(self._on_values, full, names, getter))

    def _on_values(self, full: str, names: list[str], client: Any, future: Future) -> None:
        self._node.destroy_client(client)
        values = {
            name: parameter_value_to_python(value)
            for name, value in zip(names, future.result().values, strict=False)
            if not name.startswith("qos_overrides.")
        }
        self.parameters[self._name(full)] = {name: _plain(value) for name, value in values.items()}
        self._on_change()

    def _on_event(self, event: ParameterEvent) -> None:
        if event.new_parameters:  # it was started again before anyone looked
            self._asked.discard(event.node)
        if not event.changed_parameters:
            return
        known = self.parameters.get(self._name(event.node))
        if known is None:  # asked, but not answered yet: the answer may be older than this
            self._asked.discard(event.node)
            return
        known |= {p.name: _plain(parameter_value_to_python(p.value)) for p in event.changed_parameters}
        self._on_change()


def _plain(value: Any) -> Any:
    """Return arrays as the lists that JSON and YAML can hold."""
    return list(value) if hasattr(value, "__iter__") and not isinstance(value, (str, bytes)) else value
