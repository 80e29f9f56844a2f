"""Keys that lead the tool: what is published while one is held, after it, and what is called."""

from __future__ import annotations

import os
import time

import pytest
import rclpy
from geometry_msgs.msg import TwistStamped
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from std_msgs.msg import Float64
from std_srvs.srv import Trigger
from tristage_msgs.msg import ArmStatus

from tristage_ros.commands.jog import HELD, HELP, WAYS, Jog
from tristage_ros.commands.monitor import arm_text


class Setting:
    """The keys, and whoever hears them."""

    def __init__(self) -> None:
        rclpy.init()
        self.jog, self.ear = Jog(0.05, 0.3), Node("ear")
        self.twists: list[TwistStamped] = []
        self.openings: list[float] = []
        self.called: list[str] = []
        self.ear.create_subscription(TwistStamped, "arm/leader/twist", self.twists.append, 10)
        self.ear.create_subscription(Float64, "arm/leader/gripper", lambda m: self.openings.append(m.data), 10)
        for name in ("stop", "engage", "disengage"):
            self.ear.create_service(Trigger, f"arm/{name}", lambda request, answer, n=name: self._serve(n, answer))
        self.status = self.ear.create_publisher(ArmStatus, "arm/status", 1)
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.jog)
        self.executor.add_node(self.ear)

    def _serve(self, name: str, answer: Trigger.Response) -> Trigger.Response:
        self.called.append(name)
        answer.success, answer.message = True, f"{name} was heard"
        return answer

    def until(self, condition, timeout: float = 20.0) -> None:
        end = time.monotonic() + timeout
        while not condition():
            self.executor.spin_once(timeout_sec=0.02)
            assert time.monotonic() < end, (self.called, self.jog.line)

    def close(self) -> None:
        self.executor.shutdown()
        self.jog.destroy_node()
        self.ear.destroy_node()
        rclpy.try_shutdown()


@pytest.fixture
def setting(ros_domain):
    made = Setting()
    yield made
    made.close()


def test_a_key_leads_for_as_long_as_it_is_repeated_and_then_the_tool_stands(setting: Setting) -> None:
    setting.until(lambda: setting.twists and setting.twists[-1].twist.linear.y == 0.0)
    assert setting.jog.press("a")
    setting.until(lambda: setting.twists[-1].twist.linear.y == 0.05)
    began = time.monotonic()
    setting.until(lambda: setting.twists[-1].twist.linear.y == 0.0)
    assert time.monotonic() - began < HELD + 2.0
    setting.jog.press("tj")
    setting.until(lambda: setting.twists[-1].twist.angular.z == 0.3)
    assert setting.twists[-1].header.frame_id == "tool"
    setting.jog.press("c")
    setting.until(lambda: setting.openings == [0.0])
    assert not setting.jog.press("q")


def test_the_space_bar_stops_the_arm_and_e_lets_go_of_what_is_engaged(setting: Setting) -> None:
    setting.until(lambda: all(client.service_is_ready() for client in setting.jog._calls.values()))
    setting.jog.press("w ")
    setting.until(lambda: setting.called == ["stop"])
    setting.until(lambda: "stop was heard" in setting.jog.told)
    assert setting.twists == [] or setting.twists[-1].twist.linear.x == 0.0
    engaged = ArmStatus(command_source=ArmStatus.TWIST, leading=ArmStatus.LEADING, mode=ArmStatus.HOLDING)

    def heard() -> bool:
        setting.status.publish(engaged)
        return setting.jog._engaged

    setting.until(heard)
    assert setting.jog.line.startswith("base_link: engaged")
    setting.jog.press("e")
    setting.until(lambda: setting.called == ["stop", "disengage"])


def test_the_help_names_every_key() -> None:
    assert all(f"{key} " in HELP or f"{key}:" in HELP or f"{key}," in HELP for key in WAYS)


def test_the_monitor_tells_what_is_missing_of_a_leader() -> None:
    words = "bring the leader nearer, within 0.1 rad: joint 3 by -0.50 rad"
    status = ArmStatus(command_source=ArmStatus.LEADER, leading=ArmStatus.TOO_FAR, leading_reason=words)
    assert f"leader: too far. {words}" in arm_text(status).plain
    assert "chunks" not in arm_text(status).plain and "chunks" in arm_text(ArmStatus()).plain


def test_it_needs_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    from tristage_ros.cli import main

    read, write = os.pipe()
    monkeypatch.setattr("sys.stdin", os.fdopen(read))
    os.close(write)
    assert main(["jog"]) == 2
