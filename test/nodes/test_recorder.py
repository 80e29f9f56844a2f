"""The recorder: what it writes, what it says, and that nobody ever waits for it."""

import threading
import time
from functools import partial

import numpy as np
import pytest
import rclpy
from camera_source import BEST_EFFORT, CameraSource, now
from node_setting import NodeSetting, made_by
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_msgs.msg import String
from tristage_msgs.msg import PruningStats

from tristage_ros.bags.facts import read_facts
from tristage_ros.bags.reader import BagReader
from tristage_ros.bags.writer import BagWriter
from tristage_ros.graph.namespaces import inside
from tristage_ros.nodes.recorder.node import RecorderNode
from tristage_ros.ros import diagnostics, qos
from tristage_ros.ros.parameters import ParameterError
from tristage_ros.ros.runner import ConfigurationError


class Setting(NodeSetting):
    """A recorder, a camera and a node with parameters."""

    def __init__(self, folder, *parameters):
        given = [f"run_dir:={folder}", "cameras:=[front]", *parameters]
        super().__init__(RecorderNode, given, helper="policy")
        self.helper.declare_parameter("instruction", "put the banana on the blue plate")
        self.helper.declare_parameter("checkpoint", "")
        self.helper.declare_parameter("pruning", "")
        self.front = CameraSource(self.helper)
        self.pruning = self.helper.create_publisher(PruningStats, "/tristage/pruning", 10)
        publishers = (self.front.color, self.front.depth, self.front.info, self.front.joints, self.pruning)
        self.until(lambda: all(p.get_subscription_count() for p in publishers))

    def shoot(self, stamp):
        self.front.publish_color(np.full((48, 64, 3), 90, np.uint8), stamp=stamp)
        self.front.publish_depth(np.full((48, 64), 700, np.uint16), stamp=stamp)
        self.front.publish_info(stamp)
        self.front.publish_joints(stamp)


@pytest.fixture
def setting(ros_domain, tmp_path):
    with made_by(partial(Setting, tmp_path)) as make:
        yield make


def test_every_frame_is_written_with_what_belongs_to_it(setting, tmp_path):
    s = setting("color:=png")
    begin = now()
    for number in range(20):
        s.shoot(begin + 0.1 * number)
        s.until(lambda wanted=number + 1: s.node.received["/front/color/image_raw"] >= wanted)
    s.pruning.publish(PruningStats(rate=0.5))
    s.until(lambda: s.node.received["/tristage/pruning"])
    s.until(lambda: s.node.received["/joint_states"] == 20)
    s.close()
    with BagReader(tmp_path) as bag:
        for topic in ("color/image_raw", "aligned_depth_to_color/image_raw", "color/camera_info"):
            assert len(list(bag.messages(f"/front/{topic}"))) == 20, topic
        color = next(bag.messages("/front/color/image_raw")).value
        assert set(color.data.tolist()) == {90}
        assert next(bag.messages("/tristage/pruning")).value.rate == 0.5


def test_best_effort_cameras_and_arms_are_recorded(setting):
    s = setting()
    s.front = CameraSource(s.helper, profile=BEST_EFFORT)
    topics = {"/front/color/image_raw", "/front/aligned_depth_to_color/image_raw", "/joint_states"}
    end = now() + 30
    while not topics <= s.node.received.keys():
        s.shoot(now())
        s.executor.spin_once(timeout_sec=0.05)
        assert now() < end, s.node.received


def test_the_facts_hold_parameters_files_and_changes(setting, tmp_path):
    s = setting()
    s.until(lambda: "policy" in s.node._survey.parameters)
    s.helper.set_parameters([Parameter("instruction", value="close the box")])
    s.until(lambda: s.node._survey.parameters["policy"]["instruction"] == "close the box")
    s.close()
    with BagReader(tmp_path) as bag:
        known = read_facts(bag)
        changes = [p.name for m in bag.messages("/parameter_events") for p in m.value.changed_parameters]
    assert known.parameters["policy"]["instruction"] == "close the box"
    assert known.pruning["target_rate"] == 0.7, "the preset that an empty name stands for"
    assert "instruction" in changes


def test_what_changes_between_question_and_answer_is_asked_for_again(setting):
    s = setting()
    s.until(lambda: "policy" in s.node._survey.parameters)
    del s.node._survey.parameters["policy"]  # as if the answer were still on its way
    s.helper.set_parameters([Parameter("instruction", value="close the box")])
    s.until(lambda: s.node._survey.parameters.get("policy", {}).get("instruction") == "close the box")


