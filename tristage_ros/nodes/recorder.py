"""Write everything that is needed to judge and replay a run into an MCAP bag."""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image, JointState, PointCloud2
from tristage_msgs.msg import ActionChunk, ArmStatus, PruningStats, StageTimings

from tristage_ros.bags.writer import BagWriter
from tristage_ros.nodes import qos
from tristage_ros.nodes.diagnostics import ERROR, OK, WARN, Diagnostics, Part
from tristage_ros.nodes.parameters import Parameter, declare
from tristage_ros.nodes.runner import ConfigurationError, run

PARAMETERS = (
    Parameter("run_dir", "", "folder of the bag; empty: runs/<time> below the current folder"),
    Parameter("cameras", ["front", "wrist"], "cameras to record"),
    Parameter("image_interval", 3, "every n-th frame of a camera is recorded", "frames", 1, 100),
)
TOPICS: dict[str, Any] = {
    "/joint_states": JointState,
    "/arm/end_pose": PoseStamped,
    "/arm/status": ArmStatus,
    "/tristage/cloud": PointCloud2,
    "/tristage/action": ActionChunk,
    "/tristage/pruning": PruningStats,
    "/tristage/timings": StageTimings,
    "/tristage/overlay": Image,
    "/diagnostics": DiagnosticArray,
}
EVENTS = QoSProfile(depth=100)


class RecorderNode(Node):
    """Hand serialised messages to the bag writer, which never makes the graph wait."""

    def __init__(self) -> None:
        """Open the bag and subscribe."""
        super().__init__("recorder")
        self.settings = declare(self, PARAMETERS)
        folder = Path(self.settings.run_dir or time.strftime("runs/%Y%m%d-%H%M%S"))
        self.path = folder / "bag"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.writer = BagWriter(self.path)
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"recorder: cannot write {self.path}: {error}") from error
        self._seen: dict[str, int] = {}
        for topic, kind in TOPICS.items():
            self._record(topic, kind, EVENTS)
        for name in self.settings.cameras:
            for stream in ("color", "aligned_depth_to_color"):
                self._record(f"/{name}/{stream}/image_raw", Image, qos.IMAGES, self.settings.image_interval)
                self._record(f"/{name}/{stream}/camera_info", CameraInfo, qos.IMAGES, self.settings.image_interval)
        self._diagnostics = Diagnostics(self)
        self._diagnostics.add("bag", self._bag_part)
        self.get_logger().info(f"recording to {self.path}")

    def _record(self, topic: str, kind: Any, profile: QoSProfile, interval: int = 1) -> None:
        name = f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"
        self._seen[topic] = 0
        self.create_subscription(kind, topic, partial(self._on_message, topic, name, interval), profile, raw=True)

    def _on_message(self, topic: str, kind: str, interval: int, data: bytes) -> None:
        if self._seen[topic] % interval == 0:
            self.writer.write(topic, kind, data, self.get_clock().now().nanoseconds)
        self._seen[topic] += 1

    def _bag_part(self) -> Part:
        dropped = sum(self.writer.dropped.values())
        values = {
            "path": self.path,
            **{f"dropped {topic}": count for topic, count in self.writer.dropped.items() if count},
        }
        if self.writer.failure:
            return Part(ERROR, f"the bag ends early: {self.writer.failure}", values)
        if dropped:
            return Part(WARN, f"{dropped} messages dropped: the disk or the processor is too slow", values)
        return Part(OK, "recording", values)

    def close(self) -> None:
        """Write what is queued and close the bag."""
        try:
            self.writer.close()
        except OSError as error:
            self.get_logger().error(f"the bag ends early: {error}")


def main() -> None:
    """Run the node until a signal ends it."""
    sys.exit(run(RecorderNode, niceness=10))


if __name__ == "__main__":
    main()
