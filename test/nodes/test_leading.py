"""What leads the arm through the arm node: joint states and tool velocities, services, and what is said of them."""

from __future__ import annotations

import itertools
import math
import time

import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import TwistStamped
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64
from std_srvs.srv import Trigger
from tristage_msgs.msg import ArmStatus

from tristage_ros.nodes.arm.node import ArmNode
from tristage_ros.resources import resource
from tristage_ros.ros.convert import header
from tristage_ros.ros.runner import NodeExecutor
from tristage_ros.simulation.cell import Cell, CellConfig

CHANNELS = itertools.count()
NAMES = ["a", "b", "c", "d", "e", "f"]


class Setting:
    """The node under test, an arm behind it, and a device in front of it that says what a test wants."""

    def __init__(self, *parameters: str) -> None:
        channel = f"test-leading-{next(CHANNELS)}"
        bus = {"can_interface": "virtual", "can_channel": channel}
        self.cell = Cell(CellConfig(str(resource("config", "cameras.yaml")), **bus))
        self.cell.start()
        given = ["can_interface:=virtual", f"can_channel:={channel}", "speed_scale:=1.0", *parameters]
        rclpy.init(args=["--ros-args", *(word for text in given for word in ("-p", text))])
        self.node, self.device = ArmNode(), Node("device", use_global_arguments=False)
        self.status: ArmStatus | None = None
        self.heard: JointState | None = None
        self.states: list[JointState] = []
        self.device.create_subscription(ArmStatus, "/arm/status", lambda m: setattr(self, "status", m), 10)
        self.device.create_subscription(JointState, "/arm/leader/heard", lambda m: setattr(self, "heard", m), 10)
        self.device.create_subscription(JointState, "/joint_states", self.states.append, 10)
        self.joints = self.device.create_publisher(JointState, "/arm/leader/joint_states", 10)
        self.twists = self.device.create_publisher(TwistStamped, "/arm/leader/twist", 10)
        self.grips = self.device.create_publisher(Float64, "/arm/leader/gripper", 10)
        self.device.create_timer(0.02, self._say)
        self.said: JointState | TwistStamped | None = None
        self.executor = NodeExecutor(3)
        self.executor.add_node(self.node)
        self.executor.add_node(self.device)
        self.until(lambda: self.status is not None and self.states)

    def _say(self) -> None:
        if self.said is not None:
            self.said.header = header(time.time(), self.said.header.frame_id)
            (self.joints if isinstance(self.said, JointState) else self.twists).publish(self.said)

    def degrees(self, *turned: float, names: list[str] = NAMES) -> None:
        """Say, in degrees, where the arm is, and `turned` from there."""
        here = np.degrees(self.states[-1].position[:6])
        here[: len(turned)] += turned
        self.said = JointState(name=names, position=here[: len(names)].tolist())

    def twist(self, y: float, frame: str = "base_link") -> None:
        self.said = TwistStamped()
        self.said.header.frame_id = frame
        self.said.twist.linear.y = y

    def until(self, condition, timeout: float = 30.0) -> None:
        end = time.monotonic() + timeout
        while not condition():
            self.executor.spin_once(timeout_sec=0.05)
            assert time.monotonic() < end, self.status

    def call(self, name: str) -> Trigger.Response:
        client = self.device.create_client(Trigger, f"/arm/{name}")
        self.until(client.service_is_ready)
        answer = client.call_async(Trigger.Request())
        self.until(answer.done)
        return answer.result()

    def close(self) -> None:
        self.node.close()
        self.executor.shutdown()
        self.node.destroy_node()
        self.device.destroy_node()
        rclpy.try_shutdown()
        self.cell.close()


@pytest.fixture
def setting(request):
    made = Setting(*getattr(request, "param", ()))
    yield made
    made.close()


DEVICE = ("command_source:=joints", f"leader_joint_names:=[{', '.join(NAMES)}]", "leader_joint_units:=deg")


