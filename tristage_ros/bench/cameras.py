"""Measure what a subscriber gets of two emulated cameras: `tristage bench cameras`.

Two camera nodes, each a process of its own as in the graph, publish 640x480 RGB-D at 30 Hz from software devices of the
SDK; this process subscribes to colour and aligned depth of both. Latency counts from the camera's stamp, which is taken
before an image is handed to the SDK, to the subscriber's callback.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rclpy
from rclpy.node import Node
from sensor_msgs.msg import Image

from tristage_ros.graph.graph import environment
from tristage_ros.ros import qos
from tristage_ros.ros.convert import seconds

EMULATED = Path(__file__).resolve().parents[2] / "test" / "emulated_camera_node.py"
NAMES, STREAMS = ("front", "wrist"), ("color/image_raw", "aligned_depth_to_color/image_raw")
RATE, WARM_UP, START_UP = 30.0, 3.0, 60.0  # Hz, s, s


class Subscriber(Node):
    """Note stamp and arrival of every image."""

    def __init__(self) -> None:
        """Subscribe to both streams of both cameras."""
        super().__init__("subscriber")
        self.seen: dict[str, list[tuple[float, float]]] = {}
        for name in NAMES:
            for stream in STREAMS:
                notes = self.seen.setdefault(f"/{name}/{stream}", [])
                self.create_subscription(
                    Image,
                    f"/{name}/{stream}",
                    lambda message, notes=notes: notes.append((seconds(message.header.stamp), time.time())),
                    qos.IMAGES,
                )


def run(options: argparse.Namespace) -> int:
    """Measure and print; return 1 when a stream is worse than it should be.

    Raises:
        FileNotFoundError: this is no source tree: the emulated cameras are among its tests.
    """
    span = options.seconds
    if not EMULATED.exists():
        raise FileNotFoundError(f"{EMULATED} is missing: only the source tree has emulated cameras; run it there")
    os.environ.update(environment(simulated=True))
    program = [sys.executable, str(EMULATED), "--ros-args"]
    cameras = [subprocess.Popen([*program, "-r", f"__node:={name}", "-p", f"camera_name:={name}"]) for name in NAMES]
    rclpy.init(args=[])
    node = Subscriber()
    try:
        _spin_until(node, lambda: all(node.seen.values()), START_UP)
        _spin_for(node, WARM_UP)
        begin = time.time()
        _spin_for(node, span)
        good = [_report(topic, notes, begin, begin + span) for topic, notes in node.seen.items()]
    finally:
        for camera in cameras:
            camera.terminate()
        for camera in cameras:
            camera.wait()
        node.destroy_node()
        rclpy.try_shutdown()
    print(f"load of the machine: {', '.join(f'{load:.2f}' for load in os.getloadavg())} on {os.cpu_count()} cores")
    return 0 if all(good) else 1


def _spin_for(node: Node, span: float) -> None:
    end = time.monotonic() + span
    _spin_until(node, lambda: time.monotonic() > end, span + START_UP)


def _spin_until(node: Node, condition: Callable[[], bool], patience: float) -> None:
    end = time.monotonic() + patience
    while not condition():
        rclpy.spin_once(node, timeout_sec=0.1)
        if time.monotonic() > end or not rclpy.ok():
            sys.exit("error: no images from both cameras; what the camera nodes said is above")


def _report(topic: str, notes: list[tuple[float, float]], begin: float, end: float) -> bool:
    stamps, arrivals = np.array([(s, a) for s, a in notes if begin <= s < end]).T
    latency = 1e3 * (arrivals - stamps)
    loss = 1.0 - len(stamps) / (RATE * (end - begin))
    print(
        f"{topic:42} {len(stamps) / (end - begin):5.2f} Hz  loss {loss:6.2%}  "
        f"latency median {np.median(latency):5.1f} ms, p95 {np.percentile(latency, 95):5.1f} ms"
    )
    return loss < 0.02 and float(np.median(latency)) <= 12.0
