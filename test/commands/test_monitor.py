"""The monitor: its picture in any window, and the terminal before, during and after it."""

import io
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from pseudo_terminal import Terminal
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rich.console import Console
from tristage_msgs.msg import ArmStatus, PruningStats, StageTimings

from tristage_ros.commands import monitor
from tristage_ros.commands.monitor import LETTERS, view
from tristage_ros.ros.operator import Operator

MONITOR = [sys.executable, "-m", "tristage_ros", "monitor"]


def pruning(step=7):
    keep_2d = [k < 64 for k in range(256)]
    patches = np.arange(256)
    return PruningStats(
        step=step,
        pruned=True,
        rate=0.625,
        rate_2d=0.75,
        rate_3d=0.5,
        tokens_2d=64,
        tokens_3d=128,
        keep_2d=keep_2d,
        keep_3d=[32 <= k < 160 for k in range(256)],
        patch_of_point=patches.astype(np.int16).tolist(),
        stage_rates_2d=np.array([0.1, 0.2, 0.3, 0.75], np.float32),
        stage_rates_3d=np.array([0.4, 0.5, 0.6, 0.5], np.float32),
        salience_2d_by_set=np.array([0.9, 0.6, np.nan], np.float32),
    )


def status(name, level=DiagnosticStatus.OK, message="running"):
    return DiagnosticStatus(name=name, level=level, message=message)


@pytest.fixture
def ear(ros_domain):
    """Return an operator that has heard nothing yet, and a function that lets it hear messages by topic."""
    rclpy.init(args=[])
    operator, mouth, executor = Operator("monitor"), Node("mouth"), SingleThreadedExecutor()
    executor.add_node(operator)

    def say(**messages):
        kinds = {"pruning": "/tristage/pruning", "timings": "/tristage/timings", "arm": "/arm/status"}
        for name, message in messages.items():
            topic = kinds.get(name, "/diagnostics")
            publisher = mouth.create_publisher(type(message), topic, 10)
            end = time.monotonic() + 30
            while not publisher.get_subscription_count():
                assert time.monotonic() < end
                executor.spin_once(timeout_sec=0.05)
            publisher.publish(message)
            while getattr(operator, name) in (None, {}):
                assert time.monotonic() < end
                executor.spin_once(timeout_sec=0.05)

    yield operator, say
    executor.shutdown()
    operator.destroy_node()
    mouth.destroy_node()
    rclpy.try_shutdown()


def say_everything(say):
    levels = [DiagnosticStatus.WARN, DiagnosticStatus.ERROR, DiagnosticStatus.OK]
    parts = [status(f"node: part {k}", level, f"message {k}") for k, level in enumerate(levels)]
    say(
        pruning=pruning(),
        timings=StageTimings(step=7, total_ms=123.4, control_rate_hz=4.5),
        arm=ArmStatus(mode=ArmStatus.FAULT, reason="joint 2 overheated"),
        diagnostics=DiagnosticArray(status=parts),
    )


def printed(operator, width, height):
    console = Console(width=width, height=height, file=io.StringIO())
    console.print(view(operator, width, height, colored=False), height=height)
    return console.file.getvalue().rstrip("\n").split("\n")


def test_it_says_plainly_that_nothing_is_published(ear, ros_domain):
    lines = printed(ear[0], 80, 24)
    assert "Nothing is published" in lines[0] and ros_domain in lines[0]
    assert any("arm: no status" in line for line in lines)


def test_everything_fits_into_80_by_24(ear):
    operator, say = ear
    say_everything(say)
    lines = printed(operator, 80, 24)
    text = "\n".join(lines)
    assert "step 7: 62% pruned (2D 75%, 3D 50%), kept 64 + 128" in text
    for words in ("FAULT  joint 2 overheated", "123.4", "4.5 Hz", "S2 background 0.90", "stage 1        10%"):
        assert words in text
    assert "…" not in text
    assert [line.split()[0] for line in lines if "node: part" in line] == ["ERROR", "WARN"]
    rows = [line[:32] for line in lines[1:17]]
    for row, kind in ((0, "2D only"), (2, "both"), (5, "3D only"), (12, "neither")):
        assert rows[row] == LETTERS[kind] * 32


