"""`tristage teach`: by lines from a pipe and by keys in a terminal, with a recorder of its own."""

import re
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from camera_source import CameraSource, now
from pseudo_terminal import Terminal
from rcl_interfaces.msg import SetParametersResult
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from std_srvs.srv import Trigger
from tristage_msgs.msg import ArmStatus

from tristage_ros.bags.episodes.folder import Collection
from tristage_ros.bags.reader import BagReader
from tristage_ros.nodes.recorder.episodes import EpisodesNode

TASK = "put the banana on the blue plate"
TEACH = [sys.executable, "-m", "tristage_ros", "teach", "--task", TASK, "--operator", "Ana", "--cameras", "front"]


class Arm(Node):
    """What teaching needs of a cell: a camera, an arm with its services, and joints that move."""

    def __init__(self):
        super().__init__("arm", use_global_arguments=False)
        self.called, self.leading = [], ArmStatus.TOO_FAR
        self.declare_parameter("command_source", "policy")
        self.front, self.shots = CameraSource(self), 0
        self.status = self.create_publisher(ArmStatus, "/arm/status", 10)
        for name in ("enable", "stop", "clear_fault", "engage", "disengage"):
            self.create_service(Trigger, f"/arm/{name}", lambda _, answer, name=name: self.answer(name, answer))
        self.create_timer(1 / 15, self.shoot)

    def answer(self, name, answer):
        self.called.append(name)
        self.leading = ArmStatus.LEADING if name == "engage" else ArmStatus.READY
        answer.success, answer.message = True, f"{name}: done"
        return answer

    def shoot(self):
        self.shots += 1
        stamp = now()
        self.front.publish_color(np.full((48, 64, 3), self.shots % 250, np.uint8), stamp=stamp)
        self.front.publish_depth(np.full((48, 64), 700 + self.shots % 50, np.uint16), stamp=stamp)
        self.front.publish_joints(stamp)
        led = self.get_parameter("command_source").value == "leader"
        missing = [0.0, 0.32, 0.0, 0.0, -0.11, float("nan")]
        source = ArmStatus.LEADER if led else ArmStatus.POLICY
        self.status.publish(
            ArmStatus(mode=ArmStatus.HOLDING, command_source=source, leading=self.leading, leading_missing=missing)
        )


@pytest.fixture
def arm(ros_context):
    yield from spinning(Arm())


@pytest.fixture
def recorder(ros_context):
    """Have the recorder in the graph."""
    yield from spinning(EpisodesNode())


def spinning(node):
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    thread = threading.Thread(target=executor.spin, daemon=True)
    thread.start()
    yield node
    executor.shutdown()
    thread.join()
    node.destroy_node()


def plain(seen):
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen)


def taught(words, lines):
    done = subprocess.run([*TEACH, *words], input="\n".join(lines), capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


def test_a_script_teaches_by_lines(arm, recorder, tmp_path):
    folder = tmp_path / "episodes"
    lines = [
        "start",
        "wait 1.5",
        "success",
        "start",
        "wait 0.5",
        "redo",
        "wait 0.5",
        "n",
        "dance",
        "engage",
        " ",
        "stop",
    ]
    code, out, err = taught(["--source", "leader", "--out", str(folder)], lines)
    assert code == 0, err
    places = Collection(folder).places()
    episodes = [place.read() for place in places]
    assert [(e.outcome, e.standing) for e in episodes] == [("success", "kept"), ("", "redone"), ("failure", "kept")]
    assert all(
        place.is_whole and e.task == TASK and e.operator == "Ana" for place, e in zip(places, episodes, strict=True)
    )
    assert arm.get_parameter("command_source").value == "leader" and episodes[0].command_source[-1] == "leader"
    assert arm.called == ["engage", "stop"]
    with BagReader(places[0].bag) as bag:
        assert len(list(bag.messages("/front/color/image_raw"))) >= 15
    for words in ("recording episode 1", "episode 1 ended: success", "'dance' is no command", "stop: done",
                  "episodes: 1 failure, 1 redone, 1 success", "no episode is being recorded"):  # fmt: skip
        assert words in out


def test_it_ends_by_itself_when_all_is_marked_or_the_last_line_was_read(arm, recorder, tmp_path):
    code, out, _ = taught(["--episodes", "1", "--out", str(tmp_path)], ["start", "wait 1", "success", "wait 60"])
    assert code == 0 and ": 1 success" in out
    code, out, _ = taught(["--max-seconds", "1.5", "--out", str(tmp_path)], ["start"])
    assert code == 0 and "episode 2 ended: not marked, 1.5 s are over" in out


def test_keys_in_a_terminal(arm, recorder, tmp_path):
    terminal = Terminal([*TEACH, "--source", "leader", "--out", str(tmp_path)], width=110, height=30)
    try:
        terminal.read_until(
            lambda seen: "leader: too far to engage" in seen and "J2 +0.32" in seen and "J6 not heard" in seen
        )
        began = time.monotonic()
        terminal.type(" ")
        while "stop" not in arm.called:
            assert time.monotonic() < began + 10
        terminal.type("s")
        terminal.read_until(lambda seen: "episode 1 recording" in plain(seen))
        terminal.type("y")
        terminal.read_until(lambda seen: "success: the operator ended it" in plain(seen))
        terminal.type("q")
        assert terminal.process.wait(60) == 0
    finally:
        terminal.end()
    assert Collection(tmp_path).place(1).read().outcome == "success" and "Traceback" not in terminal.seen


def test_the_last_episode_is_whole_also_when_the_terminal_is_closed(arm, tmp_path):
    process = subprocess.Popen(
        [*TEACH, "--out", str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    process.stdin.write("start\nwait 100\n")
    process.stdin.flush()
    end = time.monotonic() + 60
    while not any(tmp_path.glob("0001.unfinished/start.png")):
        assert time.monotonic() < end
        time.sleep(0.1)
    process.send_signal(signal.SIGHUP)
    assert process.wait(60) == 0
    place = Collection(tmp_path).place(1)
    assert place.is_whole and place.read().reason == "the session was ended"


def test_without_an_arm_it_says_so(ros_domain, tmp_path):
    code, _, err = taught(["--source", "leader", "--out", str(tmp_path)], [])
    assert code == 2 and "no arm node in ROS domain" in err and err.count("\n") == 1


def test_what_the_arm_refuses_is_said(arm, tmp_path):
    refusal = SetParametersResult(successful=False, reason="choose one of policy, trajectory")
    arm.add_on_set_parameters_callback(lambda parameters: refusal)
    code, _, err = taught(["--source", "twist", "--out", str(tmp_path)], [])
    assert code == 2 and "arm: choose one of policy, trajectory" in err
