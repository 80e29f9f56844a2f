"""Diagnostics by REP-107: every node says once a second, part by part, how it is, and how well its input flows.

`PARAMETERS` are those of a node that watches camera streams.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from tristage_ros.ros.parameters import Parameter

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


# How well a stream of stamped messages flows, told by its stamps: right under replayed time as well.

SPAN = 5.0  # s over which rate and loss are taken
PARAMETERS = (
    Parameter("camera_rate", 15.0, "frames per second that every camera is set to deliver", "Hz", 1.0, 90.0),
    Parameter("max_loss", 0.5, "a larger share of lost camera frames is a warning", "", 0.0, 1.0),
    Parameter("silent_after", 5.0, "a camera without frames for longer is an error", "s", 0.1, 600.0),
)


@dataclass(frozen=True)
class StreamLimits:
    """Hold what is expected of a stream."""

    rate: float  # messages per second
    max_age: float  # s; older is a warning
    max_loss: float  # 0..1; a larger share of lost messages is a warning
    silent_after: float  # s; older is an error


class Stream:
    """Keep the stamps of the last seconds of one stream."""

    def __init__(self, limits: StreamLimits) -> None:
        """Start without a message."""
        self.limits = limits
        self.dilation = 1.0  # how many seconds of the stamps one of the limits' takes
        self.received = 0
        self._stamps: deque[float] = deque()

    def add(self, stamp: float) -> None:
        """Take the stamp of a message (s, ROS time); a repeated one is no new message, an older one begins anew."""
        self.received += 1
        if self._stamps and stamp <= self._stamps[-1]:
            if stamp > self._stamps[0]:  # late or repeated; what begins anew lies before all that is known
                return
            self._stamps.clear()
        self._stamps.append(stamp)
        while self._stamps[0] < stamp - SPAN:
            self._stamps.popleft()

    def age(self, now: float) -> float | None:
        """Return the age of the newest message in s, None before the first; `now` in s, ROS time."""
        return now - self._stamps[-1] if self._stamps else None

    @property
    def rate(self) -> float:
        """Return messages per second over the last seconds, 0 before the second message."""
        span = self._span()
        return (len(self._stamps) - 1) / span if span > 0 else 0.0

    @property
    def loss(self) -> float:
        """Return the share of messages, 0..1, that the expected rate has and the last seconds lack."""
        expected = self._span() * self.limits.rate / self.dilation
        return max(0.0, 1.0 - (len(self._stamps) - 1) / expected) if expected > 0 else 0.0

    def part(self, now: float, complaint: str = "", **values: object) -> Part:
        """Return the state of the stream; `complaint` is a warning that the stamps do not tell."""
        age, limits = self.age(now), self.limits
        if age is None:
            return Part(WARN, complaint or "no frame yet", {"received": self.received, **values})
        values = {
            "rate [Hz]": self.rate,
            "age [ms]": age * 1e3,
            "loss [%]": self.loss * 100,
            "rate wanted [Hz]": limits.rate / self.dilation,
            "received": self.received,
            **values,
        }
        if complaint:
            return Part(WARN, complaint, values)
        if age > limits.max_age * self.dilation:
            silent = age > limits.silent_after * self.dilation
            return Part(ERROR if silent else WARN, f"no frame for {age:.1f} s", values)
        if self.loss > limits.max_loss:
            wanted = f"{limits.rate / self.dilation:.3g} Hz"
            return Part(WARN, f"{self.loss:.0%} of the frames are lost: {self.rate:.1f} of {wanted}", values)
        return Part(OK, f"{self.rate:.1f} Hz", values)

    def _span(self) -> float:
        return self._stamps[-1] - self._stamps[0] if self._stamps else 0.0


def limits_of(settings: SimpleNamespace, max_age: float) -> StreamLimits:
    """Return the limits in a node's `settings`, which has `PARAMETERS`."""
    return StreamLimits(settings.camera_rate, max_age, settings.max_loss, settings.silent_after)