@pytest.mark.parametrize("setting", [DEVICE], indirect=True)
def test_a_device_leads_by_joint_states_of_its_own_names_and_units(setting: Setting) -> None:
    assert setting.call("enable").success
    setting.degrees(20.0)
    setting.until(lambda: setting.status.leading == ArmStatus.TOO_FAR)
    assert setting.status.leading_missing[0] == pytest.approx(math.radians(20.0), abs=0.01)
    refused = setting.call("engage")
    assert not refused.success and "joint 1 by -0.35 rad" in refused.message
    setting.degrees()
    setting.until(lambda: setting.status.leading == ArmStatus.READY)
    assert setting.call("engage").success
    setting.until(lambda: setting.status.leading == ArmStatus.LEADING)
    setting.degrees(5.0)
    setting.until(lambda: setting.status.joint_position[0] > math.radians(4.0))
    assert setting.heard.name == [f"joint{k}" for k in range(1, 7)] + ["gripper"]
    assert setting.heard.position[0] == pytest.approx(math.radians(5.0), abs=0.02)
    setting.degrees(math.nan)
    setting.until(lambda: setting.status.leading == ArmStatus.NOT_LEADING)
    assert "a is nan" in setting.status.leading_reason
    setting.degrees(names=NAMES[:5])
    setting.until(lambda: "no f in the joint states" in setting.status.leading_reason)
    other = setting.device.create_publisher(JointState, "/arm/leader/joint_states", 10)
    setting.degrees()
    setting.until(lambda: "2 nodes publish" in setting.status.leading_reason)
    setting.device.destroy_publisher(other)
    setting.until(lambda: setting.status.leading == ArmStatus.READY)
    assert setting.status.mode == ArmStatus.HOLDING


@pytest.mark.parametrize("setting", [("command_source:=twist",)], indirect=True)
def test_a_stick_leads_by_tool_velocities_and_its_silence_holds(setting: Setting) -> None:
    assert setting.call("enable").success
    setting.twist(0.0, "map")
    setting.until(lambda: "give it in base_link or tool" in setting.status.leading_reason)
    setting.twist(0.0)
    setting.until(lambda: setting.status.leading == ArmStatus.READY)
    assert setting.call("engage").success
    setting.twist(0.1)
    setting.until(lambda: setting.status.joint_position[0] > 0.05)
    setting.grips.publish(Float64(data=0.0))
    setting.until(lambda: setting.status.gripper_target == 0.0)
    setting.said = None
    setting.until(lambda: "silent for" in setting.status.leading_reason and setting.status.mode == ArmStatus.HOLDING)
    setting.twist(0.0)
    setting.until(lambda: setting.status.leading_reason == "")
    assert setting.call("disengage").success
    setting.until(lambda: setting.status.leading == ArmStatus.READY)
    assert "by an operator" in setting.status.leading_reason


def test_nothing_leads_that_is_not_the_source_and_a_missing_adapter_is_named(setting: Setting) -> None:
    assert setting.call("enable").success
    setting.degrees()
    assert "the arm belongs to the policy" in setting.call("engage").message
    setting.node.set_parameters([Parameter("command_source", value="leader")])
    setting.until(lambda: "leader_can names its adapter" in setting.status.leading_reason)
    assert not setting.call("engage").success


def test_the_teach_button_makes_a_fault_that_says_what_leads_out_and_the_joints_go_on(setting: Setting) -> None:
    assert setting.call("enable").success
    setting.cell.firmware.press_teach_button()
    setting.until(lambda: setting.status.mode == ArmStatus.FAULT)
    words = setting.status.reason
    assert "teaching" in words and "Hold the arm" in words and "/arm/clear_fault" in words
    sent, seen = setting.status.setpoints_sent, len(setting.states)
    setting.until(lambda: len(setting.states) > seen + 20)
    assert setting.status.setpoints_sent == sent, "nothing is sent to an arm in somebody's hands"
    setting.cell.firmware.press_teach_button()
    setting.until(lambda: setting.call("clear_fault").success)
    assert setting.call("enable").success
