"""Both sides of a replay: who publishes the recording, and the nodes that it is shown to.

The `Player` is a node in this process. It publishes to point cloud and policy, and takes down what they make of it.
These run as `Nodes`, in processes of their own. No other node of the ROS domain may hear a replay or be taken for it.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import FrameType

import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.msg import ParameterEvent
from rcl_interfaces.srv import SetParameters
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rich.console import Console
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState, PointCloud2
from std_msgs.msg import Float64
from std_srvs.srv import SetBool, Trigger
from tristage_msgs.msg import ActionChunk, ArmStatus, PruningStats, StageTimings

from tristage_ros.bags.changes import EVENTS
from tristage_ros.bags.messages import typestore
from tristage_ros.bags.reader import Message
from tristage_ros.bags.recording import JOINTS, SAME, STATUS, Order, Played
from tristage_ros.bags.writer import BagWriter
from tristage_ros.graph.graph import REPLAYED
from tristage_ros.graph.namespaces import relative
from tristage_ros.graph.supervisor import GraphProcess, remove_unused, shared_memory
from tristage_ros.ros import qos
from tristage_ros.ros.context import begin

NODES = ("point_cloud", "policy")
OUTPUTS = {
    "/tristage/cloud": PointCloud2,
    "/tristage/action": ActionChunk,
    "/tristage/pruning": PruningStats,
    "/tristage/timings": StageTimings,
    "/tristage/overlay": Image,
}
ANSWERS = ("/tristage/action", "/tristage/pruning", "/tristage/timings")  # what a whole control step publishes
REMOTE_ANSWERS = ("/tristage/action", "/tristage/timings")  # the same of a policy server's
ERROR = DiagnosticStatus.ERROR
DEPTH = 50  # messages of joint states and arm status that wait for a reader


class Player(Node):
    """Stand for cameras and arm; use its methods from a thread other than its executor's."""

    def __init__(self, topics: Iterable[str], writer: BagWriter, answers: Sequence[str] = ANSWERS) -> None:
        """Make a publisher for each of `topics`; what point cloud and policy answer goes to `writer`.

        `answers`: the topics of a whole control step.
        """
        super().__init__("player")
        self._wanted = tuple(answers)
        self._clock = self.create_publisher(Clock, "/clock", 10)
        self._inputs = {topic: self._input(topic) for topic in topics}
        self._writer = writer
        self._changed = threading.Condition()
        self._heard: dict[str, set[int]] = {topic: set() for topic in OUTPUTS}  # stamps, ns
        self._empty: set[int] = set()  # stamps of clouds without a point
        self._looked: set[int] = set()  # stamps of what was looked at
        self._looking = False  # whether it is all that the policy is to do
        self._states: dict[str, DiagnosticStatus] = {}
        self.refusals = 0  # times that a part of a node has said that it refused what it was shown
        self._reasons: dict[str, str] = {}  # the newest of them
        self.now = 0  # ns, replayed time
        self._order = Order()
        for topic, kind in OUTPUTS.items():
            self.create_subscription(kind, REPLAYED[relative(topic)], self._taker(topic, kind), qos.IMAGES, raw=True)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 50)
        self.create_subscription(ParameterEvent, EVENTS, self._on_event, 100, raw=True)
        self._dilation = self.create_publisher(Float64, qos.DILATION_TOPIC, qos.LATCHED)
        self._reset = self.create_client(Trigger, "/policy/reset")
        self._look = self.create_client(SetBool, "/policy/look")
        self._parameters = self.create_client(SetParameters, "/policy/set_parameters")

    def _input(self, topic: str) -> Publisher:
        if topic in (JOINTS, STATUS):
            return self.create_publisher(JointState if topic == JOINTS else ArmStatus, topic, QoSProfile(depth=DEPTH))
        return self.create_publisher(CameraInfo if topic.endswith("camera_info") else Image, topic, qos.IMAGES)

    def strangers(self, ours: Collection[str] = ()) -> list[str]:
        """Return which nodes but `ours` publish what is replayed, or would answer to it."""
        topics = ["/clock", *self._inputs, "/tristage/action"]
        publishers = [info for topic in topics for info in self.get_publishers_info_by_topic(topic)]
        listeners = self.get_subscriptions_info_by_topic("/tristage/action")
        names = {info.node_name for info in (*publishers, *listeners)}
        names |= {name for name in self.get_node_names() if name in (*NODES, "arm")}
        return sorted(names - {self.get_name(), *ours})

    def missing(self) -> str:
        """Return what is not up yet, for a person; empty when frames can be sent."""
        for name in NODES:
            heard = any(state.startswith(f"{name}: ") for state in self._states)
            topic = f"/front/{'color' if name == 'policy' else 'aligned_depth_to_color'}/image_raw"
            listens = any(info.node_name == name for info in self.get_subscriptions_info_by_topic(topic))
            if not heard or not listens:
                return name
        speaks = any(info.node_name == "policy" for info in self.get_publishers_info_by_topic("/replay/action"))
        return "" if speaks and self._reset.service_is_ready() and self._parameters.service_is_ready() else "policy"

    def complaints(self) -> list[str]:
        """Return why the nodes refused what they were shown, or else what they are not content with."""
        if self._reasons:
            return [f"{name}: {reason}" for name, reason in self._reasons.items()]
        states = list(self._states.values())
        return [f"{state.name}: {state.message}" for state in states if state.level != DiagnosticStatus.OK]

    # To the nodes

    def tick(self, now: int) -> None:
        """Set the replayed clock to `now` (ns); it never goes back."""
        self.now = max(self.now, now)
        self._clock.publish(Clock(clock=Time(sec=self.now // 10**9, nanosec=self.now % 10**9)))

    def dilate(self, dilation: float) -> None:
        """Let the nodes judge ages by a recorded cell whose time passed so many times more slowly than its stamps."""
        self._dilation.publish(Float64(data=dilation))

    def publish(self, message: Message) -> None:
        """Publish one message."""
        self._inputs[message.topic].publish(message.serialized)

    def show(self, played: Played) -> None:
        """Publish a frame so that whoever uses it has all of it, in an order that depends on nobody's speed.

        What one process sends another gets in that order. A frame may be shown again: the nodes take it once, and
        repeat their answer.
        """
        self.tick(played.frame.instant)
        for message in self._order(played):
            self.publish(message)

    def reset(self, timeout: float) -> bool:
        """Clear the pruning state of the policy; return whether it did."""
        return self._done(self._reset.call_async(Trigger.Request()), timeout)

    def look_only(self, wanted: bool, timeout: float) -> bool:
        """Have the policy only look at the frames to come, or act on them again; return whether it does."""
        self._looking = wanted
        return self._done(self._look.call_async(SetBool.Request(data=wanted)), timeout)

    def instruct(self, instruction: str, timeout: float) -> bool:
        """Give the policy another instruction, which clears the pruning state; return whether it took it."""
        return not self.set({"instruction": instruction}, timeout)

    def set(self, values: Mapping[str, object], timeout: float) -> str:
        """Set parameters of the policy; return why it does not have them, empty when it has."""
        parameters = [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]
        asked = self._parameters.call_async(SetParameters.Request(parameters=parameters))
        if not self._done(asked, timeout):
            return "no answer"
        return next((result.reason for result in asked.result().results if not result.successful), "")

    @staticmethod
    def _done(future: object, timeout: float) -> bool:
        end = time.monotonic() + timeout
        while not future.done() and time.monotonic() < end:
            time.sleep(0.01)
        return bool(future.done())

    # From the nodes

    def wait_for_answer(self, stamp: int, timeout: float) -> str:
        """Wait for the control step on the frame of `stamp`, or the look; return why there is none, empty: there is."""
        with self._changed:
            self._changed.wait_for(lambda: self._answered(stamp) or self._is_empty(stamp), timeout)
            if self._answered(stamp):
                return ""
            return "the cloud is empty" if self._is_empty(stamp) else "no answer"

    def _answered(self, stamp: int) -> bool:
        if self._looking:
            return _near(self._looked, stamp)
        return all(_near(self._heard[topic], stamp) for topic in self._wanted)

    def _is_empty(self, stamp: int) -> bool:
        return _near(self._empty, stamp)

    def _taker(self, topic: str, kind: type) -> Callable[[bytes], None]:
        name = f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"

        def take(data: bytes) -> None:
            sec, nanosec = int.from_bytes(data[4:8], "little", signed=True), int.from_bytes(data[8:12], "little")
            stamp = sec * 10**9 + nanosec
            look = kind is StageTimings and not typestore().deserialize_cdr(data, name).step
            heard = self._looked if look else self._heard[topic]
            if stamp in heard:  # said again, because something else of it had not arrived
                return
            self._writer.write(topic, name, data, self.now)
            empty = kind is PointCloud2 and typestore().deserialize_cdr(data, name).width == 0
            with self._changed:
                heard.add(stamp)
                if empty:
                    self._empty.add(stamp)
                self._changed.notify_all()

        return take

    def _on_event(self, data: bytes) -> None:
        if self.now:  # else it is of the start, before there is a time
            self._writer.write(EVENTS, "rcl_interfaces/msg/ParameterEvent", data, self.now)

    def answers(self) -> int:
        """Return how many control steps there were."""
        with self._changed:
            return len(self._heard["/tristage/action"])

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            before = self._states.get(status.name)
            if status.name.startswith(NODES) and refuses(status, before):
                self.refusals += 1
                self._reasons[status.name] = status.message
            self._states[status.name] = status


def refuses(status: DiagnosticStatus, before: DiagnosticStatus | None) -> bool:
    """Tell whether a part says that it has refused something since it spoke `before`, or fails altogether.

    What came too late for it does not count: the clock that it is told by may have been late.
    """
    if status.message.startswith("bad input") or (status.name == "policy: policy" and status.level == ERROR):
        return True
    counted, known = (
        {v.key: v.value for v in s.values if "refused" in v.key and "stale" not in v.key} if s else {}
        for s in (status, before)
    )
    return status.level != DiagnosticStatus.OK and any(known.get(key, "0") != count for key, count in counted.items())


def _near(stamps: set[int], stamp: int) -> bool:
    return any(abs(other - stamp) < SAME for other in stamps)


# The processes of a replay: the player in this one, point cloud and policy under a supervisor of their own.

START_UP = 300.0  # s; a large model takes its time to load
UNNAMED = "_NODE_NAME_UNKNOWN_"  # a node whose topics are known before its name is
DISCOVERY = 1.5  # s in which most nodes of the same ROS domain make themselves known


class ReplayError(RuntimeError):
    """Say what went wrong in the replay; the message is one line for a person."""


class Nodes(GraphProcess):
    """Point cloud and policy, as `tristage run replay` starts them."""

    def check(self) -> None:
        """Raise ReplayError when a node has ended."""
        if trouble := self.trouble():
            raise ReplayError(trouble)


def stop_on_signals(stack: ExitStack) -> threading.Event:
    """Return an event that Ctrl-C and its like set until `stack` is closed."""
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        stack.callback(signal.signal, number, signal.signal(number, on_signal))
    return stop


def player_of(topics: Sequence[str], writer: BagWriter, stack: ExitStack, answers: Sequence[str] = ANSWERS) -> Player:
    """Return a player whose callbacks run until `stack` is closed; `answers` as it takes them.

    Raises:
        ReplayError: other nodes of the same ROS domain would hear it, or be taken for it.
    """
    begin([])
    stack.callback(rclpy.try_shutdown)
    player, executor = Player(topics, writer, answers), SingleThreadedExecutor()
    stack.callback(player.destroy_node)
    executor.add_node(player)

    def spin() -> None:
        with suppress(ExternalShutdownException):
            executor.spin()

    thread = threading.Thread(target=spin, name="player", daemon=True)
    thread.start()
    stack.callback(thread.join, 5.0)
    stack.callback(executor.shutdown, 2.0)
    time.sleep(DISCOVERY)
    _be_alone(player)
    return player


def _be_alone(player: Player, ours: Collection[str] = ()) -> None:
    end = time.monotonic() + DISCOVERY
    while UNNAMED in player.strangers(ours) and time.monotonic() < end:
        time.sleep(0.1)
    if strangers := player.strangers(ours):
        raise ReplayError(
            f"{', '.join(strangers)} would hear the replay or be taken for it: end it, or set another ROS_DOMAIN_ID"
        )


def nodes_of(
    arguments: Mapping[str, str], player: Player, log: Path, console: Console, stop: threading.Event, stack: ExitStack
) -> Nodes:
    """Return the nodes once they can be shown frames; they end when `stack` is closed.

    Raises:
        ReplayError: they did not come up.
    """
    before = shared_memory()
    stack.callback(lambda: remove_unused(shared_memory() - before))
    nodes = Nodes("replay", arguments, log)
    stack.callback(nodes.end)
    end = time.monotonic() + START_UP
    with console.status("starting point cloud and policy ..."):
        while (missing := player.missing()) and not stop.is_set():
            nodes.check()
            if time.monotonic() > end:
                raise ReplayError(f"no {missing} within {START_UP:.0f} s; log: {log}")
            time.sleep(0.1)
    _be_alone(player, NODES)  # who was slow to make himself known has done so by now
    return nodes
