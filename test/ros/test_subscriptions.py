"""Whoever publishes is heard, as reliably as he publishes; who cannot be heard is named."""

import time

import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from std_msgs.msg import Float32, Int32

from tristage_ros.ros import qos
from tristage_ros.ros.diagnostics import OK, WARN
from tristage_ros.ros.subscriptions import RELIABILITY, Subscriptions

BEST_EFFORT = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = qos.LATCHED


class Setting:
    """A node that reads, and one that publishes in a context of its own, as another program would."""

    def __init__(self):
        self.context = Context()
        rclpy.init(context=self.context)
        self.reader = Node("reader")
        self.camera = Node("camera", namespace="/far", context=self.context)
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.reader)
        self.subscriptions, self.got = Subscriptions(self.reader), []

    def until(self, condition, say=lambda: None):
        end = time.monotonic() + 30
        while not condition():
            say()
            self.executor.spin_once(timeout_sec=0.05)
            assert time.monotonic() < end, self.subscriptions.part()

    def hears(self, publisher):
        self.got.clear()
        self.until(lambda: self.got, lambda: publisher.publish(Float32(data=1.5)))

    def reads_as(self):
        (found,) = self.reader.get_subscriptions_info_by_topic("/numbers")
        return found.qos_profile.reliability

    def close(self):
        self.executor.shutdown()
        self.reader.destroy_node()
        self.camera.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def setting(ros_context):
    made = Setting()
    yield made
    made.close()


@pytest.mark.parametrize("offered", [BEST_EFFORT, RELIABLE, LATCHED], ids=["best effort", "reliable", "latched"])
@pytest.mark.parametrize("first", ["publisher", "subscription"])
def test_whoever_publishes_is_heard_as_reliably_as_he_publishes(setting, offered, first):
    if first == "publisher":
        publisher = setting.camera.create_publisher(Float32, "/numbers", offered)
        setting.until(lambda: setting.reader.get_publishers_info_by_topic("/numbers"))
    setting.subscriptions.add(Float32, "/numbers", setting.got.append, qos.NEWEST)
    if first == "subscription":
        publisher = setting.camera.create_publisher(Float32, "/numbers", offered)
    setting.hears(publisher)
    assert setting.reads_as() == offered.reliability
    part = setting.subscriptions.part()
    assert part.level == OK and RELIABILITY[offered.reliability] in part.values["/numbers"]
    assert ("best effort" in part.message) == (offered is BEST_EFFORT)


def test_a_subscription_is_reliable_again_once_the_best_effort_publisher_is_gone(setting):
    setting.subscriptions.add(Float32, "/numbers", setting.got.append, qos.NEWEST)
    ours = setting.camera.create_publisher(Float32, "/numbers", RELIABLE)
    setting.hears(ours)
    other = setting.camera.create_publisher(Float32, "/numbers", BEST_EFFORT)
    setting.until(lambda: setting.reads_as() == ReliabilityPolicy.BEST_EFFORT)
    setting.hears(other)
    setting.hears(ours)
    setting.camera.destroy_publisher(other)
    setting.until(lambda: setting.reads_as() == ReliabilityPolicy.RELIABLE)
    setting.hears(ours)


def test_a_latched_value_is_heard_late_and_where_not_every_publisher_latches_too(setting):
    publisher = setting.camera.create_publisher(Float32, "/numbers", LATCHED)
    publisher.publish(Float32(data=2.5))
    setting.until(lambda: setting.reader.get_publishers_info_by_topic("/numbers"))
    setting.subscriptions.add(Float32, "/numbers", setting.got.append, LATCHED)
    setting.until(lambda: [message.data for message in setting.got] == [2.5])
    setting.hears(setting.camera.create_publisher(Float32, "/numbers", RELIABLE))


@pytest.mark.parametrize(
    ("kind", "wanted", "offered", "words"),
    [
        (Float32, RELIABLE, BEST_EFFORT, "best effort (reliability)"),
        (Float32, LATCHED, RELIABLE, "volatile (durability)"),
        (Int32, RELIABLE, RELIABLE, "std_msgs/msg/Int32, read is std_msgs/msg/Float32"),
    ],
    ids=["reliability", "durability", "type"],
)
def test_who_is_not_heard_is_named_with_topic_and_policy(setting, kind, wanted, offered, words):
    setting.subscriptions.add(Float32, "/numbers", setting.got.append, wanted, fixed=True)
    publisher = setting.camera.create_publisher(kind, "/numbers", offered)
    said = "/numbers: not heard is /far/camera, which publishes " + words
    setting.until(lambda: setting.subscriptions.part().level == WARN and said in setting.subscriptions.part().message)
    setting.camera.destroy_publisher(publisher)
    setting.until(lambda: setting.subscriptions.part().level == OK)
    assert setting.subscriptions.part().values == {"/numbers": "nobody"}


def test_what_is_destroyed_is_not_heard(setting):
    setting.subscriptions.add(Float32, "/numbers", setting.got.append, qos.NEWEST)
    setting.subscriptions.destroy()
    assert not setting.reader.count_subscribers("/numbers")
    assert setting.subscriptions.part().values == {}
