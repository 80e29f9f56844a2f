"""What both recorders share: they hear everything serialised, know what the nodes were told, and hand it to a bag."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
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
from tristage_ros.bags.recording import ACTION, JOINTS, PRUNING, STATUS
from tristage_ros.bags.writer import BagWriter, offered
from tristage_ros.graph.namespaces import plain, relative
from tristage_ros.nodes.recorder.parameter_survey import ParameterSurvey
from tristage_ros.perception.extrinsics import require_names
from tristage_ros.ros.parameters import Parameter, declare
from tristage_ros.ros.runner import ConfigurationError
from tristage_ros.ros.subscriptions import Subscriptions

CAMERAS = Parameter("cameras", ["front", "wrist"], "cameras to record")
COLOR = Parameter("color", "jpeg", "how colour images are compressed; png and raw lose nothing", choices=COLOR_FORMATS)
QUEUE = Parameter("queue_mb", 256, "messages that may wait for the disk before some are dropped", "MB", 16, 16384)
# As they are called in the bag, wherever the cell is.
INPUTS: dict[str, Any] = {
    JOINTS: JointState,
    "/arm/end_pose": PoseStamped,
    STATUS: ArmStatus,
    "/tristage/cloud": PointCloud2,
    ACTION: ActionChunk,
    "/diagnostics": DiagnosticArray,
    "/parameter_events": ParameterEvent,
}
OUTPUTS: dict[str, Any] = {
    PRUNING: PruningStats,
    "/tristage/timings": StageTimings,
    "/tristage/overlay": Image,
}
STREAMS = ("color", "aligned_depth_to_color")
# Readers that lag do not hold up a publisher that keeps the last messages; deep queues let this one catch up.
IMAGES, EVENTS = 60, 500
OF_THE_DOMAIN = ("/parameter_events",)  # in no namespace
LOOK = 1.0  # s between looks for topics that are new
MOST_LATCHED = 100  # messages of a topic that are kept for a bag that begins later: /tf_static comes in parts


class Hearing(Node):
    """Hand serialised messages to a bag writer, where there is one, which never makes the graph wait."""

    def __init__(self, name: str, parameters: Sequence[Parameter], topics: dict[str, Any]) -> None:
        """Subscribe to `topics` and to the cameras of the parameter of that name."""
        super().__init__(name)
        self.settings = declare(self, parameters)
        try:
            require_names("cameras", self.settings.cameras)
        except ValueError as error:
            raise ConfigurationError(f"{name}: {error}") from error
        self.writer: BagWriter | None = None
        self.received: Counter[str] = Counter()
        self._latched: dict[str, tuple[str, dict[bytes, None]]] = {}  # by topic, its type and what came
        self._known: set[str] = set()
        self._inputs = Subscriptions(self)
        self._checkpoint: dict[str, Any] = {}
        self._hashed = ""  # path of the checkpoint that was looked at
        self._facts = b""
        for topic, kind in topics.items():
            self._record(topic, kind, EVENTS)
        interval = getattr(self.settings, "image_interval", 1)
        for camera in self.settings.cameras:
            for stream in STREAMS:
                self._record(f"/{camera}/{stream}/image_raw", Image, IMAGES, interval)
                self._record(f"/{camera}/{stream}/camera_info", CameraInfo, IMAGES, interval)
        self.create_timer(LOOK, self._look)
        self._survey = ParameterSurvey(self, self.parameters_told)

    def open(self, path: Path) -> BagWriter:
        """Write into a new bag at `path` from now on, what is latched and the facts first.

        Raises:
            OSError, ValueError: it cannot be made.
        """
        writer = BagWriter(path, self.settings.queue_mb << 20, self.settings.color)
        for topic in self.received:
            self._offer(writer, topic)
        writer.offer(facts.TOPIC, offered(1, latched=True))
        if self._facts:
            writer.write(facts.TOPIC, facts.TYPE, self._facts, self.now())
        for topic, (kind, messages) in self._latched.items():
            for data in messages:
                writer.write(topic, kind, data, self.now())
        self.writer = writer
        return writer

    def now(self) -> int:
        """Return the stamp under which a message that comes now is recorded, ns."""
        return int(self.get_clock().now().nanoseconds)

    def heard(self, topic: str, kind: str, data: bytes) -> None:
        """Take note of a message, before it is recorded; `topic` as it is called in the bag."""

    def parameters_told(self) -> None:
        """Take note of what nodes were told, or are told now."""
        self._gather_facts()

    def own_parameters(self) -> dict[str, Any]:
        """Return those of this node that belong to the facts."""
        return {}

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
        self.heard(topic, kind, data)
        if topic not in self.received:
            self._note_latched(topic, kind)
            if self.writer:
                self._offer(self.writer, topic)
        if topic in self._latched:
            kept = self._latched[topic][1]
            kept.pop(data, None)
            kept[data] = None
            while len(kept) > MOST_LATCHED:
                del kept[next(iter(kept))]
        if self.writer and self.received[topic] % interval == 0:
            self.writer.write(topic, kind, data, self.now())
        self.received[topic] += 1

    def _on_event(self, topic: str, kind: str, interval: int, data: bytes) -> None:
        event = typestore().deserialize_cdr(data, kind)
        event.node = plain(event.node, self.get_namespace())
        if event.node:  # else it is another cell's
            self._on_message(topic, kind, interval, bytes(typestore().serialize_cdr(event, kind)))

    def _note_latched(self, topic: str, kind: str) -> None:
        publishers = self.get_publishers_info_by_topic(_here(topic))
        if publishers and all(p.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for p in publishers):
            self._latched[topic] = kind, {}

    def _offer(self, writer: BagWriter, topic: str) -> None:
        for publisher in self.get_publishers_info_by_topic(_here(topic)):
            profile = publisher.qos_profile
            reliable = profile.reliability == ReliabilityPolicy.RELIABLE
            latched = profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
            writer.offer(topic, offered(profile.depth or 10, reliable=reliable, latched=latched))

    # Facts

    def _gather_facts(self) -> None:
        parameters = dict(self._survey.parameters)
        path = str(parameters.get("policy", {}).get("checkpoint", ""))
        if path != self._hashed:
            self._hashed = path
            threading.Thread(target=self._describe_checkpoint, args=(path,), daemon=True).start()
        if own := self.own_parameters():
            parameters[self.get_name()] = own
        gathered, lost = facts.gather(parameters, self._checkpoint)
        if lost:
            self.get_logger().warning(f"not recorded: {'; '.join(lost)}", throttle_duration_sec=5.0)
        self._facts = gathered.message()
        if self.writer:
            self.writer.offer(facts.TOPIC, offered(1, latched=True))
            self.writer.write(facts.TOPIC, facts.TYPE, self._facts, self.now())

    def _describe_checkpoint(self, path: str) -> None:
        try:
            self._checkpoint = facts.describe_checkpoint(path)
        except OSError as error:
            self.get_logger().warning(f"the checkpoint cannot be read for its hash: {error}")
            return
        if self._checkpoint:
            self._gather_facts()


def _here(topic: str) -> str:
    """Return how this node calls what is called `topic` in the bag."""
    return topic if topic in OF_THE_DOMAIN else relative(topic)
