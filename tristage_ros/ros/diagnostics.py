"""Diagnostics by REP-107: every node says once a second, part by part, how it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

OK, WARN, ERROR, STALE = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR, DiagnosticStatus.STALE


@dataclass(frozen=True)
class Part:
    """Hold the state of one part of a node."""

    level: bytes
    message: str
    values: Mapping[str, object] = field(default_factory=dict)


class Diagnostics:
    """Publish the parts of one node on `diagnostics` at 1 Hz, named `node: part`."""

    def __init__(self, node: Node, hardware_id: str = "") -> None:
        """Start the 1 Hz timer of `node`; parts are added with `add`.

        The stamps are of ROS time, the beat is not: a node is alive also while replayed time is slow or stands still.
        """
        self._node, self._hardware_id = node, hardware_id
        self._parts: dict[str, tuple[Callable[[], Part], str]] = {}
        self._publisher = node.create_publisher(DiagnosticArray, "diagnostics", 10)
        self._timer = node.create_timer(1.0, self.publish, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def add(self, name: str, part: Callable[[], Part], hardware_id: str = "") -> None:
        """Ask `part` for its state every second; without a `hardware_id` it has that of the node."""
        self._parts[name] = part, hardware_id or self._hardware_id

    def publish(self) -> None:
        """Publish the state of every part now."""
        message = DiagnosticArray()
        message.header.stamp = self._node.get_clock().now().to_msg()
        message.status = [self._status(name, part(), hardware) for name, (part, hardware) in self._parts.items()]
        self._publisher.publish(message)

    def _status(self, name: str, part: Part, hardware_id: str) -> DiagnosticStatus:
        values = [KeyValue(key=key, value=_text(value)) for key, value in part.values.items()]
        return DiagnosticStatus(
            level=part.level,
            name=f"{self._node.get_name()}: {name}",
            message=part.message,
            hardware_id=hardware_id,
            values=values,
        )


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
