"""The node that asks a policy server, with a real server: what it sends to the arm, and what keeps it from that."""

import json
import time
from functools import partial

import numpy as np
import pytest
import rclpy
import yaml
from camera_source import LOOKING_DOWN, CameraSource, now
from node_setting import NodeSetting, made_by
from policy_server import SILENCE, PolicyServer
from rclpy.parameter import Parameter
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header, String
from std_srvs.srv import Trigger
from tristage_msgs.msg import ActionChunk, ArmStatus, StageTimings

from tristage_ros.nodes.remote import asking
from tristage_ros.nodes.remote.node import RemotePolicyNode
from tristage_ros.nodes.remote.pacing import ChunkPacing
from tristage_ros.openpi.mapping import map_file
from tristage_ros.ros import diagnostics, qos
from tristage_ros.ros.convert import cloud_message, header, seconds
from tristage_ros.ros.runner import ConfigurationError

POINTS = np.random.default_rng(0).uniform([0.2, -0.2, 0.0], [0.4, 0.2, 0.1], (100, 3)).astype(np.float32)
COLOR = np.random.default_rng(1).integers(0, 255, (48, 64, 3), np.uint8)
HERE = [0.0, 1.2, -1.1, 0.0, 0.9, 0.0]  # as the camera source says it
TRACEBACK = "Traceback (most recent call last):\n  File policy.py\nRuntimeError: out of memory\n"


def standing(observation):
    """Answer that the arm is to stay where it is, its gripper open."""
    row = [*observation["observation/state"][:6], 0.07]
    return {"actions": np.tile(np.float32(row), (30, 1)), "server_timing": {"infer_ms": 12.5}}


class Setting(NodeSetting):
    """The node, its server, cameras and an arm that tells its state."""

    def __init__(self, tmp_path, server, *parameters):
        cameras = tmp_path / "cameras.yaml"
        cameras.write_text(LOOKING_DOWN)
        given = {"cameras_file": cameras, "server": server.url, "map": "joints", "max_age": 8.0}
        super().__init__(RemotePolicyNode, [*(f"{name}:={value}" for name, value in given.items()), *parameters])
        self.server, self.actions, self.timings, self.servers, self.beats = server, [], [], [], []
        for kind, topic, took, profile in (
            (ActionChunk, "/tristage/action", self.actions, 10),
            (StageTimings, "/tristage/timings", self.timings, 10),
            (String, "/tristage/server", self.servers, qos.LATCHED),
            (Header, f"/{qos.HEARTBEAT_TOPIC}", self.beats, qos.HEARTBEAT),
        ):
            self.helper.create_subscription(kind, topic, took.append, profile)
        self.clouds = self.helper.create_publisher(PointCloud2, "/tristage/cloud", qos.IMAGES)
        self.status = self.helper.create_publisher(ArmStatus, "/arm/status", 10)
        self.front, self.wrist = CameraSource(self.helper), CameraSource(self.helper, "wrist")
        heard = (self.clouds, self.status, self.front.color, self.wrist.color, self.front.joints)
        self.until(lambda: all(publisher.get_subscription_count() for publisher in heard))
        self.until(lambda: self.helper.count_publishers("/tristage/action"))

    def state(self):
        return f"the node waits for {self.node._waiting_for!r}, {self.words()}"

    def words(self):
        return self.node._policy_part().message

    def publish(self):
        stamp = now()
        self.status.publish(ArmStatus(header=header(stamp, "base_link"), mode=ArmStatus.HOLDING))
        self.front.publish_info(stamp)
        self.front.publish_joints(stamp)
        self.front.publish_color(COLOR, stamp=stamp)
        self.wrist.publish_color(COLOR[:, ::-1], stamp=stamp)
        self.clouds.publish(cloud_message(POINTS, stamp, "base_link"))

    def seen(self, condition, timeout=30.0):
        """Publish moment after moment until `condition()`."""
        end = now() + timeout
        while not condition():
            self.publish()
            due = now() + 0.05  # as a camera of 20 Hz
            while now() < due and not condition():
                self.executor.spin_once(timeout_sec=0.02)
            assert now() < end, f"nothing came; {self.state()}"

    def goes_on(self, span):
        end = now() + span
        self.seen(lambda: now() > end)

    def answered(self, count=1):
        """Return the newest action once there are `count` more."""
        wanted = len(self.actions) + count
        self.seen(lambda: min(len(self.actions), len(self.timings)) >= wanted)
        return self.actions[-1]

    def complains(self, words):
        self.seen(lambda: words in self.words())
        assert self.node._policy_part().level == diagnostics.ERROR


