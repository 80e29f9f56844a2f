"""What leads the arm, as ROS has it: a second Piper's adapter, joint states, tool velocities; and where a leader is."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
from geometry_msgs.msg import TwistStamped
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64

from tristage_ros.devices.arm.controller import ArmController
from tristage_ros.devices.arm.kinematics import GRIPPER_RANGE
from tristage_ros.devices.arm.leader import PiperLeader
from tristage_ros.devices.arm.named_joints import UNITS, NamedJoints
from tristage_ros.devices.arm.twist import check_twist
from tristage_ros.devices.arm.values import BASE_FRAME, ArmState, CommandSource, LeadState, Led
from tristage_ros.nodes.arm.authority import Stamps, rivals
from tristage_ros.nodes.arm.black_box import BlackBox
from tristage_ros.ros.convert import header
from tristage_ros.ros.joints import ARM_JOINTS, GRIPPER_JOINT
from tristage_ros.ros.parameters import Parameter
from tristage_ros.ros.subscriptions import Subscriptions

JOINTS, TWIST, GRIPPER, HEARD = (f"arm/leader/{name}" for name in ("joint_states", "twist", "gripper", "heard"))
TOOL_FRAME = "tool"
_LOOKS = 0.5  # s between two looks at who publishes what leads
_declared = NamedJoints()
PARAMETERS = (
    Parameter("leader_can", "", "CAN channel of a second Piper that leads, such as can1; empty: there is none"),
    Parameter("leader_interface", "", "python-can interface of that channel; empty: that of can_interface"),
    Parameter("leader_joint_names", list(_declared.names), f"J1 to J6, as the joint states on {JOINTS} call them"),
    Parameter("leader_joint_units", _declared.units, "of those joint states", choices=tuple(UNITS)),
    Parameter("leader_joint_signs", list(_declared.signs), "1.0, or -1.0 where that joint turns the other way"),
    Parameter(
        "leader_joint_offsets", list(_declared.offsets), "added to those joints, once units and signs are right", "rad"
    ),
    Parameter("leader_gripper_name", _declared.gripper, "what those joint states call the gripper; empty: it has none"),
    Parameter("leader_gripper_closed", _declared.closed, "what that gripper says when it is closed"),
    Parameter("leader_gripper_open", _declared.opened, "what that gripper says when it is open"),
)


def named_joints(settings: SimpleNamespace) -> NamedJoints:
    """Return how a device's joint states are read, by the parameters.

    Raises:
        ValueError: they describe no six joints.
    """
    return NamedJoints(
        tuple(settings.leader_joint_names),
        settings.leader_joint_units,
        tuple(settings.leader_joint_signs),
        tuple(settings.leader_joint_offsets),
        settings.leader_gripper_name,
        settings.leader_gripper_closed,
        settings.leader_gripper_open,
    )


def second_arm(settings: SimpleNamespace) -> PiperLeader | None:
    """Return a second arm that is listened to, None where there is none.

    Raises:
        ValueError: it is to be at the adapter of the arm that it leads.
    """
    if not settings.leader_can:
        return None
    interface = settings.leader_interface or settings.can_interface
    if (interface, settings.leader_can) == (settings.can_interface, settings.can_channel):
        raise ValueError(f"leader_can is {settings.leader_can}, the arm's own adapter: a leader needs one to itself")
    leader = PiperLeader(interface, settings.leader_can)
    leader.start()
    return leader


class LeadTopics:
    """Hand joint states and tool velocities to the arm that they lead, while they own it and nobody else sends them."""

    def __init__(
        self,
        node: Node,
        subscriptions: Subscriptions,
        joints: NamedJoints,
        controller: Callable[[], ArmController | None],
        box: BlackBox,
    ) -> None:
        """Subscribe on `node`; `controller` is None while the arm is not connected; `box` keeps what became of it."""
        self._node, self._joints, self._controller, self._box = node, joints, controller, box
        self._told: tuple[LeadState, str] = (LeadState.NOT_LEADING, "")
        self._published: Led | None = None
        self._gripper: float | None = None  # m
        self._looked, self._rivals = -math.inf, ""
        subscriptions.add(JointState, JOINTS, self._on_joints, qos_profile_sensor_data)
        subscriptions.add(TwistStamped, TWIST, self._on_twist, qos_profile_sensor_data)
        subscriptions.add(Float64, GRIPPER, self._on_gripper, 1)
        self._heard = node.create_publisher(JointState, HEARD, 10)

    def _on_joints(self, message: JointState) -> None:
        self._hear(CommandSource.JOINTS, JOINTS, lambda now: self._joints.led(now, message.name, message.position))

    def _on_twist(self, message: TwistStamped) -> None:
        self._hear(CommandSource.TWIST, TWIST, lambda now: self._twist(now, message))

    def _twist(self, now: float, message: TwistStamped) -> Led:
        frame = message.header.frame_id
        if frame not in ("", BASE_FRAME, TOOL_FRAME):
            raise ValueError(f"the twist is in frame {frame!r}; give it in {BASE_FRAME} or {TOOL_FRAME}")
        linear, angular = ([v.x, v.y, v.z] for v in (message.twist.linear, message.twist.angular))
        twist = check_twist(np.array(linear), np.array(angular))
        return Led(now, twist=twist, in_tool=frame == TOOL_FRAME, gripper=self._gripper)

    def _on_gripper(self, message: Float64) -> None:
        if math.isfinite(message.data):
            self._gripper = GRIPPER_RANGE[1] * min(1.0, max(0.0, message.data))

    def _hear(self, source: CommandSource, topic: str, led: Callable[[float], Led]) -> None:
        arm = self._controller()
        if arm is None or arm.source is not source:
            return
        now = time.monotonic()
        if now > self._looked + _LOOKS:
            self._looked, self._rivals = now, rivals(self._node, topic)
        try:
            if self._rivals:
                raise ValueError(self._rivals)
            arm.hear(source, led(now))
        except ValueError as error:
            arm.object_to(source, str(error))

    def publish(self, state: ArmState, stamps: Stamps) -> None:
        """Say where the leader is, as understood, if it was heard since."""
        led = state.lead.led
        if led is None or led is self._published or led.position is None:
            return
        self._published = led
        message = JointState(header=header(stamps.ros(led.stamp), BASE_FRAME))
        gripper = math.nan if led.gripper is None else led.gripper
        message.name, message.position = [*ARM_JOINTS, GRIPPER_JOINT], [*led.position.tolist(), gripper]
        self._heard.publish(message)

    def look(self, state: ArmState) -> None:
        """Tell the log and the black box when a leader begins to lead, has caught up, or leads no longer."""
        lead = state.lead
        before, self._told = self._told, (lead.state, lead.ended)
        if self._told == before or max(before[0], lead.state) < LeadState.CATCHING_UP:
            return
        words = {LeadState.CATCHING_UP: "the arm catches up with what leads it", LeadState.LEADING: "the arm follows"}
        ended = lead.ended or "it was given to another command source"
        text = words.get(lead.state, f"nothing leads the arm any more: {ended}")
        self._node.get_logger().info(text)
        self._box.say("leading", text)
