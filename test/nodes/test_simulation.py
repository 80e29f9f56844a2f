"""The simulation node: the task it is given, and that it says when that is done."""

import time

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from std_msgs.msg import Bool, Float64

from tristage_ros.nodes.simulation import SimulationNode
from tristage_ros.ros import qos
from tristage_ros.ros.parameters import ParameterError
from tristage_ros.simulation.pace import MOST

PATIENCE = 60.0  # s, only ever used up by a failing test


@pytest.fixture
def simulation(ros_domain, free_port):
    """Start the node, by `simulation("task:=box", ...)`."""
    nodes = []

    def start(*parameters):
        given = [f"can_channel:=127.0.0.1:{free_port}", "width:=64", "height:=64", "frame_rate:=1.0", *parameters]
        rclpy.init(args=["--ros-args", *(word for text in given for word in ("-p", text))])
        nodes.append(SimulationNode())
        return nodes[-1]

    yield start
    for node in nodes:
        node.close()
        node.destroy_node()
    rclpy.try_shutdown()


class Listener(Node):
    """Hear whether the task is done, and the diagnostics."""

    def __init__(self):
        super().__init__("listener")
        self.done, self.parts = [], {}
        self.create_subscription(Bool, "/tristage/task_done", lambda m: self.done.append(m.data), qos.LATCHED)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    def _on_diagnostics(self, message):
        self.parts |= {status.name: status for status in message.status}


def spin(executor, condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        executor.spin_once(timeout_sec=0.05)
        assert time.monotonic() < end, "it never came"


def test_whoever_listens_hears_when_the_task_is_done(simulation):
    node = simulation("task:=box", "seed:=3")
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    spin(executor, lambda: node.done is False)
    listener = Listener()  # late: the value is latched
    executor.add_node(listener)
    spin(executor, lambda: listener.done == [False] and "simulation: task" in listener.parts)
    assert listener.parts["simulation: task"].message == "close the box: not done yet"
    with node.cell.firmware.lock:
        node.cell._plant.data.joint("box_lid").qpos = 0.0
    spin(executor, lambda: listener.done == [False, True])
    spin(executor, lambda: listener.parts["simulation: task"].message == "close the box: done")
    values = {value.key: value.value for value in listener.parts["simulation: task"].values}
    assert values == {"task": "box", "instruction": "close the box", "done": "True"}
    listener.destroy_node()
    executor.shutdown()


def test_the_table_holds_what_the_task_is_about(simulation):
    node = simulation("task:=fridge", "varied:=true")
    truth = node.cell.truth()
    assert truth["fridge"][2, 3] == 0.0
    assert truth["plate"][2, 3] < 0.0


def test_an_unknown_task_is_named(simulation):
    with pytest.raises(ParameterError, match="task"):
        simulation("task:=lamp")


def test_time_passes_as_slowly_as_the_policy_needs_it(simulation):
    node = simulation("real_time:=false", "frame_rate:=60.0")
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    listener = Listener()
    executor.add_node(listener)
    ages = listener.create_publisher(Float64, qos.REHEARSAL_TOPIC, qos.NEWEST)
    spin(executor, lambda: "simulation: pace" in listener.parts)
    assert listener.parts["simulation: pace"].level == DiagnosticStatus.WARN
    assert node.cell.firmware.dilation == 1.0

    def slower():
        ages.publish(Float64(data=1.2))
        return node.cell.firmware.dilation > 1.0

    spin(executor, slower)
    dilation = node.cell.firmware.dilation
    assert dilation >= 4.0  # more where this machine draws slowly
    spin(executor, lambda: f"{dilation:g} times slower" in listener.parts["simulation: pace"].message)
    assert listener.parts["simulation: pace"].level == DiagnosticStatus.OK or dilation == MOST
    listener.destroy_node()
    executor.shutdown()
