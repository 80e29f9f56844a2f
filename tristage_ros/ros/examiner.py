"""The node beside a trial: an operator who records, sets the policy back, and hears whether the task is done."""

from __future__ import annotations

from rclpy.task import Future
from std_msgs.msg import Bool
from std_srvs.srv import Trigger
from tristage_msgs.msg import ArmStatus

from tristage_ros.devices.arm.clock import ArmClock
from tristage_ros.ros import qos
from tristage_ros.ros.teacher import Teacher

OBEYS = (ArmStatus.HOLDING, ArmStatus.MOVING)
TROUBLE = {
    ArmStatus.FAULT: "arm fault",
    ArmStatus.DISCONNECTED: "the arm is not heard any more",
    ArmStatus.DISABLED: "the arm was disabled",
}


class Examiner(Teacher):
    """Start one run of a policy, and watch it."""

    def __init__(self) -> None:
        """Subscribe, and look for the services."""
        super().__init__("trial")
        self.clock = ArmClock()  # counts the arm's seconds, which may be longer than those of the clock
        self.done_since: float | None = None  # s of the arm's; None: the task is not done, or nobody tells
        self._reset = self.create_client(Trigger, "policy/reset")
        self.create_subscription(Bool, "tristage/task_done", self._on_done, qos.LATCHED)

    def _on_done(self, message: Bool) -> None:
        self.done_since = self.clock.now() if message.data else None

    def _on_dilation(self, dilation: float) -> None:
        super()._on_dilation(dilation)
        self.clock.dilate(dilation)

    def missing(self) -> str:
        """Return what is not up yet, for a person; empty when all is."""
        there = {
            "recorder": self.has_recorder and self.episode is not None and self.idle,
            "policy's services": self._reset.service_is_ready(),
        }
        return ", ".join([super().missing()] * bool(super().missing()) + [name for name, up in there.items() if not up])

    def reset(self) -> Future:
        """Have the policy forget what it has seen, and return the future of the answer."""
        return self._reset.call_async(Trigger.Request())

    def arm_trouble(self) -> str:
        """Return why the arm obeys no more, for a person; empty while it does."""
        arm = self.arm
        if arm is None or arm.mode in OBEYS:
            return ""
        told = TROUBLE.get(arm.mode, f"the arm's mode is {arm.mode}")
        return f"{told}: {arm.reason}" if arm.reason else told
