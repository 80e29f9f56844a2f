"""Bags through the real nodes, as a user replays them: repeatable, damaged, foreign, and never heard by an arm."""

import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import rclpy
from builtin_interfaces.msg import Time
from cell_process import spin_for, spin_until
from damage import FRONT_DEPTH, IMAGES, SMALL_BAG, Stored, damaged, stored, write
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from replay_golden import GOLDEN, MEAN_POSITION, MEAN_RATE, POSITION, RATE, summary
from rosbags.interfaces import QosDurability, QosReliability
from rosbags.rosbag2 import Reader, StoragePlugin
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, JointState
from test_recording import REMAP, foreign
from tristage_msgs.msg import ActionChunk, PruningStats

from tristage_ros import cli
from tristage_ros.bags.changes import read_changes
from tristage_ros.bags.facts import read_facts
from tristage_ros.bags.messages import new_message, typestore
from tristage_ros.bags.reader import BagReader
from tristage_ros.reports.compare.compare import read_steps
from tristage_ros.ros.convert import seconds

pytestmark = pytest.mark.timeout(1200)  # the nodes are polite: on a busy machine they get little of it
SECOND = 10**9


def tristage(*arguments, timeout=1000):
    command = [sys.executable, "-m", "tristage_ros", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=os.environ | {"COLUMNS": "160"})


def replay(bag, out, *arguments):
    return tristage("replay", bag, "--lockstep", "--every-frame", "--out", out, *arguments)


@pytest.fixture(scope="module")
def whole(module_ros_domain, tmp_path_factory):
    """Replay the small bag in lockstep once; return the folder of what came of it."""
    out = tmp_path_factory.mktemp("whole") / "run"
    done = replay(SMALL_BAG, out)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def test_two_replays_in_lockstep_are_equal_bit_by_bit(whole, tmp_path):
    done = replay(SMALL_BAG, tmp_path / "run", "--against", whole, "--identical")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "masks and actions are identical, bit by bit" in done.stdout
    assert "changed:" not in done.stdout
    with BagReader(whole) as first, BagReader(tmp_path / "run") as second:
        for topic in ("/tristage/action", "/tristage/pruning", "/tristage/cloud"):
            one, other = ([m.stored[4:] for m in bag.messages(topic)] for bag in (first, second))
            assert one == other and len(one) > 20
    assert (tmp_path / "run" / "comparison.png").stat().st_size > 10_000


def test_rates_and_actions_are_the_golden_ones(whole):
    golden, found = json.loads(GOLDEN.read_text()), summary(whole)
    for name, largest, mean in (("rates", RATE, MEAN_RATE), ("translations", POSITION, MEAN_POSITION)):
        wanted, got = np.array(golden[name]), np.array(found[name])
        assert got.shape == wanted.shape
        assert abs(got - wanted).max() <= largest and abs(got - wanted).mean() <= mean, name
    assert golden["rates"][0] == [0.0, 0.0, 0.0] and np.mean(golden["rates"]) > 0.3


@pytest.mark.long
def test_another_threshold_is_named_and_beyond_its_tolerance_the_exit_code_is_1(whole, tmp_path):
    changes = ("--set", "policy.pruning=paper", "--set", "pruning.tau_2d=0.3", "--set", "pruning.tau_3d=0.3")
    done = replay(SMALL_BAG, tmp_path / "run", *changes, "--against", whole, "--limit", "masks=0.999")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "changed: pruning.tau_2d: 0.08 -> 0.3" in done.stdout and "too different: masks is 0." in done.stdout
    written = json.loads((tmp_path / "run" / "comparison.json").read_text())
    assert "pruning.tau_3d: 0.2 -> 0.3" in written["settings"]
    assert not written["identical"] and min(written["masks_3d"]) < 0.999
    assert np.array(written["errors"]).shape == (written["steps"], 7)


@pytest.mark.long
def test_what_was_set_meanwhile_is_set_before_the_same_step_again(ros_domain, tmp_path):
    begins = [m.made for m in stored() if m.topic == "/tristage/timings"]
    bag = write(tmp_path / "bag", [*stored(), set_at(begins[2] - 10**8, "pruner.target_rate", 0.3)])
    done = tristage("replay", bag, "--lockstep", "--out", tmp_path / "run")
    assert done.returncode == 0, done.stdout + done.stderr
    first, second, third = (step.pruning.rate for step in read_steps(tmp_path / "run").steps)
    assert first == 0.0 and second > 0.6 and third == pytest.approx(0.28, abs=0.01), "the third began after that"
    began, changes = read_changes(tmp_path / "run" / "bag")
    assert [change.values for change in changes] == [{"pruner.target_rate": 0.3}]
    assert began["pruner.target_rate"] == 0.7
    with BagReader(tmp_path / "run" / "bag") as replayed:
        assert read_facts(replayed).pruning["target_rate"] == 0.3
    assert cli.main(["report", str(tmp_path / "run")]) == 0
    page = (tmp_path / "run" / "report.html").read_text()
    assert "pruner.target_rate: 0.7 -&gt; 0.3" in page


