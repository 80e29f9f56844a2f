"""Who may command the arm, and when.

A person by services, of which `arm/enable` comes first. A policy or a trajectory only while it is the one live source
of its topic, and, for a chunk, while stamps can be trusted: not just after this computer's clock was set.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from rclpy.time import Time
from std_srvs.srv import Trigger
from tristage_msgs.srv import ConfirmedTrigger

from tristage_ros.devices.arm.clock import ArmClock
from tristage_ros.devices.arm.controller import ArmController
from tristage_ros.devices.arm.recovery import Answer, GripperCare, Recovery
from tristage_ros.devices.arm.values import ArmMode
from tristage_ros.nodes.arm.black_box import BlackBox


class ArmServices:
    """Offer arm/enable, stop, clear_fault, back_off, move_home, engage, ... (Trigger), and what has to be confirmed.

    That is arm/recover and arm/gripper_zero (ConfirmedTrigger).
    """

    def __init__(
        self,
        node: Node,
        controller: Callable[[], ArmController | None],
        active: Callable[[], bool],
        box: BlackBox,
    ) -> None:
        """Create the services of `node`; `controller` is None while the arm is not connected; `box` keeps the calls."""
        self._node, self._controller, self._active, self._box = node, controller, active, box
        self._recovery: Recovery | None = None
        self._gripper: GripperCare | None = None
        calm = MutuallyExclusiveCallbackGroup()  # enabling may take seconds; joint states must go on
        urgent = MutuallyExclusiveCallbackGroup()  # a stop waits for nobody
        answers: dict[str, Callable[[ArmController], tuple[bool, str]]] = {
            "enable": self._enable,
            "stop": self._stop,
            "clear_fault": ArmController.clear_fault,
            "back_off": ArmController.back_off,
            "move_home": lambda arm: arm.move_home() if active() else (False, "the arm node is not active"),
            "engage": lambda arm: arm.engage_leader() if active() else (False, "the arm node is not active"),
            "disengage": ArmController.disengage_leader,
            "gripper_home": lambda arm: self._of(arm)[1].home(),
        }
        confirmed: dict[str, Callable[[ArmController, str], Answer]] = {
            "recover": lambda arm, code: self._of(arm)[0].step(code, time.monotonic()),
            "gripper_zero": lambda arm, code: self._of(arm)[1].zero(code, time.monotonic()),
        }
        for name, answer in answers.items():
            group = urgent if name in ("stop", "disengage") else calm
            node.create_service(Trigger, f"arm/{name}", self._service(name, answer), callback_group=group)
        for name, step in confirmed.items():
            serve = self._confirmed_service(name, step)
            node.create_service(ConfirmedTrigger, f"arm/{name}", serve, callback_group=calm)

    def forget(self) -> None:
        """Begin every walk-through anew, as after the arm was disconnected."""
        self._recovery = self._gripper = None

    def _service(
        self, name: str, answer: Callable[[ArmController], tuple[bool, str]]
    ) -> Callable[[Trigger.Request, Trigger.Response], Trigger.Response]:
        def serve(request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            self._box.say("service", f"arm/{name} called")
            arm = self._controller()
            response.success, response.message = answer(arm) if arm else (False, "the arm is not connected")
            self._node.get_logger().info(f"{name}: {response.message}")
            self._box.served(f"arm/{name}", response.success, response.message)
            return response

        return serve

    def _confirmed_service(
        self, name: str, step: Callable[[ArmController, str], Answer]
    ) -> Callable[[ConfirmedTrigger.Request, ConfirmedTrigger.Response], ConfirmedTrigger.Response]:
        def serve(request: ConfirmedTrigger.Request, response: ConfirmedTrigger.Response) -> ConfirmedTrigger.Response:
            self._box.say("service", f"arm/{name} called")
            arm = self._controller()
            answer = step(arm, request.code.strip()) if arm else Answer(False, "the arm is not connected")
            response.success, response.message, response.code = answer
            self._node.get_logger().info(f"{name}: {answer.message}")
            self._box.served(f"arm/{name}", answer.success, answer.message)
            return response

        return serve

    def _of(self, arm: ArmController) -> tuple[Recovery, GripperCare]:
        resolved = self._node.resolve_service_name
        self._recovery = self._recovery or Recovery(arm, resolved("arm/recover"))
        self._gripper = self._gripper or GripperCare(arm, resolved("arm/gripper_zero"))
        return self._recovery, self._gripper

    def _enable(self, arm: ArmController) -> tuple[bool, str]:
        return arm.enable() if self._active() else (False, "the arm node is not active")

    def _stop(self, arm: ArmController) -> tuple[bool, str]:
        arm.stop("stopped by an operator")
        enabled = arm.snapshot().mode != ArmMode.DISABLED
        return True, "slowing down; the arm holds until /arm/enable" if enabled else "the motors are off"


# Who else is in this ROS domain that must not move the arm.


def rivals(node: Node, topic: str) -> str:
    """Return why no command on `topic` may be acted on, "" when there is one live source and no replay.

    Another cell's source is on a topic below that cell's namespace and counts for nothing; a clock is everybody's.
    """
    if node.count_publishers("/clock"):
        return "something publishes /clock: a replay or another simulation is in this ROS domain; end it"
    publishers = [
        f"{info.node_namespace.rstrip('/')}/{info.node_name}" for info in node.get_publishers_info_by_topic(topic)
    ]
    players = [name for name in publishers if "rosbag2_player" in name]
    if players:
        return f"{players[0]} plays {topic} from a bag, which must not move an arm; leave that topic out"
    if len(publishers) > 1:
        return f"{len(publishers)} nodes publish {topic}: {', '.join(sorted(publishers))}; end all but one"
    return ""


class Stamps:
    """Tell stamps of ROS time from those of an arm's clock, by one reading of both."""

    def __init__(self, offset: float, clock: ArmClock) -> None:
        """Take ROS time minus monotonic time, s."""
        self._offset, self._clock = offset, clock

    def ros(self, arm: float) -> float:
        """Return the ROS time, s, of a time of the arm's clock."""
        return self._clock.monotonic(arm) + self._offset

    def arm(self, ros: float) -> float:
        """Return the arm's time, s, at a ROS time."""
        return self._clock.at(ros - self._offset)

    def now(self) -> float:
        """Return the arm's present time, s."""
        return self._clock.now()


