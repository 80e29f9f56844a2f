"""The arm node as a process of its own, killed and interrupted in motion, with the arm emulated behind a served bus."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import PoseStamped, Quaternion, Vector3
from rclpy.node import Node
from std_srvs.srv import Trigger
from tristage_msgs.msg import ActionChunk, ArmStatus

from tristage_ros.resources import resource
from tristage_ros.ros.convert import header
from tristage_ros.simulation import commands
from tristage_ros.simulation.cell import Cell, CellConfig

PATIENCE = 60.0  # s


class Bench:
    """A cell, an arm node beside it and an operator in front of both."""

    def __init__(self, monkeypatch):
        self.heard = []  # what the arm was told, by type of command
        decode = commands.decode
        monkeypatch.setattr(commands, "decode", lambda *frame: self.heard.append(decode(*frame)) or self.heard[-1])
        self.cell = Cell(CellConfig(str(resource("config", "cameras.yaml")), can_channel="127.0.0.1:0"))
        self.cell.start()
        self.node = Node("bench")
        self.status = self.pose = None
        self.node.create_subscription(ArmStatus, "/arm/status", lambda m: setattr(self, "status", m), 10)
        self.node.create_subscription(PoseStamped, "/arm/end_pose", lambda m: setattr(self, "pose", m), 10)
        self.chunks = self.node.create_publisher(ActionChunk, "/tristage/action", 10)
        self.enable = self.node.create_client(Trigger, "/arm/enable")
        self.processes = []

    def start(self):
        words = ["can_interface:=remote", f"can_channel:={self.cell.can_channel}", "speed_scale:=0.4", "max_age:=8.0"]
        command = [sys.executable, "-m", "tristage_ros.nodes", "arm", "--ros-args"]
        self.processes.append(subprocess.Popen(command + [w for text in words for w in ("-p", text)]))
        self.status = self.pose = None
        self.until(lambda: self.status and self.pose, "the arm node comes up")
        return self.processes[-1]

    def until(self, condition, what):
        end = time.monotonic() + PATIENCE
        while not condition():
            rclpy.spin_once(self.node, timeout_sec=0.05)
            assert time.monotonic() < end, f"{what}: {self.status}"

    def set_out(self):
        """Enable the arm and let it begin a long way."""
        self.until(self.enable.service_is_ready, "the services")
        future = self.enable.call_async(Trigger.Request())
        self.until(future.done, "an answer")
        assert future.result().success, future.result().message
        self.until(self.chunks.get_subscription_count, "a listener")
        o = self.pose.pose.orientation
        chunk = ActionChunk(header=header(time.time(), "base_link"), sequence=1, gripper=[1.0])
        chunk.translation = [Vector3(y=0.25)]
        chunk.orientation = [Quaternion(x=o.x, y=o.y, z=o.z, w=o.w)]
        self.chunks.publish(chunk)
        start = np.array(self.status.joint_target)
        self.until(lambda: np.abs(self.status.joint_target - start).max() > 0.05, "the arm sets out")

    def told(self, kind):
        return [command for command in self.heard if isinstance(command, kind)]

    def close(self):
        for process in self.processes:
            process.kill()
            process.wait()
        self.node.destroy_node()
        self.cell.close()


@pytest.fixture
def bench(ros_context, monkeypatch):
    bench = Bench(monkeypatch)
    yield bench
    bench.close()


def test_restarted_in_motion_it_does_not_arm_itself_again(bench):
    first = bench.start()
    bench.set_out()
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    bench.heard.clear()
    bench.start()
    bench.until(lambda: bench.status.mode == ArmStatus.DISABLED, "disabled, motors or not")
    end = time.monotonic() + 1.0
    while time.monotonic() < end:
        rclpy.spin_once(bench.node, timeout_sec=0.05)
    assert bench.status.mode == ArmStatus.DISABLED
    assert bench.told(commands.Command) and not bench.told((commands.JointTarget, commands.EnableMotors))


def test_interrupted_in_motion_it_holds_then_disconnects(bench):
    process = bench.start()
    bench.set_out()
    before = len(bench.told(commands.JointTarget))
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 0
    targets = [np.array(t.values) for t in bench.told(commands.JointTarget) if t.first == 0]
    assert len(targets) * 3 > before
    steps = [np.abs(b - a).max() for a, b in zip(targets[-6:], targets[-5:], strict=False)]
    assert steps[-1] < 2e-3 and steps[-1] <= max(np.abs(np.diff(targets, axis=0)).max(), 1e-9)
    assert not bench.told(commands.Stop)
    assert not [enable for enable in bench.told(commands.EnableMotors) if not enable.enable]