@pytest.mark.long
def test_what_was_looked_at_on_the_way_is_looked_at_again(ros_domain, tmp_path):
    steps = [m.made for m in stored() if m.topic == "/tristage/timings"]
    seen = [m.made for m in stored() if m.topic == FRONT_DEPTH]
    between = [[stamp for stamp in seen if a < stamp < b] for a, b in pairwise(steps)]
    looks = sorted(stamp for stamps in between for stamp in stamps[1:8:3])
    assert len(looks) == 6
    bag = write(tmp_path / "bag", [*stored(), *map(look_at, looks)])
    done = tristage("replay", bag, "--lockstep", "--set", "policy.looks=moving", "--out", tmp_path / "run")
    assert done.returncode == 0, done.stdout + done.stderr
    with BagReader(tmp_path / "run" / "bag") as replayed:
        told = [(m.header_stamp, m.value.step) for m in replayed.messages("/tristage/timings")]
        assert read_facts(replayed).parameters["policy"]["looks"] == "moving"
    wanted = [(stamp, 1 + number) for number, stamp in enumerate(steps)] + [(stamp, 0) for stamp in looks]
    for (stamp, step), (expected, number) in zip(told, sorted(wanted), strict=True):
        assert abs(stamp - expected) < 10**6 and step == number
    compared = read_steps(tmp_path / "run").steps
    assert [step.timings.step for step in compared] == [step.pruning.step for step in compared] == [1, 2, 3]
    assert cli.main(["report", str(tmp_path / "run")]) == 0
    assert "Looks" in (tmp_path / "run" / "report.html").read_text()