def test_in_a_namespace_a_bag_holds_plain_names_and_nothing_of_another_cell(ros_domain, tmp_path):
    rclpy.init(args=[*inside("/cell1"), "-p", f"run_dir:={tmp_path}", "-p", "cameras:=[front]"])
    recorder, executor = RecorderNode(), SingleThreadedExecutor()
    cells = [Node("policy", namespace=f"/{name}", use_global_arguments=False) for name in ("cell1", "cell2")]
    publishers = []
    for number, policy in enumerate(cells, start=1):
        policy.declare_parameter("instruction", f"task {number}")
        for topic in ("tristage/pruning", "front/color/image_raw", "tristage/extra"):
            kind = {"color": Image, "pruning": PruningStats}.get(topic.split("/")[1], String)
            publishers.append(policy.create_publisher(kind, topic, 10))
    for node in (recorder, *cells):
        executor.add_node(node)

    def until(condition):
        end = time.monotonic() + 40
        while not condition():
            executor.spin_once(timeout_sec=0.05)
            assert time.monotonic() < end

    until(lambda: all(publisher.get_subscription_count() for publisher in publishers[:3]))
    until(lambda: "policy" in recorder._survey.parameters)
    for number, policy in enumerate(cells, start=1):
        policy.set_parameters([Parameter("instruction", value=f"another task {number}")])
    for publisher in publishers:
        publisher.publish(publisher.msg_type())
    wanted = ("/tristage/pruning", "/front/color/image_raw", "/tristage/extra", "/parameter_events")
    until(lambda: all(recorder.received[topic] for topic in wanted))
    until(lambda: recorder._survey.parameters["policy"]["instruction"] == "another task 1")
    recorder.close()
    executor.shutdown()
    for node in (recorder, *cells):
        node.destroy_node()
    rclpy.try_shutdown()
    with BagReader(tmp_path) as bag:
        assert not any("cell" in message.topic for message in bag.messages())
        assert len(list(bag.messages("/tristage/pruning"))) == 1
        known = read_facts(bag).parameters
        told = {m.value.node: [p.value.string_value for p in m.value.changed_parameters]
                for m in bag.messages("/parameter_events") if m.value.changed_parameters}  # fmt: skip
    assert set(known) == {"policy"} and known["policy"]["instruction"] == "another task 1"
    assert told == {"/policy": ["another task 1"]}


def test_topics_that_come_later_are_recorded_too(setting, tmp_path):
    s = setting()
    latched = s.helper.create_publisher(String, "/robot_description", qos.LATCHED)
    latched.publish(String(data="<robot/>"))
    other = s.helper.create_publisher(String, "/somebody/elses", 10)
    s.until(lambda: s.node.received["/robot_description"])
    other.publish(String(data="x"))
    s.close()
    with BagReader(tmp_path) as bag:
        assert [m.value.data for m in bag.messages("/robot_description")] == ["<robot/>"]
        assert "/somebody/elses" not in bag.topics


def test_every_nth_frame_on_request(setting, tmp_path):
    s = setting("image_interval:=3")
    for number in range(9):
        s.shoot(now())
        s.until(lambda wanted=number + 1: s.node.received["/front/color/image_raw"] >= wanted)
    s.close()
    with BagReader(tmp_path) as bag:
        assert len(list(bag.messages("/front/color/image_raw"))) == 3


def test_a_disk_that_hangs_holds_nobody_up_and_what_is_dropped_is_counted(setting, tmp_path, monkeypatch):
    release = threading.Event()
    store = BagWriter._store
    monkeypatch.setattr(BagWriter, "_store", lambda self, item: (release.wait(60), store(self, item)))
    s = setting("queue_mb:=16")
    big = np.zeros((1080, 1920, 3), np.uint8)
    for number in range(6):
        s.front.publish_color(big, stamp=now())
        s.until(lambda wanted=number + 1: s.node.received["/front/color/image_raw"] >= wanted)
    assert s.node.writer.dropped["/front/color/image_raw"] >= 3
    part = s.node._bag_part()
    assert part.level == diagnostics.WARN and "dropped: the disk or the processor is too slow" in part.message
    release.set()
    began = time.monotonic()
    s.close()
    assert time.monotonic() - began < 30
    with BagReader(tmp_path) as bag:
        assert bag.complete


@pytest.mark.parametrize(
    ("parameter", "error", "words"),
    [
        ("color:=gif", ParameterError, "jpeg, png, raw"),
        ("queue_mb:=1", ParameterError, "queue_mb"),
        ("cameras:=[a/b]", ConfigurationError, "'a/b'"),
    ],
)
def test_wrong_parameters_are_named(ros_domain, tmp_path, parameter, error, words):
    with pytest.raises(error, match=words):
        Setting(tmp_path, parameter)
    rclpy.try_shutdown()


def test_a_bag_is_never_overwritten(ros_domain, tmp_path):
    (tmp_path / "bag").mkdir()
    with pytest.raises(ConfigurationError, match="exists already"):
        Setting(tmp_path)
    rclpy.try_shutdown()
