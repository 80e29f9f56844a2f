"""Write everything that is needed to judge and replay a run into an MCAP bag."""

from __future__ import annotations

import threading
import time
from collections import Counter
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rcl_interfaces.msg import ParameterEvent
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, JointState, PointCloud2
from tristage_msgs.msg import ActionChunk, ArmStatus, PruningStats, StageTimings

from tristage_ros.bags import facts
from tristage_ros.bags.images import COLOR_FORMATS
from tristage_ros.bags.messages import typestore
from tristage_ros.bags.writer import BagWriter, offered
from tristage_ros.graph.namespaces import plain, relative
from tristage_ros.nodes.recorder.parameter_survey import ParameterSurvey
from tristage_ros.perception.extrinsics import require_names
from tristage_ros.ros.diagnostics import ERROR, OK, WARN, Diagnostics, Part
from tristage_ros.ros.parameters import Parameter, declare
from tristage_ros.ros.runner import ConfigurationError, run
from tristage_ros.ros.subscriptions import Subscriptions

PARAMETERS = (
    Parameter("run_dir", "", "folder of the bag; empty: runs/<time> below the current folder"),
    Parameter("cameras", ["front", "wrist"], "cameras to record"),
    Parameter("color", "jpeg", "how colour images are compressed; png and raw lose nothing", choices=COLOR_FORMATS),
    Parameter("image_interval", 1, "every n-th frame of a camera is recorded", "frames", 1, 100),
    Parameter("queue_mb", 256, "messages that may wait for the disk before some are dropped", "MB", 16, 16384),
    Parameter("also", ["/tristage/", "/arm/", "/tf", "/robot_description"], "topics that begin like this, too"),
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
    "/parameter_events": ParameterEvent,
}  # as they are called in the bag, wherever the cell is
# Readers that lag do not hold up a publisher that keeps the last messages; deep queues let this one catch up.
IMAGES, EVENTS = 60, 500
OF_THE_DOMAIN = ("/parameter_events",)  # in no namespace
LOOK = 1.0  # s between looks for topics that are new


