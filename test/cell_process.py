"""Start the graph as a user does, and listen to it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

START_UP = 90.0  # s; a loaded machine with two cores


class CellProcess:
    """`tristage run piper_pick` in a ROS domain and on a CAN port of its own."""

    def __init__(self, port, log, **arguments):
        # In real time: what tests wait for would take the longer, the busier the machine.
        given = {"can_channel": f"127.0.0.1:{port}", "real_time": "true", **arguments}
        command = [
            sys.executable,
            "-m",
            "tristage_ros",
            "run",
            "piper_pick",
            *(f"{k}:={v}" for k, v in given.items()),
        ]
        self.log = Path(log)
        with self.log.open("w") as file:
            self.process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)

    def pid_of(self, name):
        """Return the process id of node `name`, from the supervisor's log."""
        for line in self.log.read_text().splitlines():
            if f"{name} started (pid=" in line:
                return int(line.split("pid=")[1].rstrip(")"))
        raise AssertionError(f"{name} was never started:\n{self.log.read_text()}")

    def interrupt(self, timeout=15.0):
        """Press Ctrl-C once and return the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout)

    def kill(self):
        """End what is left, whatever state it is in."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def spin_until(node, condition, timeout=START_UP, what=""):
    """Spin `node` until `condition()`; fail with `what` after `timeout` seconds."""
    import rclpy

    end = time.monotonic() + timeout
    while not condition():
        rclpy.spin_once(node, timeout_sec=0.1)
        assert time.monotonic() < end, f"not within {timeout} s: {what or condition}"


def spin_for(node, seconds):
    """Spin `node` for `seconds`."""
    import rclpy

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        rclpy.spin_once(node, timeout_sec=0.05)


def alive(pid):
    """Return whether a process still runs."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def orphans():
    """Return what the middleware left in shared memory: files that no running process maps or holds open."""
    used = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            used |= {
                line.split(maxsplit=5)[-1] for line in (process / "maps").read_text().splitlines() if "/dev/shm" in line
            }
            used |= {os.readlink(descriptor) for descriptor in (process / "fd").iterdir()}
        except OSError:
            continue
    return {name for name in os.listdir("/dev/shm") if "fastdds" in name and f"/dev/shm/{name}" not in used}