@pytest.fixture
def serve():
    servers = []

    def serve(answer=standing, **others):
        servers.append(PolicyServer(answer, **others))
        return servers[-1]

    yield serve
    for each in servers:
        each.close()


@pytest.fixture
def setting(ros_domain, tmp_path, serve, monkeypatch):
    monkeypatch.setattr(asking, "AGAIN", 0.1)
    with made_by(partial(Setting, tmp_path)) as make:
        yield make


def test_moment_after_moment_is_asked_about_and_answered_with_a_chunk(setting, serve):
    s = setting(serve(metadata={"action_dim": 7}))
    first, second = s.answered(), s.answered()
    assert (first.sequence, second.sequence) == (1, 2) and first.header.frame_id == "base_link"
    assert seconds(second.header.stamp) - seconds(first.header.stamp) >= 0.48  # ten steps at 20 Hz
    assert len(first.gripper) == 26 and first.time_step == pytest.approx(0.05)
    np.testing.assert_allclose([[t.x, t.y, t.z] for t in first.translation], 0.0, atol=1e-6)
    assert set(first.gripper) == {1.0}
    asked = s.server.asked[0]
    assert asked["prompt"] == "put the banana on the blue plate"
    assert asked["observation/image"].shape == (224, 224, 3) and asked["observation/image"][112].any()
    np.testing.assert_allclose(asked["observation/state"], [*HERE, 0.05], atol=1e-6)
    assert [timing.step for timing in s.timings] == [1, 2] and s.timings[-1].total_ms >= s.timings[-1].preprocess_ms > 0
    assert s.timings[-1].action_age_ms > 0
    said = json.loads(s.servers[-1].data)
    assert said["metadata"] == {"action_dim": 7} and said["server"] == s.server.url
    assert s.node._server_part().values["server_timing, infer_ms"] == 12.5
    assert s.node._policy_part().level == diagnostics.OK


def test_the_arms_words_come_back_only_by_way_of_the_server(setting, serve):
    s = setting(serve())
    s.answered()
    s.beats.clear()
    s.seen(lambda: len(s.beats) >= 3)
    s.server.die()
    s.seen(lambda: "ended the connection" in s.words() or "no policy server" in s.words())
    s.goes_on(0.3)  # what is on its way comes
    s.beats.clear()
    s.goes_on(0.5)
    assert not s.beats


def test_a_reset_and_another_instruction_are_new_connections(setting, serve):
    s = setting(serve())
    s.answered()
    assert s.node.set_parameters([Parameter("instruction", value="close the box")])[0].successful
    s.answered()
    assert s.server.asked[-1]["prompt"] == "close the box" and len(s.server.connections) == 2
    assert not s.node.set_parameters([Parameter("instruction", value=" ")])[0].successful
    future = s.helper.create_client(Trigger, "/policy/reset").call_async(Trigger.Request())
    s.until(future.done)
    s.answered()
    assert future.result().success and len(s.server.connections) == 3 and s.timings[-1].step == 1


def test_a_server_that_died_is_connected_to_again_and_begun_anew(setting, serve):
    first = serve()
    s = setting(first)
    s.answered(2)
    first.die()
    s.complains("no policy server at")
    s.server, before = serve(port=first.port), now()
    again = s.answered()
    assert s.timings[-1].step == 1 and seconds(again.header.stamp) > before and again.sequence == 3
    assert s.node._policy_part().level == diagnostics.OK and len(s.servers) == 2