def test_a_single_picture_waits_for_every_part(ear):
    operator, say = ear
    say_everything(say)
    assert operator.complete()
    late = Node("late")
    publisher = late.create_publisher(DiagnosticArray, "/diagnostics", 10)
    timer = threading.Timer(1.0, lambda: publisher.publish(DiagnosticArray(status=[status("late: part")])))
    console, executor = Console(width=80, height=24, file=io.StringIO()), SingleThreadedExecutor()
    executor.add_node(operator)
    timer.start()
    try:
        assert monitor._print_once(operator, executor, console, threading.Event()) == 0
    finally:
        timer.join()
        executor.shutdown()
        late.destroy_node()
    assert "of 4 parts OK" in console.file.getvalue()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (132, 50), (200, 24), (78, 24), (60, 20), (40, 10), (20, 3)])
def test_any_window_is_filled_and_never_overrun(ear, width, height):
    operator, say = ear
    say_everything(say)
    lines = printed(operator, width, height)
    assert len(lines) == height and max(map(len, lines)) <= width


def test_what_falls_silent_is_said(ear):
    operator, say = ear
    say_everything(say)
    operator.heard = {name: at - 60.0 for name, at in operator.heard.items()}
    text = "\n".join(printed(operator, 80, 24))
    assert "no step for 6" in text and "STALE  node: part" in text and "0 of 3 parts OK" in text
    assert "arm: no status for 6" in text


@pytest.fixture
def terminal(ros_domain):
    started = Terminal(MONITOR)
    yield started
    started.end()


def test_ctrl_c_leaves_the_terminal_as_it_was(terminal):
    terminal.read_until(lambda seen: "Nothing is published" in seen)
    assert "\x1b[?1049h" in terminal.seen  # the alternate screen
    terminal.process.send_signal(signal.SIGINT)
    terminal.read_until(lambda seen: "\x1b[?25h" in seen and "\x1b[?1049l" in seen)  # cursor and screen are back
    assert terminal.process.wait(30) == 0
    assert "Traceback" not in terminal.seen


def test_it_follows_the_size_of_the_window(terminal):
    terminal.read_until(lambda seen: "Nothing is published" in seen)
    rows = lambda seen: {picture.count("\n") + 1 for picture in seen.split("\x1b[H")}  # noqa: E731
    terminal.resize(120, 40)
    terminal.read_until(lambda seen: 40 in rows(seen))


@pytest.mark.parametrize(
    "typed", [("--namespace", "cell1"), pytest.param(("--ros-args", "-r", "__ns:=/cell1"), marks=pytest.mark.long)]
)
def test_it_shows_the_cell_in_the_namespace(ros_domain, typed):
    rclpy.init(args=[])
    messages = {
        "tristage/pruning": pruning(),
        "tristage/timings": StageTimings(),
        "arm/status": ArmStatus(),
        "diagnostics": DiagnosticArray(status=[status("policy: policy", message="all is well")]),
    }
    mouth = Node("mouth", namespace="/cell1")
    publishers = [(mouth.create_publisher(type(message), name, 10), message) for name, message in messages.items()]
    process = subprocess.Popen([*MONITOR, "--once", *typed], stdout=subprocess.PIPE, text=True)
    while process.poll() is None:
        for publisher, message in publishers:
            publisher.publish(message)
        time.sleep(0.1)
    mouth.destroy_node()
    rclpy.try_shutdown()
    assert process.returncode == 0 and "Nothing is published" not in process.stdout.read()


def test_without_a_terminal_it_says_what_to_do(ros_domain):
    done = subprocess.run(MONITOR, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "--once" in done.stderr


@pytest.mark.long
def test_one_picture_of_nothing_is_a_failure(ros_domain):
    done = subprocess.run([*MONITOR, "--once"], capture_output=True, text=True, timeout=90)
    assert done.returncode == 1 and "Nothing is published" in done.stdout
