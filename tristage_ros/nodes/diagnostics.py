"""Diagnostics by REP-107: every node says once a second, part by part, how it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

OK, WARN, ERROR, STALE = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR, DiagnosticStatus.STALE


@dataclass(frozen=True)
class Part:
    """Hold the state of one part of a node."""

    level: bytes
    message: str
    values: Mapping[str, object] = field(default_factory=dict)


class Diagnostics:
    """Publish the parts of one node on /diagnostics at 1 Hz, named `node: part`."""

    def __init__(self, node: Node, hardware_id: str = "") -> None:
        """Start the 1 Hz timer of `node`; parts are added with `add`."""
        self._node, self._hardware_id = node, hardware_id
        self._parts: dict[str, Callable[[], Part]] = {}
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._timer = node.create_timer(1.0, self.publish)

    def add(self, name: str, part: Callable[[], Part]) -> None:
        """Ask `part` for its state every second."""
        self._parts[name] = part

    def publish(self) -> None:
        """Publish the state of every part now."""
        message = DiagnosticArray()
        message.header.stamp = self._node.get_clock().now().to_msg()
        message.status = [self._status(name, part()) for name, part in self._parts.items()]
        self._publisher.publish(message)

    def _status(self, name: str, part: Part) -> DiagnosticStatus:
        values = [KeyValue(key=key, value=_text(value)) for key, value in part.values.items()]
        return DiagnosticStatus(
            level=part.level,
            name=f"{self._node.get_name()}: {name}",
            message=part.message,
            hardware_id=self._hardware_id,
            values=values,
        )


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