# The offset of a clock that somebody may set, and for how long its stamps then mean nothing.

_STEP = 0.02  # s; slewing is a thousand times slower
_APART = 0.002  # s from before the clock was read until after it, for the reading to count


class SetClock:
    """Tell ROS time from monotonic time, and when the former was set."""

    def __init__(self, max_age: float) -> None:
        """Mistrust stamps for `max_age` s after the clock was set: older ones are refused anyway."""
        self._max_age, self._offset, self._change, self._set_at = max_age, math.nan, 0.0, -math.inf

    def offset(self, ros: Callable[[], Time], monotonic: Callable[[], float]) -> float:
        """Return ROS time minus monotonic time, s, both read now."""
        while True:
            before, now, after = monotonic(), ros().nanoseconds * 1e-9, monotonic()
            if after - before < _APART:
                break
        offset = now - before
        if abs(offset - self._offset) > _STEP:
            self._change, self._set_at = offset - self._offset, after
        self._offset = offset
        return offset

    def complaint(self, monotonic: float, dilation: float = 1.0) -> str:
        """Return why stamps cannot be told from one another now, s on the monotonic clock; "" while they can.

        `dilation`: how many of its seconds make one of the arm's.
        """
        if monotonic - self._set_at > self._max_age * dilation:
            return ""
        return f"this computer's clock was set by {self._change:+.3f} s: what was observed before cannot be told apart"
