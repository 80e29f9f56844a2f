"""The node beside a person who teaches: hears arm and recorder, and calls their services."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rclpy.task import Future
from std_srvs.srv import Trigger
from tristage_msgs.msg import ArmStatus, EpisodeStatus

from tristage_ros.ros import qos
from tristage_ros.ros.operator import Operator

EPISODE_SERVICES = ("start", "stop", "success", "failure", "redo", "quit")
SOURCES = {"leader": ArmStatus.LEADER, "joints": ArmStatus.JOINTS, "twist": ArmStatus.TWIST}  # values of command_source
ENGAGED = (ArmStatus.CATCHING_UP, ArmStatus.LEADING)


class Teacher(Operator):
    """An operator who also leads the arm and records episodes."""

    def __init__(self, name: str = "teach") -> None:
        """Subscribe, and look for the services."""
        super().__init__(name)
        self.episode: EpisodeStatus | None = None
        self.create_subscription(EpisodeStatus, "episodes/status", self._on_episode, qos.LATCHED)
        self._clients_of = {name: self.create_client(Trigger, f"episodes/{name}") for name in EPISODE_SERVICES}
        self._arm_services |= {name: self.create_client(Trigger, f"arm/{name}") for name in ("engage", "disengage")}
        self._setters = {
            node: self.create_client(SetParameters, f"{node}/set_parameters") for node in ("arm", "episodes")
        }

    def _on_episode(self, message: EpisodeStatus) -> None:
        self.episode = message

    @property
    def has_recorder(self) -> bool:
        """Return whether somebody records episodes."""
        return all(client.service_is_ready() for client in (*self._clients_of.values(), self._setters["episodes"]))

    @property
    def recording(self) -> bool:
        """Return whether an episode is being recorded."""
        return self.episode is not None and self.episode.state == EpisodeStatus.RECORDING

    @property
    def idle(self) -> bool:
        """Return whether the recorder has nothing to do."""
        return self.episode is None or self.episode.state == EpisodeStatus.IDLE

    @property
    def engaged(self) -> bool:
        """Return whether the arm follows a leader."""
        return self.arm is not None and self.arm.leading in ENGAGED

    def offers(self, service: str) -> bool:
        """Return whether the arm has that service."""
        return bool(self._arm_services[service].service_is_ready())

    def episodes(self, service: str) -> Future:
        """Call one of the recorder's services and return the future of its answer."""
        return self._clients_of[service].call_async(Trigger.Request())

    def can_set(self, node: str) -> bool:
        """Return whether the parameters of arm or episodes can be set."""
        return bool(self._setters[node].service_is_ready())

    def set(self, node: str, values: Mapping[str, Any]) -> Future:
        """Set parameters of arm or episodes, and return the future of the answer."""
        parameters = [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]
        return self._setters[node].call_async(SetParameters.Request(parameters=parameters))

    def leading(self) -> str:
        """Return what keeps the leader from leading, or that it leads, for a person; empty where nothing leads."""
        arm = self.arm
        if arm is None or arm.command_source not in SOURCES.values():
            return ""
        source = next(name for name, number in SOURCES.items() if number == arm.command_source)
        state = {
            ArmStatus.NOT_LEADING: "not leading",
            ArmStatus.TOO_FAR: "too far to engage",
            ArmStatus.READY: "near enough: e engages",
            ArmStatus.CATCHING_UP: "catching up",
            ArmStatus.LEADING: "leading",
        }.get(arm.leading, str(arm.leading))
        reason = f", {arm.leading_reason}" if arm.leading_reason and arm.leading == ArmStatus.NOT_LEADING else ""
        missing = ""
        if source != "twist" and not self.engaged:
            missing = "; " + " ".join(
                f"J{number} {'not heard' if math.isnan(value) else f'{value:+.2f}'}"
                for number, value in enumerate(arm.leading_missing, start=1)
            ) + " rad"  # fmt: skip
        return f"{source}: {state}{reason}{missing}"
