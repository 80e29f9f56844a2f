"""What a node reads from others: as reliably as they publish it, and told on diagnostics where it cannot be heard.

A reliable reader hears no best-effort publisher, as many camera drivers are; a best-effort reader hears both, and may
lose frames of both. So a subscription is reliable until a best-effort publisher is there, and again once it is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from rclpy.topic_endpoint_info import TopicEndpointInfo

from tristage_ros.ros.diagnostics import OK, WARN, Part

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

LOOK = 0.5  # s between looks at who publishes
UNNAMED = "_NODE_NAME_UNKNOWN_"  # of no ROS program, or of a node whose topics are known before its name is
RELIABILITY = {ReliabilityPolicy.RELIABLE: "reliable", ReliabilityPolicy.BEST_EFFORT: "best effort"}
DURABILITY = {DurabilityPolicy.TRANSIENT_LOCAL: "transient local", DurabilityPolicy.VOLATILE: "volatile"}


@dataclass
class Input:
    """One topic that is read."""

    kind: Any
    topic: str  # with its namespace
    callback: Callable[[Any], None]
    wanted: QoSProfile
    fixed: bool
    raw: bool
    profile: QoSProfile  # what is asked for now
    subscription: Subscription | None = None


class Subscriptions:
    """The subscriptions of one node to what others publish; for the thread of its executor, unless all are fixed."""

    def __init__(self, node: Node) -> None:
        """Look at who publishes from now on, on a clock that nobody sets or halts."""
        self._node, self.logger = node, node.get_logger()
        self._inputs: list[Input] = []
        node.create_timer(LOOK, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def add(
        self,
        kind: Any,
        topic: str,
        callback: Callable[[Any], None],
        wanted: QoSProfile | int,
        *,
        fixed: bool = False,
        raw: bool = False,
    ) -> None:
        """Call `callback` with every message of type `kind` on `topic`, serialised where `raw`.

        `wanted` is what is asked for where the publishers offer it, or how many messages may wait. `fixed`: it is asked
        for in any case, and who does not offer it is not heard.
        """
        wanted = wanted if isinstance(wanted, QoSProfile) else QoSProfile(depth=wanted)
        each = Input(kind, self._node.resolve_topic_name(topic), callback, wanted, fixed, raw, wanted)
        each.profile = wanted if fixed else fitting(wanted, self._publishers(each))
        self._subscribe(each)
        self._inputs.append(each)

    def destroy(self) -> None:
        """Hear nothing any more."""
        for each in self._inputs:
            self._node.destroy_subscription(each.subscription)
        self._inputs = []

    def part(self) -> Part:
        """Return the state for diagnostics: who publishes what is read, and who is not heard and why."""
        found = {each.topic: self._node.get_publishers_info_by_topic(each.topic) for each in self._inputs}
        values = {topic: ", ".join(map(_offer, publishers)) or "nobody" for topic, publishers in found.items()}
        deaf = [word for each in self._inputs for publisher in found[each.topic] if (word := _deaf(each, publisher))]
        if deaf:
            return Part(WARN, "; ".join(deaf), values)
        lossy = [e.topic for e in self._inputs if _is_best_effort(e.profile) and not _is_best_effort(e.wanted)]
        told = f"best effort, frames may be lost: {', '.join(lossy)}" if lossy else "every publisher is heard"
        return Part(OK, told, values)

    def _look(self) -> None:
        for each in self._inputs:
            publishers = self._publishers(each)
            profile = fitting(each.wanted, publishers)
            if each.fixed or not publishers or _policies(profile) == _policies(each.profile):
                continue
            self._node.destroy_subscription(each.subscription)
            each.profile = profile
            self._subscribe(each)
            offers = ", ".join(map(_offer, publishers))
            self.logger.info(f"{each.topic}: read as {_words(profile)}, published by {offers}")

    def _publishers(self, each: Input) -> list[TopicEndpointInfo]:
        found = self._node.get_publishers_info_by_topic(each.topic)
        return [publisher for publisher in found if publisher.topic_type == _type_name(each.kind)]

    def _subscribe(self, each: Input) -> None:
        # By default a warning says that nothing will come of a publisher; here it will, after the next look.
        events = SubscriptionEventCallbacks(use_default_callbacks=each.fixed)
        each.subscription = self._node.create_subscription(
            each.kind, each.topic, each.callback, each.profile, event_callbacks=events, raw=each.raw
        )


def fitting(wanted: QoSProfile, publishers: Sequence[TopicEndpointInfo]) -> QoSProfile:
    """Return `wanted`, asking for no more than every one of `publishers` offers."""
    offered = [publisher.qos_profile for publisher in publishers]
    best_effort = any(_is_best_effort(profile) for profile in offered)
    volatile = any(profile.durability == DurabilityPolicy.VOLATILE for profile in offered)
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=wanted.depth,
        reliability=ReliabilityPolicy.BEST_EFFORT if best_effort else wanted.reliability,
        durability=DurabilityPolicy.VOLATILE if volatile else wanted.durability,
    )


def _deaf(each: Input, publisher: TopicEndpointInfo) -> str:
    """Return why `publisher` is not heard, for a person; empty where it is."""
    offered, read = publisher.qos_profile, each.profile
    said = ""
    if publisher.topic_type != _type_name(each.kind):
        said = f"{publisher.topic_type}, read is {_type_name(each.kind)}"
    elif _is_best_effort(offered) and not _is_best_effort(read):
        said = "best effort (reliability), read is reliable"
    elif offered.durability == DurabilityPolicy.VOLATILE and read.durability == DurabilityPolicy.TRANSIENT_LOCAL:
        said = "volatile (durability), read is transient local"
    return said and f"{each.topic}: not heard is {_name(publisher)}, which publishes {said}"


def _is_best_effort(profile: QoSProfile) -> bool:
    return bool(profile.reliability == ReliabilityPolicy.BEST_EFFORT)


def _policies(profile: QoSProfile) -> tuple[Any, Any]:
    return profile.reliability, profile.durability


def _words(profile: QoSProfile) -> str:
    return ", ".join((RELIABILITY.get(profile.reliability, "unknown"), DURABILITY.get(profile.durability, "unknown")))


def _offer(publisher: TopicEndpointInfo) -> str:
    return f"{_name(publisher)} ({_words(publisher.qos_profile)})"


def _name(publisher: TopicEndpointInfo) -> str:
    if publisher.node_name == UNNAMED:
        return "a node of no name"
    return f"{publisher.node_namespace.rstrip('/')}/{publisher.node_name}"


def _type_name(kind: Any) -> str:
    return f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"
