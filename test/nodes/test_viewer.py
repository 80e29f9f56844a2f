"""Programs beside the graph: when they start, with what, and how they end."""

import os
import signal
import time
from pathlib import Path

import pytest
import rclpy
import yaml
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from tristage_msgs.msg import ArmStatus

from tristage_ros.devices.urdf import urdf
from tristage_ros.namespaces import inside
from tristage_ros.nodes.robot_model import RobotModelNode
from tristage_ros.nodes.runner import ConfigurationError
from tristage_ros.nodes.viewer import ViewerNode

PROGRAM = """#!/bin/sh
printf '%s\\n' "$@" > "$0.arguments.tmp"
mv "$0.arguments.tmp" "$0.arguments"
{}
exec sleep 600
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return a function that installs a program which notes its arguments, and returns the file with them."""
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))

    def install(package, executable, behaviour=""):
        path = tmp_path / "lib" / package / executable
        path.parent.mkdir(parents=True)
        path.write_text(PROGRAM.format(behaviour))
        path.chmod(0o755)
        return path.with_name(f"{executable}.arguments")

    return install


@pytest.fixture
def spin(ros_domain):
    """Return a function that makes a node and one that spins it beside a helper until a condition holds."""
    made, executor = [], SingleThreadedExecutor

    class Spin:
        def make(self, kind, *parameters, namespace=""):
            rclpy.init(args=[*inside(namespace), *(word for text in parameters for word in ("-p", text))])
            self.executor = executor()
            self.node, self.helper = kind(), Node("helper")  # in the same namespace
            made.extend([self.node, self.helper])
            for node in made:
                self.executor.add_node(node)
            return self.node

        def until(self, condition, timeout=40.0):
            end = time.monotonic() + timeout
            while not condition():
                assert time.monotonic() < end
                self.executor.spin_once(timeout_sec=0.05)

    spin = Spin()
    yield spin
    made[0].close()
    spin.executor.shutdown()
    for node in made:
        node.destroy_node()
    rclpy.try_shutdown()


VIEWER = ("package:=toolbox", "executable:=tool", "arguments:=['-d', 'a file']", "topics:=['/diagnostics']")


def test_a_viewer_waits_for_its_topics_and_ends_with_the_node(spin, install):
    noted = install("toolbox", "tool")
    node = spin.make(ViewerNode, *VIEWER)
    end = time.monotonic() + 2.0
    spin.until(lambda: time.monotonic() > end)
    assert node.process is None and not noted.exists()
    spin.helper.create_publisher(DiagnosticArray, "/diagnostics", 1)
    spin.until(noted.exists)
    assert noted.read_text() == "-d\na file\n"
    child = node.process
    node.close()
    assert child.returncode == -signal.SIGTERM


def test_a_viewer_that_is_closed_ends_nothing_and_does_not_come_back(spin, install):
    noted = install("toolbox", "tool", "exit 3")
    node = spin.make(ViewerNode, *VIEWER)
    spin.helper.create_publisher(DiagnosticArray, "/diagnostics", 1)
    spin.until(noted.exists)
    spin.until(lambda: node.process is None)
    noted.unlink()
    end = time.monotonic() + 1.5
    spin.until(lambda: time.monotonic() > end)
    assert not noted.exists() and not getattr(node, "failure", "")


def test_in_a_namespace_a_viewer_finds_the_topics_of_its_cell_by_their_plain_names(spin, install):
    noted = install("toolbox", "tool")
    spin.make(ViewerNode, *VIEWER, namespace="/cell1")
    spin.helper.create_publisher(DiagnosticArray, "diagnostics", 1)
    spin.until(noted.exists)
    given = noted.read_text().splitlines()
    assert given[:5] == ["-d", "a file", "--ros-args", "-r", "__ns:=/cell1"]
    assert "/diagnostics:=/cell1/diagnostics" in given and "/tf:=tf" in given


def ignores(pid, number):
    ignored = Path(f"/proc/{pid}/status").read_text().split("SigIgn:")[1].split()[0]
    return bool(int(ignored, 16) >> (number - 1) & 1)


def test_a_viewer_that_does_not_end_is_killed(spin, install):
    noted = install("toolbox", "tool", "trap '' TERM\nwhile true; do sleep 0.1; done")
    node = spin.make(ViewerNode, *VIEWER)
    spin.helper.create_publisher(DiagnosticArray, "/diagnostics", 1)
    spin.until(noted.exists)
    child = node.process
    spin.until(lambda: ignores(child.pid, signal.SIGTERM))
    node.close()
    assert child.returncode == -signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)


def test_a_program_that_is_not_there_is_named(spin, install):
    install("toolbox", "other")
    spin.make(ViewerNode, *VIEWER)
    spin.helper.create_publisher(DiagnosticArray, "/diagnostics", 1)
    with pytest.raises(ConfigurationError, match="tool of the package toolbox"):
        spin.until(lambda: False)


@pytest.mark.parametrize(("firmware", "offset"), [("S-V1.8-9", True), ("S-V1.5-2", False)])
def test_the_model_has_the_zero_of_the_firmware(spin, install, firmware, offset):
    noted = install("robot_state_publisher", "robot_state_publisher")
    spin.make(RobotModelNode)
    status = spin.helper.create_publisher(ArmStatus, "/arm/status", 1)
    spin.until(status.get_subscription_count)
    status.publish(ArmStatus(firmware=""))
    status.publish(ArmStatus(firmware="unheard of"))
    spin.until(lambda: status.publish(ArmStatus(firmware=firmware)) or noted.exists())
    with open(noted.read_text().splitlines()[-1], encoding="utf-8") as file:
        parameters = yaml.safe_load(file)["/**"]["ros__parameters"]
    assert parameters == {"robot_description": urdf(offset)}
