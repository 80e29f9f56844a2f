"""What recording costs: the simulated cell with and without it. `tristage bench recording`.

Prints the control rate of both runs, the frames that were published and recorded, MB per minute, and the processor's
share of the recorder. The machine must have nothing else to do.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import rclpy
from sensor_msgs.msg import CameraInfo
from tristage_msgs.msg import StageTimings

from tristage_ros.bags.reader import BagReader
from tristage_ros.graph.graph import environment
from tristage_ros.ros.operator import Operator

CAMERAS = ("front", "wrist")
START_UP, SETTLE = 90.0, 5.0  # s


@dataclass(frozen=True)
class Cost:
    """Hold what one run of the cell came to."""

    control_rate: float  # Hz
    camera_rate: float  # Hz
    load: float  # of the machine, 1 min
    frames_lost: int = 0  # published between the first and the last recorded one, but not recorded
    megabytes_per_minute: float = 0.0
    recorder_processor: float = 0.0  # share of one processor


class _Counter(Operator):
    """Count control steps and camera frames."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0
        self.stamps: dict[str, set[int]] = {name: set() for name in CAMERAS}
        self.create_subscription(StageTimings, "tristage/timings", self._on_step, 50)
        for name in CAMERAS:
            self.create_subscription(CameraInfo, f"/{name}/color/camera_info", self._counter(name), 100)

    def _on_step(self, message: StageTimings) -> None:
        self.steps += 1

    def _counter(self, name: str) -> object:
        return lambda m: self.stamps[name].add(m.header.stamp.sec * 10**9 + m.header.stamp.nanosec)


def measure(seconds: float, folder: Path, arguments: Sequence[str], record: bool) -> Cost:
    """Run the cell for `seconds`, controlled at policy.rate_hz unless `arguments` say otherwise; return its cost."""
    given = ["control:=rate", "real_time:=true", f"record:={str(record).lower()}", f"run_dir:={folder}", *arguments]
    with _cell(given, folder / "log.txt") as log, _counter() as counter:
        end = time.monotonic() + START_UP
        while not counter.ready():
            rclpy.spin_once(counter, timeout_sec=0.1)
            if time.monotonic() > end:
                raise TimeoutError(f"the cell did not come up: no {counter.missing()}; see {log}")
        _spin(counter, SETTLE)
        pid = int(log.read_text().split("recorder started (pid=")[1].split(")")[0]) if record else 0
        steps, frames, used, began = counter.steps, len(counter.stamps["front"]), _processor_time(pid), time.monotonic()
        _spin(counter, seconds)
        elapsed = time.monotonic() - began
        share = (_processor_time(pid) - used) / elapsed
        cost = Cost(
            (counter.steps - steps) / elapsed, (len(counter.stamps["front"]) - frames) / elapsed, os.getloadavg()[0]
        )
    return _with_bag(cost, counter, folder / "bag", share) if record else cost


def _with_bag(cost: Cost, counter: _Counter, path: Path, share: float) -> Cost:
    lost, span = 0, 0.0
    with BagReader(path) as bag:
        for name in CAMERAS:
            for topic in (f"/{name}/color/image_raw", f"/{name}/aligned_depth_to_color/image_raw"):
                recorded = {message.header_stamp for message in bag.messages(topic)}
                first, last = min(recorded), max(recorded)
                lost += sum(first <= stamp <= last and stamp not in recorded for stamp in counter.stamps[name])
                span = max(span, (last - first) * 1e-9)
    size = sum(file.stat().st_size for file in path.iterdir()) * 1e-6
    return Cost(cost.control_rate, cost.camera_rate, cost.load, lost, size / span * 60.0, share)


@contextmanager
def _cell(arguments: Sequence[str], log: Path) -> Iterator[Path]:
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tristage_ros", "run", "piper_pick", *arguments]
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        yield log
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20.0)


@contextmanager
def _counter() -> Iterator[_Counter]:
    os.environ.update(environment(simulated=True))
    rclpy.init(args=[])
    counter = _Counter()
    try:
        yield counter
    finally:
        counter.destroy_node()
        rclpy.try_shutdown()


def _spin(counter: _Counter, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        rclpy.spin_once(counter, timeout_sec=0.05)


def _processor_time(pid: int) -> float:
    """Return the seconds that a process has used so far, 0 for none."""
    if not pid:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(options: argparse.Namespace) -> int:
    """Measure as the options say; return the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        without, recorded = (
            measure(options.seconds, Path(folder, str(record)), options.arguments, record) for record in (False, True)
        )
    print(json.dumps({"without": asdict(without), "recorded": asdict(recorded)}, indent=1))
    print(f"control rate with recording: {recorded.control_rate / without.control_rate:.1%} of that without")
    return 0
