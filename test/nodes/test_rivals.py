"""Who must not move the arm: a second source in its own cell and whoever replays, but no other cell."""

import time

import pytest
import rclpy
from rclpy.node import Node
from rosgraph_msgs.msg import Clock
from tristage_msgs.msg import ActionChunk

from tristage_ros.graph.namespaces import inside
from tristage_ros.nodes.arm.authority import rivals
from tristage_ros.nodes.arm.node import ACTIONS


@pytest.fixture
def cell(ros_domain):
    """Return the arm of a cell with one policy, and what makes another publisher and waits until the arm knows it."""
    rclpy.init(args=inside("/cell1"))
    made = [Node("arm"), Node("policy")]

    def publish(topic, name="other", kind=ActionChunk):
        made.append(Node(name, namespace="/elsewhere", use_global_arguments=False))
        made[-1].create_publisher(kind, topic, 1)
        end = time.monotonic() + 30
        while not any(info.node_name == name for info in made[0].get_publishers_info_by_topic(topic)):
            rclpy.spin_once(made[0], timeout_sec=0.05)
            assert time.monotonic() < end

    made[1].create_publisher(ActionChunk, ACTIONS, 1)
    yield made[0], publish
    for node in made:
        node.destroy_node()
    rclpy.try_shutdown()


@pytest.mark.parametrize(
    "topic", ["/cell2/tristage/action", "/tristage/action", "/cell1/replay/action", "/cell2/replay/action"]
)
def test_another_cell_and_the_answers_of_a_replay_are_no_rivals(cell, topic):
    arm, publish = cell
    publish(topic)
    assert rivals(arm, ACTIONS) == ""


@pytest.mark.parametrize(
    ("topic", "name", "kind", "words"),
    [
        ("/cell1/tristage/action", "other", ActionChunk, ["2 nodes", "/elsewhere/other", "/cell1/policy"]),
        ("/cell1/tristage/action", "rosbag2_player", ActionChunk, ["rosbag2_player", "bag"]),
        ("/clock", "rosbag2_player", Clock, ["/clock"]),
    ],
)
def test_a_second_source_in_the_cell_and_a_replayed_clock_are(cell, topic, name, kind, words):
    arm, publish = cell
    end = time.monotonic() + 30
    while arm.count_publishers(ACTIONS) < 1:
        assert time.monotonic() < end
    publish(topic, name, kind)
    assert all(word in rivals(arm, ACTIONS) for word in words)
