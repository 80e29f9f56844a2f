"""Measure what a subscriber gets of two emulated cameras: `tristage bench cameras`.

Two camera nodes, each a process of its own as in the graph, publish 640x480 RGB-D at 30 Hz from software devices of the
SDK; this process subscribes to colour and aligned depth of both. Latency counts from the camera's stamp, which is taken
before an image is handed to the SDK, to the subscriber's callback. Then what a cloud of two such cameras costs, without
a lens and with one of every model.
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
from tristage_ros.perception.camera import CameraModel
from tristage_ros.perception.cloud import RgbdFrame, Workspace, build_cloud
from tristage_ros.perception.lens import Lens
from tristage_ros.perception.lens_models import EQUIDISTANT, INVERSE, PLUMB_BOB, RATIONAL
from tristage_ros.ros import qos
from tristage_ros.ros.convert import seconds

EMULATED = Path(__file__).resolve().parents[2] / "test" / "emulated_camera_node.py"
NAMES, STREAMS = ("front", "wrist"), ("color/image_raw", "aligned_depth_to_color/image_raw")
# What two cameras 0.8 m above a table see of it, and through which lens.
ABOVE = np.array([[1.0, 0.0, 0.0, 0.35], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, -1.0, 0.8], [0.0, 0.0, 0.0, 1.0]])
WORKSPACE = Workspace((0.05, -0.40, -0.02), (0.65, 0.40, 0.60))
LENSES = (
    None,
    Lens(PLUMB_BOB, (-0.0518, 0.0564, -0.0008, 0.0014, -0.0187)),
    Lens(RATIONAL, (0.52, -2.81, 0.0005, -0.0003, 1.62, 0.4, -2.63, 1.54)),
    Lens(EQUIDISTANT, (0.021, -0.012, 0.005, -0.002)),
    Lens(INVERSE, (-0.0518, 0.0564, -0.0008, 0.0014, -0.0187)),
)
CLOUDS = 50  # of each
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
    _report_clouds()
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


def _report_clouds() -> None:
    depth = np.random.default_rng(0).normal(0.79, 0.002, (480, 640)).astype(np.float32)
    spans: dict[Lens | None, list[float]] = {}
    for _ in range(CLOUDS + 1):
        for lens in LENSES:  # in turn, so that what else the machine does falls upon all
            camera = CameraModel(640, 480, 435.9, 435.4, 328.3, 241.2, ABOVE, lens=lens)
            frames = [RgbdFrame(np.zeros((0, 0, 3), np.uint8), depth, camera, 0.0)] * len(NAMES)
            start = time.perf_counter()
            build_cloud(frames, WORKSPACE)
            spans.setdefault(lens, []).append(1e3 * (time.perf_counter() - start))
    for lens, (first, *others) in spans.items():
        name = lens.model if lens else "without a lens"
        median, slow = np.percentile(others, (50, 95))
        print(f"cloud, {name:35} median {median:5.1f} ms, p95 {slow:5.1f} ms, the first {first:5.1f} ms")