BAD = [
    (TRACEBACK, "failed: RuntimeError: out of memory"),
    (SILENCE, "is silent: it did not say an answer within 0.2 s"),
    (b"\xc1", "speaks another protocol"),
    ({"action": np.zeros((30, 7))}, "the answer has no actions; it has action"),
    ({"actions": np.full((30, 7), np.nan)}, "number 1 of step 1 of actions is nan"),
    ({"actions": np.zeros((1000, 7))}, "has 1000 steps"),
    ({"actions": np.tile([0.0, 68.8, -63.0, 0.0, 51.6, 0.0, 0.0], (30, 1))}, "joint 2 of step 1 is 68.8 rad"),
]


def test_a_bad_answer_is_told_and_not_sent_and_a_good_one_is_afterwards(setting, serve):
    s = setting(serve(), "answer_within:=0.2")
    s.answered()
    for said, words in BAD:
        s.server.answer = lambda observation, said=said: said
        s.complains(words)
        count = len(s.actions)
        s.goes_on(0.2)
        assert len(s.actions) == count and not s.node.failure
        s.server.answer = standing
        s.answered()
        assert s.node._policy_part().level == diagnostics.OK


def test_metadata_that_contradict_the_map_keep_it_from_asking(setting, serve, tmp_path):
    content = yaml.safe_load(map_file("joints").read_text()) | {"metadata": {"action_dim": 7}}
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(content))
    s = setting(serve(metadata={"action_dim": 14}), f"map:={path}")
    s.complains("the server's metadata say action_dim: 14, and own.yaml 7")
    assert not s.server.asked and not s.beats


def test_key_frames_wait_until_the_arm_is_there(setting, serve, tmp_path):
    content = yaml.safe_load(map_file("joints").read_text())
    content["action"] |= {"rate": 0.0, "execute": 1}
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(content))
    s = setting(serve(), f"map:={path}")
    chunk = s.answered()
    assert chunk.time_step == 0.0 and len(chunk.gripper) == 1
    s.goes_on(0.3)
    assert len(s.actions) == 1
    reached = ArmStatus(header=header(now(), "base_link"), mode=ArmStatus.HOLDING)
    reached.chunk_stamp, reached.chunk_state = chunk.header.stamp, ArmStatus.CHUNK_REACHED
    s.status.publish(reached)
    s.answered()


def test_it_ends_at_once_while_a_server_computes(setting, serve):
    s = setting(serve(lambda observation: SILENCE))
    s.seen(lambda: s.server.asked)
    assert s.beats or s.seen(lambda: s.beats) is None  # deaf while it compiles, and no reason for the arm to give up
    begun = time.monotonic()
    s.node.close()
    assert time.monotonic() - begun < 5.0 and s.node._thread is None


@pytest.mark.parametrize(
    ("parameter", "words"),
    [
        ("map:=liberty", "no map of a policy is called 'liberty'"),
        ("server:=gpu", "'gpu' is no address of a policy server; write ws://HOST:PORT"),
        ("map:=own.yaml", "own.yaml: no camera is called ceiling; there are: front, wrist"),
    ],
)
def test_what_is_wrong_keeps_it_from_starting(ros_domain, tmp_path, serve, monkeypatch, parameter, words):
    content = yaml.safe_load(map_file("joints").read_text())
    content["observation"]["images"][0]["camera"] = "ceiling"
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(content))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=words):
        Setting(tmp_path, serve(), parameter)
    rclpy.try_shutdown()


def test_a_refused_chunk_is_followed_by_another_soon():
    pacing, chunk = ChunkPacing(span=5.0), ActionChunk(header=header(100.0, "base_link"))
    assert pacing.waits_for(0.0, 0.0) == ""
    pacing.on_sent(chunk, 0.0)
    assert pacing.waits_for(0.0, 104.9) == ChunkPacing.RUNS and pacing.waits_for(0.0, 105.0) == ""
    assert 104.9 < pacing.newer_than < 105.0
    pacing.on_arm_status(ArmStatus(chunk_stamp=header(99.0, "").stamp, chunk_state=ArmStatus.CHUNK_REFUSED), 0.0)
    assert pacing.waits_for(0.0, 101.0)
    pacing.on_arm_status(ArmStatus(chunk_stamp=chunk.header.stamp, chunk_state=ArmStatus.CHUNK_REFUSED), 0.0)
    assert pacing.waits_for(0.0, 100.4) and pacing.waits_for(0.0, 100.6) == ""
