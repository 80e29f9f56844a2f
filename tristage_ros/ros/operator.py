"""What an operator at a terminal sees and may do: the newest of every status topic, and the arm's services."""

from __future__ import annotations

import math
import os
import time

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from rclpy.task import Future
from std_srvs.srv import Trigger
from tristage_msgs.msg import ArmStatus, PruningStats, StageTimings

from tristage_ros.ros.dilation import follow_dilation

PACE = "simulation: pace"  # of the diagnostics: of a simulated cell whose time may pass more slowly


class Operator(Node):
    """Listen to the run and call the arm's services."""

    STALE = 5.0  # s after which what a node said of itself no longer counts

    def __init__(self, name: str = "operator", led: bool = False) -> None:
        """Subscribe to the status topics; `led`: a person leads the arm, and no policy is expected."""
        super().__init__(name)
        self.led = led
        namespace = self.get_namespace().rstrip("/")
        self.domain = os.environ.get("ROS_DOMAIN_ID", "0") + (f", namespace {namespace}" if namespace else "")
        self.heard: dict[str, float] = {}  # s, monotonic clock, of the newest message: by topic or part
        self.pruning: PruningStats | None = None
        self.timings: StageTimings | None = None
        self.arm: ArmStatus | None = None
        self.dilation = 1.0  # how many seconds of the clock one of the arm's takes
        self.first_pruning: PruningStats | None = None
        self.diagnostics: dict[str, DiagnosticStatus] = {}
        self.create_subscription(PruningStats, "tristage/pruning", self._on_pruning, 10)
        self.create_subscription(StageTimings, "tristage/timings", self._on_timings, 10)
        self.create_subscription(ArmStatus, "arm/status", self._on_arm, 10)
        self._diagnostics = self.create_subscription(DiagnosticArray, "diagnostics", self._on_diagnostics, 50)
        follow_dilation(self, self._on_dilation)
        self._arm_services = {
            name: self.create_client(Trigger, f"arm/{name}") for name in ("enable", "stop", "clear_fault")
        }

    def _on_pruning(self, message: PruningStats) -> None:
        self.heard["tristage/pruning"] = time.monotonic()
        self.first_pruning = self.first_pruning or message
        self.pruning = message

    def _on_timings(self, message: StageTimings) -> None:
        if message.step:  # a look is none of the steps that are shown
            self.timings = message

    def _on_arm(self, message: ArmStatus) -> None:
        self.heard["arm/status"] = time.monotonic()
        self.arm = message

    def _on_dilation(self, dilation: float) -> None:
        self.dilation = dilation

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self.diagnostics |= {status.name: status for status in message.status}
        self.heard |= {status.name: time.monotonic() for status in message.status}

    def silence(self, name: str) -> float:
        """Return since when nothing was heard of a topic or a part of diagnostics, s; infinite before the first."""
        return time.monotonic() - self.heard.get(name, -math.inf)

    def level(self, name: str) -> bytes:
        """Return the level of a part of diagnostics; STALE when its node has fallen silent."""
        return DiagnosticStatus.STALE if self.silence(name) > self.STALE else self.diagnostics[name].level

    def complete(self) -> bool:
        """Return whether every status topic was heard."""
        return None not in (self.pruning, self.timings, self.arm) and bool(self.diagnostics)

    def parts(self) -> tuple[int, int]:
        """Return how many nodes publish diagnostics, and of how many parts was heard; both grow until all are known."""
        return self.count_publishers(self._diagnostics.topic_name), len(self.diagnostics)

    def ready(self) -> bool:
        """Return whether arm, cameras, cloud and policy are all up, or the arm, where a person leads it."""
        return not self.missing()

    def missing(self) -> str:
        """Return what is not up yet, for a person; empty when all is."""
        wanted = {
            "arm": self.arm is not None
            and self.arm.mode != ArmStatus.DISCONNECTED
            and self._arm_services["enable"].service_is_ready(),
            "point cloud": self.led or self._level("point_cloud: cloud") == DiagnosticStatus.OK,
            "policy": self.led or self._level("policy: policy") is not None,
            "pace": self._level(PACE) != DiagnosticStatus.WARN,  # it is one while this computer is measured
        }
        return ", ".join(name for name, up in wanted.items() if not up)

    def _level(self, name: str) -> bytes | None:
        status = self.diagnostics.get(name)
        return status.level if status else None

    def call(self, service: str) -> Future:
        """Call arm/`service` and return the future of its answer."""
        return self._arm_services[service].call_async(Trigger.Request())

    def trouble(self) -> list[str]:
        """Return what is not OK, for a person."""
        return [
            f"{name}: {status.message}"
            for name, status in self.diagnostics.items()
            if self.level(name) != DiagnosticStatus.OK
        ]
