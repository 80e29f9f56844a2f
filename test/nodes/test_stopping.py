"""Ctrl-C and its like at any moment of a node's life: it ends at once, with 0, and without a word too many."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cell_process import orphans

HELD = ["env", "--block-signal=INT"]  # as in the scripts that colcon makes
NODES = {
    "policy": ["-p", "allow_random_weights:=true"],
    "simulation": ["-p", "can_channel:=127.0.0.1:0"],
    "arm": ["-p", "can_interface:=virtual", "-p", "can_channel:=stopping"],
    "point_cloud": [],
}
pytestmark = pytest.mark.serial
CTRL_C = [signal.SIGINT] * 3  # a terminal sends it to all, and a launch system once more
AT_ONCE = 8.0  # s; a launch system waits for 5, on a machine that does nothing else
SCRIPT = "import sys; from tristage_ros.start import {0}; sys.exit({0}())"


class Process:
    """A node with nobody's help: no variable that only developers set."""

    def __init__(self, command, folder):
        self.log = folder / "said.txt"
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)

    def maps(self, text):
        """Tell whether a library or file is mapped: how far the imports and the middleware are."""
        try:
            return text in Path(f"/proc/{self.process.pid}/maps").read_text()
        except OSError:
            return False

    def says(self, text):
        return text in self.log.read_text()

    def stop(self, signals):
        """Send the signals one shortly after the other; return the exit code."""
        for number in signals:
            self.process.send_signal(number)
            time.sleep(0.01)
        return self.process.wait(AT_ONCE)


@pytest.fixture
def start(ros_domain, tmp_path):
    started = []

    def start(name, how="-m", *arguments):
        program = {
            "-m": [sys.executable, "-m", "tristage_ros.nodes", name],
            "script": [sys.executable, "-c", SCRIPT.format(name)],
        }[how]
        started.append(Process([*HELD, *program, "--ros-args", *NODES[name], *arguments], tmp_path))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.wait()


def wait_until(condition, what, seconds=150.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.002)


def begun(node):
    """Tell whether Python runs: env has held the signal back by then."""
    return node.maps("python3.") or node.maps("libpython")


MOMENTS = {
    "python starts": begun,
    "imports": lambda node: node.maps("_multiarray_umath"),
    "torch loads": lambda node: node.maps("libtorch_cpu"),
    "rclpy is there": lambda node: node.maps("_rclpy_pybind11"),
    "middleware": lambda node: node.maps("/dev/shm/fastdds_"),
    "configures": lambda node: node.says("loading"),
    "ready": lambda node: node.says("ready"),
}


@pytest.mark.skipif(subprocess.run([*HELD, "true"], check=False).returncode != 0, reason="env cannot hold signals back")
@pytest.mark.parametrize(
    ("how", "moment"), [*(("-m", moment) for moment in MOMENTS), ("script", "python starts"), ("script", "torch loads")]
)
def test_ctrl_c_ends_the_policy_with_0_and_in_silence(start, how, moment):
    node = start("policy", how)
    wait_until(lambda: MOMENTS[moment](node), moment)
    assert node.stop(CTRL_C) == 0
    said = node.log.read_text()
    assert "Traceback" not in said and "rror" not in said and "xception" not in said


@pytest.mark.parametrize("delay", [0.05, 0.7, 2.0])
@pytest.mark.parametrize("name", ["simulation", "arm", "point_cloud"])
def test_ctrl_c_ends_the_others_as_they_start(start, name, delay):
    node = start(name)
    wait_until(lambda: begun(node), "python starts")
    time.sleep(delay)
    assert node.stop(CTRL_C) == 0
    assert "Traceback" not in node.log.read_text()


@pytest.mark.parametrize("moment", ["python starts", "torch loads", "configures", "ready"])
def test_sigterm_ends_it_too(start, moment):
    node = start("policy")
    wait_until(lambda: MOMENTS[moment](node), moment)
    assert node.stop([signal.SIGTERM]) in (0, -signal.SIGTERM)  # as it imports, the signal's own effect is the fastest
    assert "Traceback" not in node.log.read_text()


@pytest.mark.parametrize("moment", ["configures", "ready"])
def test_it_leaves_no_shared_memory(start, moment):
    before = set(os.listdir("/dev/shm"))  # a process that was killed leaves its ports, and whoever comes next maps them
    node = start("policy")
    wait_until(lambda: MOMENTS[moment](node), moment)
    own = {line.split()[-1] for line in Path(f"/proc/{node.process.pid}/maps").read_text().splitlines()}
    own = {Path(name).name for name in own if "/dev/shm/fastdds_" in name} - before
    assert own and node.stop(CTRL_C) == 0
    assert not own & orphans()


def test_a_machine_that_is_busy_changes_nothing(start):
    node = start("policy")
    wait_until(lambda: node.says("loading"), "it configures")
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * os.cpu_count())]
    try:
        assert node.stop(CTRL_C) == 0
        assert "Traceback" not in node.log.read_text()
    finally:
        for process in busy:
            process.kill()
            process.wait()


@pytest.mark.parametrize("moment", ["torch loads", "ready"])
def test_a_launch_system_that_was_killed_takes_it_along(start, monkeypatch, moment):
    launch = subprocess.Popen(["sleep", "1000"])
    monkeypatch.setenv("TRISTAGE_SUPERVISOR", str(launch.pid))
    node = start("policy")
    wait_until(lambda: MOMENTS[moment](node), moment)
    launch.kill()
    launch.wait()
    assert node.process.wait(AT_ONCE) in (0, -signal.SIGTERM)
    assert "is gone: stopping" in node.log.read_text() and "Traceback" not in node.log.read_text()


def test_the_policy_says_what_it_loaded(start):
    node = start("policy", "-m", "-p", "control:=rate", "-p", "instruction:='close the box'")
    wait_until(lambda: node.says("ready"), "ready")
    said = node.log.read_text()
    assert said.index("loading random weights on cpu") < said.index("ready: RANDOM WEIGHTS")
    for part in ("M parameters in float32 on cpu", "pruning robot", "engine cached", "control rate", "'close the box'"):
        assert part in said


def test_a_module_that_is_missing_is_one_line(start, tmp_path, monkeypatch):
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    node = start("policy")
    assert node.process.wait(150) == 2
    said = node.log.read_text()
    assert said.count("\n") == 1 and "policy: No module named 'torch'" in said and "virtual environment" in said


def test_closed_standard_streams_are_not_taken_by_a_socket(start, tmp_path):
    command = [sys.executable, "-m", "tristage_ros.nodes", "point_cloud"]
    shell = f"exec {' '.join(command)} >&- 2>&-"
    node = Process(["sh", "-c", shell], tmp_path)
    try:
        wait_until(lambda: node.maps("/dev/shm/fastdds_"), "middleware")
        taken = [os.readlink(f"/proc/{node.process.pid}/fd/{number}") for number in (1, 2)]
        assert taken == [os.devnull, os.devnull]
        assert node.stop(CTRL_C) == 0
    finally:
        node.process.kill()
        node.process.wait()
