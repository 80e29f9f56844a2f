"""The pace of the simulated cell: what the nodes need on this computer is heard, and the cell's time passes by it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from rclpy.node import Node
from std_msgs.msg import Float64
from tristage_msgs.msg import StageTimings

from tristage_ros.devices.arm.chunks import ChunkLimits
from tristage_ros.ros import qos
from tristage_ros.ros.diagnostics import ERROR, OK, WARN, Part
from tristage_ros.simulation.cell import Cell
from tristage_ros.simulation.pace import MOST, Demands, Pace

_STUCK_AFTER = 3.0  # s without an action of a policy that works


class KeptPace:
    """Let the cell's time pass as slowly as its cameras and the policy need it on this computer, and say so."""

    def __init__(self, node: Node, cell: Cell, frame_rate: float, tell: Callable[[], None]) -> None:
        """Listen to the policy of `node`'s graph; `frame_rate`: Hz, of the cameras; `tell` the diagnostics now."""
        self.pace = Pace(Demands(frame_rate, ChunkLimits().max_age))
        self._node, self._cell, self._tell = node, cell, tell
        self._silent_since: float | None = None  # s, monotonic clock, since when the policy works and no action comes
        node.create_subscription(Float64, qos.REHEARSAL_TOPIC, lambda said: self._acted(said.data), qos.NEWEST)
        node.create_subscription(StageTimings, "tristage/timings", self._on_timings, 10)
        node.create_timer(0.2, self._look)

    def _on_timings(self, timings: StageTimings) -> None:
        if timings.step:  # nobody acts on a look
            self._acted(timings.action_age_ms * 1e-3)

    def _acted(self, age: float) -> None:
        self._silent_since = math.inf
        self.pace.acted(age)

    def _look(self) -> None:
        before, drawing, acting = self.pace.dilation, self.pace.drawing, self.pace.acting
        was_settled = self.pace.settled
        changed = self.pace.look() or (self._is_stuck() and self.pace.stuck())
        if not changed and self.pace.settled == was_settled:
            return
        measured = f"{drawing * 1e3:.0f} ms to draw a moment, {acting * 1e3:.0f} ms from it to the action"
        self._node.get_logger().info(f"simulated time passes {self.pace.in_words()} ({measured}; was {before:g})")
        self._cell.dilate(self.pace.dilation)
        self._tell()

    def _is_stuck(self) -> bool:
        """Tell whether the policy works, but all that it is shown is too old by then."""
        now = time.monotonic()
        if self._silent_since is None and self._node.count_publishers(qos.REHEARSAL_TOPIC):
            self._silent_since = now
        if self._silent_since is None or now < self._silent_since + _STUCK_AFTER:
            return False
        self._silent_since = now
        return True

    def part(self) -> Part:
        """Return what the diagnostics say about it."""
        pace = self.pace
        values = {
            "time dilation": pace.dilation,
            "drawing [ms]": pace.drawing * 1e3,
            "camera to action [ms]": pace.acting * 1e3,
        }
        level = WARN if not pace.settled else ERROR if pace.dilation == MOST else OK
        return Part(level, f"simulated time passes {pace.in_words()}", values)
