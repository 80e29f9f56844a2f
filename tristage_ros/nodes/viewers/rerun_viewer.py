"""Show the running cell in the Rerun viewer: `ros2 run tristage_ros rerun_viewer`.

A window where there is a display, else a page on this machine. Nothing is heard, and nothing drawn, while nobody looks;
nobody waits for what is drawn; and the end of the viewer ends nothing.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState, PointCloud2
from tristage_msgs.msg import ActionChunk, ArmStatus, PruningStats, StageTimings

from tristage_ros.bags.images import COLOR_SUFFIX, restore
from tristage_ros.bags.messages import COMPRESSED_IMAGE, IMAGE, typestore
from tristage_ros.bags.reader import Message
from tristage_ros.devices.arm.site import load_site
from tristage_ros.graph.namespaces import relative
from tristage_ros.perception.extrinsics import load_extrinsics
from tristage_ros.resources import resource
from tristage_ros.ros import qos
from tristage_ros.ros.image_transport import IMAGE_TRANSPORT
from tristage_ros.ros.parameters import Parameter, declare
from tristage_ros.ros.runner import ConfigurationError, run
from tristage_ros.ros.subscriptions import Subscriptions
from tristage_ros.viewing.environment import Environment, ViewerError
from tristage_ros.viewing.mapping import OVERLAY, Scene
from tristage_ros.viewing.program import Program
from tristage_ros.viewing.stream import Stream, logger

HEARD = (
    ActionChunk,
    ArmStatus,
    CameraInfo,
    DiagnosticArray,
    Image,
    JointState,
    PointCloud2,
    PruningStats,
    StageTimings,
)
CLASSES = {f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}": kind for kind in HEARD}
LOOK = 0.5  # s between looks at whether somebody looks
EVENTS = QoSProfile(depth=50)
PARAMETERS = (
    Parameter("cameras_file", "", "where the cameras are; empty: config/cameras.yaml"),
    Parameter("site_file", "", "where the arm stands; empty: config/site.yaml"),
    Parameter("image_rate", 5.0, "images of a camera that are shown, at most", "Hz", 0.1, 60.0),
    IMAGE_TRANSPORT,
)


class RerunViewerNode(Node):
    """Own the viewer and the process that logs into it, and hand that what the cell says while somebody looks."""

    def __init__(self) -> None:
        """Begin to install what is missing, in a thread."""
        super().__init__("rerun_viewer")
        self._settings = s = declare(self, PARAMETERS)
        try:
            cameras = s.cameras_file or resource("config", "cameras.yaml")
            mounts, site = load_extrinsics(cameras), load_site(s.site_file, cameras)
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"rerun_viewer: {error}") from error
        self._scene = Scene(mounts, site, self.get_clock().now().nanoseconds, s.image_rate)
        self._inputs = Subscriptions(self)
        self.listens = False  # to the cell
        self._environment = Environment()
        self.program: Program | None = None
        self.stream: Stream | None = None
        self._stop = threading.Event()
        self._starting = threading.Thread(target=self._start, daemon=True)
        self._starting.start()
        self.create_timer(LOOK, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _start(self) -> None:
        try:
            self._environment.make(self.get_logger().info, self._stop)
            program = Program(self._environment)
            self.program = program
            stream = logger(self._environment, ["--connect", program.url], self.get_namespace().strip("/") or "live")
        except (ViewerError, OSError) as error:
            if not self._stop.is_set():
                self.get_logger().error(f"{error}; the graph goes on without it")
            return
        for record in self._scene.begin():
            stream.put(record)
        self.stream = stream
        if program.page:
            self.get_logger().info(f"for a browser on this machine: {program.page}")

    def _look(self) -> None:
        """Hear the cell while somebody looks; end what has lost its other half."""
        if self.program is None or self.stream is None:
            return
        if not self.program.is_open:
            self.get_logger().info("the Rerun viewer is closed; the graph goes on without it")
            self._end()
        elif failure := self.stream.failure:
            self.get_logger().error(f"what logs for the Rerun viewer ended: {failure}; the graph goes on without it")
            self._end()
        elif self.program.is_watched != self.listens:
            self._hear(not self.listens)

    def _hear(self, listens: bool) -> None:
        self.listens, inputs = listens, self._inputs
        if not listens:
            inputs.destroy()
            return
        for topic, kind in self._scene.kinds.items():
            if topic == OVERLAY:  # painted here, so that the policy need not
                continue
            if kind == IMAGE and self._settings.image_transport == "compressed":
                name = topic + COLOR_SUFFIX
                take = partial(self._on_message, topic, COMPRESSED_IMAGE)
                inputs.add(CompressedImage, relative(name), take, qos.NEWEST, raw=True)
                continue
            profile = qos.NEWEST if kind == IMAGE else EVENTS
            inputs.add(CLASSES[kind], relative(topic), partial(self._on_message, topic, kind), profile, raw=True)

    def _on_message(self, topic: str, kind: str, data: bytes) -> None:
        if self.stream is None:
            return

        def decoded() -> Any:
            value = typestore().deserialize_cdr(data, kind)
            return restore(topic + COLOR_SUFFIX, value) if kind == COMPRESSED_IMAGE else value

        now = self.get_clock().now().nanoseconds
        try:
            for record in self._scene.records(Message(topic, kind, now, data, decoded)):
                self.stream.put(record)
        except ValueError as error:
            self.get_logger().warning(f"not shown: {error}", throttle_duration_sec=5.0)

    def _end(self) -> None:
        self._hear(False)
        if self.stream is not None:
            self.stream.close()
        if self.program is not None:
            self.program.close()
        self.stream = self.program = None

    def close(self) -> None:
        """End the viewer, and what logs into it."""
        self._stop.set()
        self._starting.join()
        self._end()


def main() -> int:
    """Run the node until a signal ends it; return the exit code."""
    return run(RerunViewerNode, niceness=10)