class RecorderNode(Node):
    """Hand serialised messages to the bag writer, which never makes the graph wait."""

    def __init__(self) -> None:
        """Open the bag and subscribe."""
        super().__init__("recorder")
        self.settings = declare(self, PARAMETERS)
        try:
            require_names("cameras", self.settings.cameras)
        except ValueError as error:
            raise ConfigurationError(f"recorder: {error}") from error
        folder = Path(self.settings.run_dir or time.strftime("runs/%Y%m%d-%H%M%S"))
        self.path = folder / "bag"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.writer = BagWriter(self.path, self.settings.queue_mb << 20, self.settings.color)
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"recorder: cannot write {self.path}: {error}") from error
        self.received: Counter[str] = Counter()
        self._known: set[str] = set()
        self._inputs = Subscriptions(self)
        self._began = time.monotonic()
        self._checkpoint: dict[str, Any] = {}
        self._hashed = ""  # path of the checkpoint that was looked at
        for topic, kind in TOPICS.items():
            self._record(topic, kind, EVENTS)
        for name in self.settings.cameras:
            for stream in ("color", "aligned_depth_to_color"):
                self._record(f"/{name}/{stream}/image_raw", Image, IMAGES, self.settings.image_interval)
                self._record(f"/{name}/{stream}/camera_info", CameraInfo, IMAGES, self.settings.image_interval)
        self.create_timer(LOOK, self._look)
        self._survey = ParameterSurvey(self, self._write_facts)
        self._diagnostics = Diagnostics(self)
        self._diagnostics.add("bag", self._bag_part)
        self._diagnostics.add("inputs", self._inputs.part)
        self.get_logger().info(f"recording to {self.path}")

    def _record(self, topic: str, kind: Any, depth: int, interval: int = 1, *, latched: bool = False) -> None:
        name = f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"
        durability = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
        profile = QoSProfile(depth=depth, durability=durability)
        self._known.add(topic)
        took = partial(self._on_event if kind is ParameterEvent else self._on_message, topic, name, interval)
        self._inputs.add(kind, _here(topic), took, profile, raw=True)

    def _look(self) -> None:
        """Subscribe to topics that are new and begin as `also` says."""
        for full, types in self.get_topic_names_and_types():
            topic = plain(full, self.get_namespace())
            if topic in self._known or not topic.startswith(tuple(self.settings.also)):
                continue
            publishers = self.get_publishers_info_by_topic(full)
            if publishers and types[0] in typestore().fielddefs:
                package, _, name = types[0].split("/")
                try:
                    kind = getattr(import_module(f"{package}.msg"), name)
                except (ImportError, AttributeError) as error:
                    self._known.add(topic)
                    self.get_logger().warning(f"{topic} is not recorded: {types[0]} is not installed here ({error})")
                    continue
                self._record(topic, kind, EVENTS, latched=True)

    def _on_message(self, topic: str, kind: str, interval: int, data: bytes) -> None:
        if topic not in self.received:
            self._offer(topic)
        if self.received[topic] % interval == 0:
            self.writer.write(topic, kind, data, self.get_clock().now().nanoseconds)
        self.received[topic] += 1

    def _on_event(self, topic: str, kind: str, interval: int, data: bytes) -> None:
        event = typestore().deserialize_cdr(data, kind)
        event.node = plain(event.node, self.get_namespace())
        if event.node:  # else it is another cell's
            self._on_message(topic, kind, interval, bytes(typestore().serialize_cdr(event, kind)))

    def _offer(self, topic: str) -> None:
        for publisher in self.get_publishers_info_by_topic(_here(topic)):
            profile = publisher.qos_profile
            reliable = profile.reliability == ReliabilityPolicy.RELIABLE
            latched = profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
            self.writer.offer(topic, offered(profile.depth or 10, reliable=reliable, latched=latched))

    # Facts

    def _write_facts(self) -> None:
        parameters = self._survey.parameters
        path = str(parameters.get("policy", {}).get("checkpoint", ""))
        if path != self._hashed:
            self._hashed = path
            threading.Thread(target=self._describe_checkpoint, args=(path,), daemon=True).start()
        gathered, lost = facts.gather(parameters, self._checkpoint)
        if lost:
            self.get_logger().warning(f"not recorded: {'; '.join(lost)}", throttle_duration_sec=5.0)
        data = gathered.message()
        self.writer.offer(facts.TOPIC, offered(1, latched=True))
        self.writer.write(facts.TOPIC, facts.TYPE, data, self.get_clock().now().nanoseconds)

    def _describe_checkpoint(self, path: str) -> None:
        try:
            self._checkpoint = facts.describe_checkpoint(path)
        except OSError as error:
            self.get_logger().warning(f"the checkpoint cannot be read for its hash: {error}")
            return
        if self._checkpoint:
            self._write_facts()

    # Diagnostics

    def _bag_part(self) -> Part:
        dropped = sum(self.writer.dropped.values())
        values: dict[str, object] = {
            "path": self.path,
            "messages": sum(self.writer.written.values()),
            "MB per minute": self._rate(),
            "dropped": dropped,
            **{f"dropped {topic}": count for topic, count in self.writer.dropped.items() if count},
        }
        if self.writer.failure:
            self.get_logger().error(f"the bag ends early: {self.writer.failure}", once=True)
            return Part(ERROR, f"the bag ends early: {self.writer.failure}", values)
        if dropped:
            return Part(WARN, f"{dropped} messages dropped: the disk or the processor is too slow", values)
        return Part(OK, "recording", values)

    def _rate(self) -> float:
        return self.writer.size / 1e6 / max(time.monotonic() - self._began, 1.0) * 60.0

    def close(self) -> None:
        """Write what is queued, close the bag and say what is in it."""
        try:
            self.writer.close()
        except OSError as error:
            self.get_logger().error(f"the bag ends early: {error}")
        written, dropped = sum(self.writer.written.values()), sum(self.writer.dropped.values())
        self.get_logger().info(
            f"{self.path}: {written} messages, {self.writer.size / 1e6:.1f} MB, {self._rate():.0f} MB per minute, "
            f"{dropped} dropped"
        )


def _here(topic: str) -> str:
    """Return how this node calls what is called `topic` in the bag."""
    return topic if topic in OF_THE_DOMAIN else relative(topic)


def main() -> int:
    """Run the node until a signal ends it; return the exit code."""
    return run(RecorderNode, niceness=10)
