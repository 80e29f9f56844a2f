"""What a person asks of the arm: the services of the arm node."""

from __future__ import annotations

import time
from collections.abc import Callable

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from std_srvs.srv import Trigger

from tristage_ros.devices.arm.controller import ArmController
from tristage_ros.devices.arm.recovery import GripperCare, Recovery
from tristage_ros.devices.arm.values import ArmMode

Answer = tuple[bool, str]


class ArmServices:
    """Offer arm/enable, stop, clear_fault, move_home, recover, gripper_home and gripper_zero (std_srvs/Trigger)."""

    def __init__(self, node: Node, controller: Callable[[], ArmController | None], active: Callable[[], bool]) -> None:
        """Create the services of `node`; `controller` is None while the arm is not connected."""
        self._node, self._controller, self._active = node, controller, active
        self._recovery: Recovery | None = None
        self._gripper: GripperCare | None = None
        group = MutuallyExclusiveCallbackGroup()  # enabling may take a second; joint states must go on
        answers: dict[str, Callable[[ArmController], Answer]] = {
            "enable": self._enable,
            "stop": self._stop,
            "clear_fault": ArmController.clear_fault,
            "move_home": lambda arm: arm.move_home() if active() else (False, "the arm node is not active"),
            "recover": lambda arm: self._of(arm)[0].step(time.monotonic()),
            "gripper_home": lambda arm: self._of(arm)[1].home(),
            "gripper_zero": lambda arm: self._of(arm)[1].zero(time.monotonic()),
        }
        for name, answer in answers.items():
            node.create_service(Trigger, f"arm/{name}", self._service(name, answer), callback_group=group)

    def forget(self) -> None:
        """Begin every walk-through anew, as after the arm was disconnected."""
        self._recovery = self._gripper = None

    def _service(
        self, name: str, answer: Callable[[ArmController], Answer]
    ) -> Callable[[Trigger.Request, Trigger.Response], Trigger.Response]:
        def serve(request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            arm = self._controller()
            response.success, response.message = answer(arm) if arm else (False, "the arm is not connected")
            self._node.get_logger().info(f"{name}: {response.message}")
            return response

        return serve

    def _of(self, arm: ArmController) -> tuple[Recovery, GripperCare]:
        self._recovery = self._recovery or Recovery(arm)
        self._gripper = self._gripper or GripperCare(arm)
        return self._recovery, self._gripper

    def _enable(self, arm: ArmController) -> Answer:
        return arm.enable() if self._active() else (False, "the arm node is not active")

    def _stop(self, arm: ArmController) -> Answer:
        arm.stop("stopped by an operator")
        enabled = arm.snapshot().mode != ArmMode.DISABLED
        return True, "slowing down; the arm holds until /arm/enable" if enabled else "the motors are off"
