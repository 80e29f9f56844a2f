"""How a node process ends: cleanly by a signal, with a reason and a code otherwise."""

import signal
import subprocess
import sys
import threading

import pytest
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.executors import Executor
from rclpy.node import Node

from tristage_ros.ros.runner import NodeExecutor

SCRIPT = """
import sys
from rclpy.node import Node
from tristage_ros.ros.runner import ConfigurationError, run

class Plain(Node):
    failure = ""
    def __init__(self):
        super().__init__("plain")
        if sys.argv[1] == "misconfigured":
            raise ConfigurationError("plain: the cable is green")
        if sys.argv[1] == "fails":
            self.create_timer(0.2, self.fail)
        print("up", flush=True)
    def fail(self):
        self.failure = "plain: the wheel came off"
    def close(self):
        print("closed", flush=True)

sys.exit(run(Plain, []))
"""


@pytest.fixture
def start(ros_domain):
    started = []

    def start(how):
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, how], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.parametrize("signals", [[signal.SIGINT], [signal.SIGTERM], [signal.SIGINT] * 3])
def test_signals_end_it_once_and_cleanly(start, signals):
    process = start("runs")
    assert process.stdout.readline() == "up\n"
    for number in signals:
        process.send_signal(number)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (0, "closed\n", "")


def test_wrong_configuration_is_one_line_and_code_2(start):
    process = start("misconfigured")
    _, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (2, "error: plain: the cable is green\n")


def test_a_failure_closes_the_node_and_is_code_1(start):
    process = start("fails")
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (1, "up\nclosed\n", "error: plain: the wheel came off\n")


def test_an_arm_that_never_answers_does_not_keep_the_node_from_stopping(ros_domain, free_port):
    command = [sys.executable, "-m", "tristage_ros.nodes", "arm", "--ros-args", "-p", "can_interface:=remote"]
    process = subprocess.Popen(
        [*command, "-p", f"can_channel:=127.0.0.1:{free_port}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert any("waiting for the arm" in line for line in iter(process.stdout.readline, ""))
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=8)
        assert process.returncode == 0 and "Traceback" not in out
    finally:
        process.kill()
        process.wait()


def test_a_callback_that_waits_for_a_thread_is_queued_once(ros_context, monkeypatch):
    executor, node, offers = NodeExecutor(2), Node("busy"), []
    offered = Executor.wait_for_ready_callbacks
    monkeypatch.setattr(Executor, "wait_for_ready_callbacks", lambda *a, **k: offers.append(0) or offered(*a, **k))
    release, blocked, ran = threading.Event(), [], []

    def block():
        blocked.append(0)
        release.wait(60)

    executor.add_node(node)
    for _ in range(2):
        node.create_timer(0.01, block, callback_group=MutuallyExclusiveCallbackGroup())
    while len(blocked) < 2:
        executor.spin_once(timeout_sec=0.05)
    node.create_timer(0.01, lambda: ran.append(0), callback_group=MutuallyExclusiveCallbackGroup())
    offers.clear()
    threading.Timer(0.5, release.set).start()
    while not release.is_set():
        executor.spin_once(timeout_sec=0.05)
        assert len(executor._futures) < 10
    assert len(offers) < 1000  # tens of thousands without a pause
    while not ran:
        executor.spin_once(timeout_sec=0.05)
    executor.shutdown()
    node.destroy_node()
