"""The recorder of episodes: every frame that is published is in a whole bag, and what goes wrong costs one at most."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from functools import partial

import numpy as np
import pytest
import rclpy
from camera_source import CameraSource, now
from node_setting import NodeSetting, made_by
from rclpy.action import ActionClient
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger
from tristage_msgs.action import RecordEpisode
from tristage_msgs.msg import ArmStatus, EpisodeStatus

from tristage_ros.bags.episodes.folder import Collection
from tristage_ros.bags.episodes.pictures import read_picture
from tristage_ros.bags.facts import read_facts
from tristage_ros.bags.reader import BagReader
from tristage_ros.bags.writer import BagWriter
from tristage_ros.nodes.recorder import session
from tristage_ros.nodes.recorder.episodes import EpisodesNode
from tristage_ros.ros import qos
from tristage_ros.ros.convert import header, seconds
from tristage_ros.ros.diagnostics import WARN
from tristage_ros.ros.joints import ARM_JOINTS, GRIPPER_JOINT

COLOUR = "/front/color/image_raw"
TASK = "put the banana on the blue plate"


class Scene:
    """A camera and an arm on a node, and who counts what they publish."""

    def __init__(self, node):
        self.front = CameraSource(node)
        self.published, self.level = [], 0
        self.status = node.create_publisher(ArmStatus, "/arm/status", 10)
        node.create_subscription(
            Image, COLOUR, lambda m: self.published.append(seconds(m.header.stamp)), QoSProfile(depth=100)
        )

    def shoot(self, stamp=None):
        stamp, self.level = stamp or now(), (self.level + 1) % 200
        self.front.publish_color(np.full((48, 64, 3), self.level, np.uint8), stamp=stamp)
        self.front.publish_depth(np.full((48, 64), 700 + self.level, np.uint16), stamp=stamp)
        self.front.publish_info(stamp)
        self.front.publish_joints(stamp)
        self.status.publish(ArmStatus(command_source=ArmStatus.LEADER, firmware="S-V1.6-3", leading_age_ms=20.0))


class Setting(NodeSetting):
    """The recorder in this process, and a person who calls it."""

    def __init__(self, folder, *parameters):
        given = [f"folder:={folder}", "cameras:=[front]", f"task:={TASK}", "keep_free_mb:=1", *parameters]
        super().__init__(EpisodesNode, given)
        self.collection = Collection(folder)
        self.scene = Scene(self.helper)
        self.told = []
        self.helper.create_subscription(EpisodeStatus, "/episodes/status", self.told.append, qos.LATCHED)
        publishers = (self.scene.front.color, self.scene.front.depth, self.scene.front.info, self.scene.front.joints)
        self.until(lambda: all(p.get_subscription_count() for p in (*publishers, self.scene.status)) and self.told)
        self.until(lambda: self.scene.front.color.get_subscription_count() == 2)

    def call(self, service):
        client = self.helper.create_client(Trigger, f"/episodes/{service}")
        self.until(client.service_is_ready)
        answer = client.call_async(Trigger.Request())
        self.until(answer.done)
        return answer.result()

    def shoot(self, frames, pause=0.0):
        for _ in range(frames):
            wanted, heard = len(self.scene.published) + 1, self.node.received[COLOUR] + 1
            self.scene.shoot()
            self.until(lambda w=wanted, h=heard: len(self.scene.published) >= w and self.node.received[COLOUR] >= h)
            time.sleep(pause)

    def idle(self):
        self.until(lambda: self.node.session.running is None)


@pytest.fixture
def setting(ros_domain, tmp_path):
    with made_by(partial(Setting, tmp_path / "episodes")) as make:
        yield make


def frames(bag):
    with BagReader(bag) as reader:
        assert reader.complete
        return [m.header_stamp * 1e-9 for m in reader.messages(COLOUR)]


def test_every_published_frame_of_every_episode_is_in_its_whole_bag(setting):
    s = setting()
    expected = []
    for end in ("success", "failure", "stop"):
        s.shoot(3)  # what nobody asked to be recorded
        assert s.call("start").success
        before = len(s.scene.published)
        s.shoot(25)
        s.until(lambda: s.node.received["/joint_states"] >= len(s.scene.published))
        expected.append(s.scene.published[before:])
        assert s.call(end).success
        s.idle()
    places = s.collection.places()
    assert [(place.number, place.is_whole) for place in places] == [(1, True), (2, True), (3, True)]
    for place, stamps in zip(places, expected, strict=True):
        assert np.allclose(frames(place.bag), stamps, atol=1e-6) and len(stamps) == 25
    episodes = [place.read() for place in places]
    assert [e.outcome for e in episodes] == ["success", "failure", ""]
    assert [e.reason for e in episodes] == ["the operator ended it"] * 2 + ["the operator stopped it"]
    first = episodes[0]
    assert (first.task, first.frames, first.firmware) == (TASK, {"front": 25}, "S-V1.6-3")
    assert first.command_source == ["leader"] and first.versions["numpy"] and first.dropped == {}
    for name in ("cameras.yaml", "site.yaml"):
        assert (places[0].path / name).stat().st_size > 100
    with BagReader(places[2].bag) as bag:
        known = read_facts(bag)
        topics = {m.topic for m in bag.messages()}
    assert "joint_limits" in known.files["episodes.site_file"] and "front" in known.files["episodes.cameras_file"]
    assert {
        "/joint_states",
        "/arm/status",
        "/front/aligned_depth_to_color/image_raw",
        "/front/color/camera_info",
    } <= topics


def test_the_action_records_one_episode_and_its_result_says_what_it_came_to(setting):
    s = setting()
    client = ActionClient(s.helper, RecordEpisode, "/episodes/record")
    s.until(client.server_is_ready)
    feedback = []

    def goal(**wish):
        sent = client.send_goal_async(RecordEpisode.Goal(**wish), lambda m: feedback.append(m.feedback))
        s.until(sent.done)
        return sent.result(), sent.result().get_result_async()

    _, result = goal(task="close the box", led_by="Ana", max_seconds=1.5)
    _, refused = goal(task="open the box")
    s.until(refused.done)
    assert not refused.result().result.success and "episode 1 is being recorded" in refused.result().result.message
    while not result.done():
        s.shoot(1, 0.05)
    ended = result.result().result
    assert ended.success and ended.reason == "1.5 s are over" and ended.outcome == "" and ended.messages > 50
    assert feedback and feedback[-1].messages <= ended.messages
    handle, result = goal(task="close the box")
    s.shoot(2)
    s.until(handle.cancel_goal_async().done)
    s.until(result.done)
    assert result.result().result.reason == "cancelled"
    episode = s.collection.place(1).read()
    assert (episode.task, episode.operator) == ("close the box", "Ana")
    client.destroy()


def test_what_is_done_again_is_marked_and_stays(setting):
    s = setting()
    assert not s.call("redo").success and not s.call("stop").success and not s.call("success").success
    s.call("start")
    s.shoot(3)
    assert s.call("redo").success
    s.until(lambda: s.node.session.recording and s.node.session.recording.place.number == 2)
    s.shoot(3)
    s.call("stop")
    assert s.call("success").success, "as soon as it is whole"
    s.idle()
    s.until(lambda: s.collection.place(2).read().outcome == "success")
    assert s.call("redo").success
    s.until(lambda: s.node.session.recording)
    s.call("quit")
    s.idle()
    standings = [(place.read().standing, place.is_whole) for place in s.collection.places()]
    assert standings == [("redone", True), ("redone", True), ("kept", True)]
    assert s.collection.place(3).read().reason == "the session was ended"


def test_a_clock_that_jumps_and_a_frozen_camera_are_named_and_nothing_is_lost(setting):
    s = setting()
    s.call("start")
    begin = now()
    for k in range(40):
        stamp = begin + k / 15 - (3600.0 if k >= 20 else 0.0)
        s.scene.shoot(stamp)
        s.until(lambda wanted=k + 1: len(s.scene.published) >= wanted)
    s.until(lambda: s.node.received[COLOUR] == 40 and s.node.received["/joint_states"] == 40)
    s.until(lambda: any("the clock jumped" in line for line in s.told[-1].complaints))
    part = s.node._part()
    assert part.level == WARN and "the clock jumped: stamps 3599.93 s backwards" in part.message
    for k in range(25):
        stamp = begin - 3600.0 + (40 + k) / 15
        s.scene.front.publish_color(np.full((48, 64, 3), 7, np.uint8), stamp=stamp)
        moving = JointState(header=header(stamp, "base_link"), name=[*ARM_JOINTS, GRIPPER_JOINT])
        moving.position = [0.03 * k, 1.2, -1.1, 0.0, 0.9, 0.0, 0.05]
        s.scene.front.joints.publish(moving)
        s.until(lambda wanted=41 + k: s.node.received[COLOUR] >= wanted and len(s.scene.published) >= wanted)
        time.sleep(0.06)
    s.until(lambda: any("while the arm moved" in line for line in s.told[-1].complaints))
    assert "front colour: frozen: the same image" in s.node._part().message
    assert s.call("failure").success
    s.idle()
    place = s.collection.place(1)
    with BagReader(place.bag) as bag:
        recorded = [(m.stamp, m.header_stamp * 1e-9) for m in bag.messages(COLOUR)]
    assert np.allclose([made for _, made in recorded], s.scene.published, atol=1e-6), "in the order in which they came"
    assert any("the clock jumped" in line for line in place.read().complaints)


def test_a_full_disk_costs_what_was_not_written_and_is_the_reason(setting, monkeypatch):
    s = setting()
    store = BagWriter._store
    full = [False]

    def until_full(writer, item):
        if full[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        store(writer, item)

    monkeypatch.setattr(BagWriter, "_store", until_full)
    s.call("start")
    s.shoot(20)
    time.sleep(1.2)  # what is older than that is on the disk
    s.shoot(1)
    full[0] = True
    s.shoot(2)
    s.idle()
    place = s.collection.place(1)
    assert not place.is_whole and "No space left on device" in place.read().reason
    assert "No space left on device" in s.node._part().message
    with BagReader(place.bag) as bag:
        assert len(list(bag.messages(COLOUR))) >= 20
    full[0] = False
    assert s.call("start").success
    s.shoot(3)
    s.call("success")
    s.idle()
    assert s.collection.place(2).is_whole and s.collection.place(2).read().frames == {"front": 3}


def test_it_stops_in_good_time_before_the_disk_is_full_and_does_not_begin_on_one_that_is(setting, monkeypatch):
    s = setting("keep_free_mb:=100")
    free = [10**10]
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**11, 0, free[0]))
    monkeypatch.setattr(session, "LOOK_AT_DISK", 0.1)
    s.call("start")
    s.shoot(5)
    free[0] = 150 * 10**6
    s.until(lambda: any(line.startswith("disk nearly full: 50 MB left") for line in s.told[-1].complaints))
    free[0] = 99 * 10**6
    s.idle()
    place = s.collection.place(1)
    assert place.is_whole and place.read().reason == "the disk is nearly full: 99 MB left"
    assert len(frames(place.bag)) == 5
    answer = s.call("start")
    assert not answer.success and "the disk has 0 MB beside the 100 MB that stay free" in answer.message
    assert len(s.collection.places()) == 1


def test_what_was_published_once_is_in_every_bag(setting):
    s = setting()
    for part in ("front", "wrist"):
        publisher = s.helper.create_publisher(String, "/tf_static", qos.LATCHED)
        publisher.publish(String(data=part))
    s.until(lambda: s.node.received["/tf_static"] == 2)
    for _ in range(2):
        s.call("start")
        s.shoot(2)
        s.call("stop")
        s.idle()
    for place in s.collection.places():
        with BagReader(place.bag) as bag:
            assert sorted(m.value.data for m in bag.messages("/tf_static")) == ["front", "wrist"]


def test_the_start_picture_is_laid_over_the_live_one_while_somebody_looks(setting):
    s = setting()
    s.scene.level = 99
    s.call("start")
    s.shoot(3)
    s.call("stop")
    s.idle()
    start = read_picture(s.collection.place(1).path / "start.png")
    assert start.shape == (48, 64, 3) and set(start.ravel().tolist()) == {100}
    seen = []
    looking = s.helper.create_subscription(Image, "/episodes/start_overlay", seen.append, 1)
    end = now() + 30
    while not seen:
        s.scene.level = 199  # the next one has level 0
        s.shoot(1, 0.1)
        assert now() < end
    assert set(seen[-1].data.tolist()) == {50} and (seen[-1].width, seen[-1].encoding) == (64, "rgb8")
    s.helper.destroy_subscription(looking)
    s.until(lambda: not s.node._overlay.wanted())


def test_a_camera_is_held_against_the_rate_that_its_own_node_tells(setting):
    s = setting()
    camera = Node("front", use_global_arguments=False)
    camera.declare_parameter("rgb_camera.color_profile", "640x480x30")
    s.executor.add_node(camera)
    s.call("start")
    s.until(lambda: s.node.session.judge.verdict.images[COLOUR].nominal == 30.0)
    s.call("stop")
    camera.destroy_node()


def test_a_person_sets_task_and_folder_between_episodes_only(setting, tmp_path):
    s = setting()
    s.call("start")
    other = str(tmp_path / "others")
    (result,) = s.node.set_parameters([Parameter("folder", value=other)])
    assert not result.successful and "end it first" in result.reason
    s.call("stop")
    s.idle()
    s.node.set_parameters([Parameter("folder", value=other), Parameter("task", value="close the box")])
    s.call("start")
    s.call("stop")
    s.idle()
    assert Collection(other).place(1).read().task == "close the box"


class Killed:
    """The recorder as a process, and a camera beside it."""

    def __init__(self, folder, log):
        rclpy.init(args=[])
        self.node, self.executor = Node("helper"), SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.scene, self.told = Scene(self.node), []
        self.node.create_subscription(EpisodeStatus, "/episodes/status", self.told.append, qos.LATCHED)
        self.services = {name: self.node.create_client(Trigger, f"/episodes/{name}") for name in ("start", "success")}
        given = {"folder": folder, "cameras": "[front]", "task": TASK, "keep_free_mb": 1}
        words = [word for name, value in given.items() for word in ("-p", f"{name}:={value}")]
        command = [sys.executable, "-m", "tristage_ros.nodes", "episodes", "--ros-args", *words]
        with log.open("w") as file:
            self.process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        self.until(lambda: self.told and self.scene.front.color.get_subscription_count() == 2)

    def until(self, condition):
        end = now() + 60
        while not condition():
            self.executor.spin_once(timeout_sec=0.02)
            assert now() < end

    def call(self, service):
        client = self.services[service]
        self.until(client.service_is_ready)
        answer = client.call_async(Trigger.Request())
        self.until(answer.done)
        assert answer.result().success, answer.result().message

    def shoot(self, number, pause=0.0):
        for _ in range(number):
            wanted = len(self.scene.published) + 1
            self.scene.shoot()
            self.until(lambda wanted=wanted: len(self.scene.published) >= wanted)
            time.sleep(pause)

    def end(self):
        self.process.kill()
        self.process.wait()
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown()


@pytest.mark.parametrize("whole", [3, pytest.param(50, marks=[pytest.mark.long, pytest.mark.timeout(900)])])
def test_a_killed_recorder_leaves_whole_bags_and_what_was_on_the_disk_of_the_last(ros_domain, tmp_path, whole):
    s = Killed(tmp_path / "episodes", tmp_path / "log.txt")
    try:
        for number in range(1, whole + 1):
            s.call("start")
            s.shoot(5, 0.02)
            s.call("success")
            s.until(lambda n=number: s.told[-1].state == EpisodeStatus.IDLE and s.told[-1].number == n)
        s.call("start")
        s.shoot(30, 0.1)
        os.kill(s.process.pid, signal.SIGKILL)
        s.process.wait()
    finally:
        s.end()
    *places, last = Collection(tmp_path / "episodes").places()
    assert [place.number for place in places] == list(range(1, whole + 1)) and last.number == whole + 1
    for place in places:
        assert place.is_whole and len(frames(place.bag)) == 5 and place.read().outcome == "success"
    assert not last.is_whole and last.read().task == TASK and last.read().reason == ""
    with BagReader(last.bag) as bag:
        assert not bag.complete and len(list(bag.messages(COLOUR))) >= 15