def look_at(stamp):
    """Return the message of a look at the frame of a stamp, ns."""
    header = new_message("std_msgs/msg/Header", stamp=new_message(
        "builtin_interfaces/msg/Time", sec=stamp // SECOND, nanosec=stamp % SECOND))  # fmt: skip
    kind = "tristage_msgs/msg/StageTimings"
    data = bytes(typestore().serialize_cdr(new_message(kind, header=header, parts_ms=np.zeros(5, np.float32)), kind))
    return next(m for m in stored() if m.topic == "/tristage/timings")._replace(stamp=stamp + 10**8, data=data)


def set_at(time, name, value):
    """Return the message of a parameter of the policy that was set at a time, ns."""
    told = new_message("rcl_interfaces/msg/ParameterValue", type=3, double_value=value)
    changed = [new_message("rcl_interfaces/msg/Parameter", name=name, value=told)]
    stamp = new_message("builtin_interfaces/msg/Time", sec=time // SECOND, nanosec=time % SECOND)
    kind = "rcl_interfaces/msg/ParameterEvent"
    event = new_message(kind, node="/policy", stamp=stamp, changed_parameters=changed)
    return Stored("/parameter_events", kind, time, bytes(typestore().serialize_cdr(event, kind)))


@pytest.mark.long
def test_a_run_at_a_rate_is_replayed_in_the_steps_that_it_sent(ros_domain, whole, tmp_path):
    done = tristage("replay", SMALL_BAG, "--lockstep", "--set", "policy.control=rate", "--out", tmp_path / "run")
    assert done.returncode == 0, done.stdout + done.stderr
    for folder, key_frames in ((whole, True), (tmp_path / "run", False)):
        with BagReader(folder) as bag:
            chunks = [m.value for m in bag.messages("/tristage/action")]
        assert chunks and {chunk.time_step == 0.0 for chunk in chunks} == {key_frames}
        assert {len(chunk.gripper) > 1 for chunk in chunks} == {not key_frames}


@pytest.mark.long
def test_late_swapped_and_repeated_frames_change_nothing_in_lockstep(whole, tmp_path):
    images = {topic: [m for m in stored() if m.topic == topic] for topic in IMAGES}

    def change(message, number):
        if number in (10, 11):
            return [images[message.topic][21 - number]._replace(stamp=message.stamp)]
        late = message._replace(stamp=message.stamp + SECOND)
        return {5: [message] * 3, 7: [late]}.get(number, [message])

    done = replay(damaged(tmp_path / "bag", change), tmp_path / "run", "--against", whole, "--identical")
    assert done.returncode == 0, done.stdout + done.stderr
    for words in ("2 repeated", "1 out of order", "late"):
        assert words in done.stdout.replace("2 out of order", "1 out of order")


@pytest.mark.long
def test_dropped_frames_are_left_out_and_told(whole, tmp_path):
    path = damaged(tmp_path / "bag", lambda m, n: [] if n in (4, 5) or (n == 9 and "wrist" in m.topic) else [m])
    done = replay(path, tmp_path / "run", "--against", whole, "--limit", "unmatched=0")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "2 missing" in done.stdout and "1 frames left out: /wrist" in done.stdout
    assert "unmatched is 3, at most 0 allowed" in done.stdout
    assert len(read_steps(tmp_path / "run").steps) == len(read_steps(whole).steps) - 3


def test_a_truncated_bag_is_replayed_to_the_break(whole, tmp_path):
    file = next(SMALL_BAG.glob("*.mcap"))
    (tmp_path / "cut.mcap").write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    done = replay(tmp_path / "cut.mcap", tmp_path / "run", "--against", whole)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "note: the recording is cut off after" in done.stdout
    result = json.loads((tmp_path / "run" / "comparison.json").read_text())
    assert result["only_second"] > 0 or result["only_first"] > 0
    assert result["steps"] > 3 and result["first_difference"] is None, "up to the break nothing changes"


@pytest.mark.long
def test_a_foreign_bag_gives_the_same_from_either_storage(module_ros_domain, tmp_path):
    names = [part for old, new in REMAP.items() for part in ("--remap", f"{old}:={new}")]
    front = ("--set", "point_cloud.cameras=[front]")
    for plugin, against in ((StoragePlugin.SQLITE3, ()), (StoragePlugin.MCAP, ("--identical",))):
        bag = foreign(tmp_path / f"bag-{plugin.name}", plugin)
        compared = ("--against", tmp_path / StoragePlugin.SQLITE3.name, *against) if against else ()
        done = replay(bag, tmp_path / plugin.name, *names, *front, *compared)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "the bag does not know its settings" in done.stdout
    assert len(read_steps(tmp_path / "MCAP").steps) > 20


@pytest.mark.long
def test_in_real_time_late_frames_are_refused_and_the_rest_is_acted_on(module_ros_domain, tmp_path):
    path = damaged(tmp_path / "bag", lambda m, n: [m._replace(stamp=m.stamp + SECOND)] if n < 5 else [m])
    done = tristage(
        "replay", path, "--factor", "0.5", "--set", "policy.control=rate", "--out", tmp_path / "run", "--timeout", "5"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 recorded up to 1." in done.stdout
    steps = read_steps(tmp_path / "run").steps
    refused = {m.made for m in stored() if m.topic in IMAGES}
    assert steps and min(step.stamp for step in steps) > sorted(refused)[4]
    assert json.loads((tmp_path / "run" / "replay.json").read_text())["factor"] == 0.5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((SMALL_BAG, "--set", "pruning.tau_5d=1"), "tau_5d"),
        ((SMALL_BAG, "--set", "pruning.tau_2d=0.9"), "tau_2d = 0.9 must not exceed tau_3d"),
        ((SMALL_BAG, "--set", "policy.tau=1"), "there is no policy.tau; there are: checkpoint"),
        ((SMALL_BAG, "--set", "policy.seed=x"), "write a whole number from 0 to 2147483647"),
        ((SMALL_BAG, "--set", "arm.speed_scale=1"), "there is no arm.speed_scale; there are: pruning"),
        ((SMALL_BAG, "--set", "tau"), "NODE.NAME=VALUE"),
        ((SMALL_BAG, "--set", "policy.pruning=papper"), "papper"),
        ((SMALL_BAG, "--limit", "speed=1"), "there is no measure 'speed'; there are: position_mm"),
        ((SMALL_BAG, "--limit", "masks=x"), "'x' is not a number"),
        ((SMALL_BAG, "--remap", "camera"), "/FROM:=/TO"),
        ((SMALL_BAG, "--factor", "0"), "0 is not a positive number"),
        (("/nowhere",), "/nowhere cannot be read: there is nothing of that name"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_before_anything_starts(tmp_path, capsys, arguments, words):
    assert refused("replay", *arguments, "--out", tmp_path / "run") == 2
    assert words in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "run" / "log.txt").exists()


def test_a_missing_topic_is_named(tmp_path, capsys):
    path = write(tmp_path / "bag", [m for m in stored() if m.topic != "/joint_states"])
    assert refused("replay", path, "--out", tmp_path / "run") == 2
    assert "lacks /joint_states;" in capsys.readouterr().err


def refused(*arguments):
    """Return the exit code of a command line that nothing comes of."""
    try:
        return cli.main([str(argument) for argument in arguments])
    except SystemExit as ended:
        return ended.code


def test_beside_an_arm_nothing_is_replayed(ros_context, tmp_path):
    arm = Node("arm")
    heard = []
    arm.create_subscription(ActionChunk, "/tristage/action", heard.append, 10)
    done = tristage("replay", SMALL_BAG, "--lockstep", "--out", tmp_path / "run")
    assert done.returncode == 2 and "error: arm would hear the replay" in done.stderr
    assert "ROS_DOMAIN_ID" in done.stderr and not heard
    arm.destroy_node()


def test_ctrl_c_ends_everything(ros_domain, tmp_path):
    command = [sys.executable, "-m", "tristage_ros", "replay", SMALL_BAG, "--lockstep", "--out", tmp_path / "run"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    log = tmp_path / "run" / "log.txt"
    end = time.monotonic() + 60
    while not (log.exists() and "policy started (pid=" in log.read_text()) and time.monotonic() < end:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "Traceback" not in output and "interrupted" in output
    for name in ("point_cloud", "policy"):
        pid = log.read_text().split(f"{name} started (pid=")[1].split(")")[0]
        assert not Path("/proc", pid).exists()


TYPES = {
    "sensor_msgs/msg/CompressedImage": CompressedImage,
    "sensor_msgs/msg/CameraInfo": CameraInfo,
    "sensor_msgs/msg/JointState": JointState,
    "tristage_msgs/msg/ActionChunk": ActionChunk,
    "tristage_msgs/msg/PruningStats": PruningStats,
}


def recorded_profile(connection):
    qos = connection.ext.offered_qos_profiles[0]
    latched, reliable = qos.durability == QosDurability.TRANSIENT_LOCAL, qos.reliability == QosReliability.RELIABLE
    return QoSProfile(
        depth=qos.depth,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
    )


def play_plainly(node, path):
    """Publish what lies in a bag on its own topics, with its own types and quality of service, and the clock."""
    clock = node.create_publisher(Clock, "/clock", 10)
    with Reader(path) as bag:
        known = [c for c in bag.connections if c.msgtype in TYPES]
        publishers = {c.topic: node.create_publisher(TYPES[c.msgtype], c.topic, recorded_profile(c)) for c in known}
        first, began = None, time.monotonic()
        for connection, stamp, data in bag.messages(known):
            first = stamp if first is None else first
            while (ahead := (stamp - first) * 1e-9 / 0.5 - (time.monotonic() - began)) > 0:
                time.sleep(min(ahead, 0.01))
            clock.publish(Clock(clock=Time(sec=stamp // SECOND, nanosec=stamp % SECOND)))
            publishers[connection.topic].publish(bytes(data))
            rclpy.spin_once(node, timeout_sec=0.0)


@pytest.mark.long
def test_a_plain_player_drives_the_nodes_by_the_bags_own_topics_and_clock(ros_context, tmp_path):
    command = [sys.executable, "-m", "tristage_ros", "run", "replay"]
    log = (tmp_path / "log.txt").open("w")
    process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    node, answers = Node("plain_player"), []
    try:
        node.create_subscription(PruningStats, "/replay/pruning", answers.append, 10)
        spin_until(node, lambda: node.count_subscribers("/front/color/image_raw/compressed"), what="the policy is up")
        spin_for(node, 2.0)
        for _ in range(3):  # played again, time goes back
            play_plainly(node, SMALL_BAG)
            spin_for(node, 1.0)
            if answers:
                break
        made = {m.made for m in stored() if m.topic in IMAGES}
        assert answers and {min(abs(seconds(a.header.stamp) - t * 1e-9) for t in made) < 1e-5 for a in answers} == {
            True
        }
        speakers = {info.node_name for info in node.get_publishers_info_by_topic("/tristage/action")}
        assert speakers == {"plain_player"}, "what the nodes make of a bag is not for the arm"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)
        node.destroy_node()
        log.close()
    assert process.returncode == 0, (tmp_path / "log.txt").read_text()
