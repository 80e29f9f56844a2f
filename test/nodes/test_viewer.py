"""Programs beside the graph: with what they start, and how they end."""

import os
import re
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import rclpy
import yaml
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from tristage_msgs.msg import ArmStatus

from tristage_ros.devices.arm.urdf import urdf
from tristage_ros.graph.namespaces import inside
from tristage_ros.graph.viewers import VIEWS
from tristage_ros.nodes.viewers.robot_model import RobotModelNode
from tristage_ros.nodes.viewers.rqt import __main__ as rqt
from tristage_ros.nodes.viewers.viewer import ViewerNode
from tristage_ros.resources import resource
from tristage_ros.ros.parameters import ParameterError
from tristage_ros.ros.runner import ConfigurationError

PROGRAM = """#!/bin/sh
printf '%s\\n' "$@" > "$0.arguments.tmp"
mv "$0.arguments.tmp" "$0.arguments"
BEHAVIOUR
exec sleep 600
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return a function that installs a program which notes its arguments, and returns the file with them."""
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))

    def install(package, executable, behaviour="", program=PROGRAM):
        path = tmp_path / "lib" / package / executable
        path.parent.mkdir(parents=True)
        path.write_text(program.replace("BEHAVIOUR", behaviour))
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
    if made:
        made[0].close()
    spin.executor.shutdown()
    for node in made:
        node.destroy_node()
    rclpy.try_shutdown()


def test_a_viewer_starts_with_its_configuration_and_ends_with_the_node(spin, install):
    noted = install("rviz2", "rviz2")
    node = spin.make(ViewerNode, "view:=rviz")
    spin.until(noted.exists)
    assert noted.read_text().splitlines()[:2] == ["-d", str(resource("config", "tristage.rviz"))]
    child = node.process
    # It yields the processor; the node that has to end it within the time of a launch system does not.
    assert os.getpriority(os.PRIO_PROCESS, child.pid) == min(os.getpriority(os.PRIO_PROCESS, 0) + 10, 19)
    node.close()
    assert child.returncode == -signal.SIGTERM


@pytest.mark.parametrize("name", ["rqt", "rviz"])
def test_a_viewer_in_a_namespace_shows_the_topics_of_its_cell(spin, install, monkeypatch, name):
    monkeypatch.setitem(VIEWS, name, replace(VIEWS[name], starter=""))
    noted = install(VIEWS[name].packages[0], VIEWS[name].executable)
    spin.make(ViewerNode, f"view:={name}", namespace="/cell1")
    spin.until(noted.exists)
    given = noted.read_text().splitlines()
    shown = Path(given[len(VIEWS[name].arguments)])
    original = resource("config", VIEWS[name].configuration).read_text()
    topics = r"(?:/\w+)*/(?:tristage|arm|robot_description)\b[\w/]*"
    expected = [f"/cell1{topic}" for topic in re.findall(topics, original)]
    assert expected and re.findall(topics, shown.read_text()) == expected
    assert "__ns:=/cell1" in given and "/diagnostics_agg:=diagnostics_agg" in given
    spin.node.close()
    assert not shown.exists()


def test_a_viewer_that_is_closed_ends_nothing_and_does_not_come_back(spin, install):
    noted = install("rviz2", "rviz2", "exit 3")
    node = spin.make(ViewerNode, "view:=rviz")
    spin.until(noted.exists)
    spin.until(lambda: node.process is None)
    noted.unlink()
    end = time.monotonic() + 1.5
    spin.until(lambda: time.monotonic() > end)
    assert not noted.exists() and not getattr(node, "failure", "")


def ignores(pid, number):
    ignored = Path(f"/proc/{pid}/status").read_text().split("SigIgn:")[1].split()[0]
    return bool(int(ignored, 16) >> (number - 1) & 1)


def test_a_viewer_that_does_not_end_is_killed(spin, install):
    noted = install("rviz2", "rviz2", "trap '' TERM\nwhile true; do sleep 0.1; done")
    node = spin.make(ViewerNode, "view:=rviz")
    spin.until(noted.exists)
    child = node.process
    spin.until(lambda: ignores(child.pid, signal.SIGTERM))
    node.close()
    assert child.returncode == -signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)


def test_a_program_that_is_not_there_is_named(spin, install):
    install("rviz2", "other")
    with pytest.raises(ConfigurationError, match="rviz2 of the package rviz2"):
        spin.make(ViewerNode, "view:=rviz")


def test_a_viewer_that_there_is_not_is_refused_with_those_that_there_are(spin, install):
    with pytest.raises(ParameterError, match="view: write one of rqt, rviz"):
        spin.make(ViewerNode, "view:=rvis")


# As rqt does: a node in the context that it finds, asked at once for the topics of the curves.
RQT = f"""#!{sys.executable}
import os, signal, sys, time
import rclpy
if not rclpy.ok():
    rclpy.init()
node = rclpy.create_node("rqt_gui_py_node")
known = [name for name, types in node.get_topic_names_and_types() if types[0].startswith("tristage_msgs/msg/")]
own = rclpy.utilities.remove_ros_args(sys.argv)
with open(__file__ + ".tmp", "w") as file:
    print(" ".join(sorted(known)), sys.path[0], *own, sep="\\n", file=file)
os.rename(__file__ + ".tmp", __file__ + ".arguments")
time.sleep(600)
"""


@pytest.mark.parametrize("namespace", ["", "/cell1"])
def test_rqt_knows_the_topics_of_its_curves_at_once_and_before_anybody_publishes(spin, install, namespace):
    noted = install("rqt_gui", "rqt_gui", program=RQT)
    node = spin.make(ViewerNode, "view:=rqt", namespace=namespace)
    spin.until(noted.exists)
    known, path, *arguments = noted.read_text().splitlines()
    assert known.split() == sorted(f"{namespace}/{topic}" for topic in rqt.TOPICS)
    program = noted.with_suffix("")
    assert path == str(program.parent) and arguments[:3] == [str(program), *VIEWS["rqt"].arguments]
    child = node.process
    node.close()
    assert child.returncode == -signal.SIGTERM  # and not, after a long time, SIGKILL


def test_an_interpreter_of_rqt_that_lacks_the_messages_is_named_in_one_line(spin, install, tmp_path, capfd):
    noted = install("rqt_gui", "rqt_gui", program=RQT.replace(sys.executable, "/usr/bin/env lacking"))
    lacking = tmp_path / "lacking"
    lacking.write_text(f'#!/bin/sh\nexec {sys.executable} -S -E "$@"\n')
    lacking.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        node = spin.make(ViewerNode, "view:=rqt")
    spin.until(lambda: node.process is None)
    said = [line for line in capfd.readouterr().err.splitlines() if "viewer]: " not in line]
    assert len(said) == 1 and said[0].startswith("error: No module named 'rclpy'") and "sourced" in said[0]
    assert not noted.exists()


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
