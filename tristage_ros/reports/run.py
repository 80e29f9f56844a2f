"""What a bag tells about one run, as lists and arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tristage_ros.bags.changes import TOPICS, Change, changes_of
from tristage_ros.bags.facts import Facts, read_facts
from tristage_ros.bags.messages import IMAGE
from tristage_ros.bags.reader import BagError, BagReader, Message
from tristage_ros.devices.arm.clock import ArmClock
from tristage_ros.devices.arm.site import Site, SiteError, parse_site
from tristage_ros.devices.arm.smoothness import Smoothness
from tristage_ros.reports.dilation import TOPIC as DILATION
from tristage_ros.reports.dilation import TYPE as DILATION_TYPE
from tristage_ros.reports.dilation import clock_of
from tristage_ros.reports.smoothness import ARM_JOINTS, of_arm_status, of_joint_states

PRUNING, TIMINGS, ACTION, OVERLAY = "/tristage/pruning", "/tristage/timings", "/tristage/action", "/tristage/overlay"
JOINTS, STATUS, DIAGNOSTICS = "/joint_states", "/arm/status", "/diagnostics"
TASK_DONE = "/tristage/task_done"
KINDS = {
    PRUNING: "tristage_msgs/msg/PruningStats",
    TIMINGS: "tristage_msgs/msg/StageTimings",
    ACTION: "tristage_msgs/msg/ActionChunk",
    STATUS: "tristage_msgs/msg/ArmStatus",
    JOINTS: "sensor_msgs/msg/JointState",
    DIAGNOSTICS: "diagnostic_msgs/msg/DiagnosticArray",
    TASK_DONE: "std_msgs/msg/Bool",
    DILATION: DILATION_TYPE,
    OVERLAY: IMAGE,
}
JOINT_NAMES = (*ARM_JOINTS, "gripper")
COLOR_IMAGE = "/color/image_raw"
PICTURES = 64  # of one topic kept at least, spread over the run; a long recording does not fit into memory


@dataclass(frozen=True)
class Run:
    """Hold a run's messages by what they are about; what was not recorded is empty. Times are s since `start`."""

    path: Path
    complete: bool  # False: the recording was cut off
    break_: str = ""  # where it was cut off
    notes: Sequence[str] = ()  # what else is to be known of the bag
    facts: Facts = field(default_factory=Facts)  # parameters, versions and checkpoint of the run
    start: int = 0  # ns, stamp of the first message
    duration: float = 0.0  # s
    pruning: Sequence[Any] = ()  # tristage_msgs/PruningStats, one per control step
    step_times: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))  # of `pruning`
    timings: Sequence[Any] = ()  # tristage_msgs/StageTimings, one per control step
    looks: Sequence[Any] = ()  # the same, of what was only looked at
    action_times: Sequence[float] = ()
    status: Sequence[tuple[float, Any]] = ()  # tristage_msgs/ArmStatus
    joint_times: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    joint_positions: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 7)))  # rad, the gripper in m
    targets_moved: Smoothness = field(default_factory=Smoothness)  # the joint targets
    joints_moved: Smoothness = field(default_factory=Smoothness)  # the measured joints
    overlays: Sequence[Message] = ()
    views: dict[str, list[Message]] = field(default_factory=dict)  # colour images by camera
    diagnostics: Sequence[tuple[float, Any]] = ()  # diagnostic_msgs/DiagnosticStatus
    task_done: Sequence[tuple[float, bool]] = ()  # whether the simulation's task is done
    clock: ArmClock = field(default_factory=ArmClock)  # counts simulated seconds by those of the bag's stamps, absolute
    slowest: float = 1.0  # the most seconds of the clock that one of the cell's took
    changes: Sequence[Change] = ()  # what was set on the policy meanwhile, where it is other than before

    def since_start(self, stamp: int) -> float:
        """Return a time of the run's clock, ns, in s since the start of the run."""
        return (stamp - self.start) * 1e-9

    def simulated(self, begin: float, end: float) -> float:
        """Return how many of the cell's seconds passed between two times, s since the start of the run."""
        start = self.start * 1e-9
        return self.clock.at(start + end) - self.clock.at(start + begin)

    def seconds(self, message: Message) -> float:
        """Return the time at which a message was recorded, in s since the start of the run."""
        return self.since_start(message.stamp)


class Thinned(list[Message]):
    """Keep some of many messages, evenly spread: `PICTURES` to twice as many."""

    def __init__(self) -> None:
        """Keep every message at first."""
        super().__init__()
        self._seen, self._stride = 0, 1

    def append(self, message: Message) -> None:
        """Take a message, and let go of every second one when there are too many."""
        if self._seen % self._stride == 0:
            super().append(message)
        self._seen += 1
        if len(self) == 2 * PICTURES:
            del self[1::2]
            self._stride *= 2


def bag_of(path: str | Path) -> Path:
    """Return the bag of a run's folder; any other path is taken for a bag itself."""
    inside = Path(path) / "bag"
    return inside if inside.exists() else Path(path)


def read_run(path: str | Path) -> Run:
    """Read a bag, or that of a run's folder; of images only some are kept.

    Raises:
        BagError: there is none, it is damaged, or holds nothing of what a report tells.
    """
    by_topic: dict[str, list[Message]] = {}
    with BagReader(bag_of(path)) as bag:
        complete, break_, notes, facts = bag.complete, bag.break_, bag.notes, _facts(bag)
        views = {topic: IMAGE for topic in bag.topics if topic.endswith(COLOR_IMAGE)}
        for message in bag.messages_of(TOPICS | KINDS | views):
            kept = Thinned() if message.type_name == IMAGE else []
            by_topic.setdefault(message.topic, kept).append(message)
        if not by_topic.keys() & (KINDS | views).keys() and facts == Facts():
            raise BagError(f"bag {path} has no message of which a report could tell; {bag.contents}")
    if not by_topic:
        return Run(Path(path), complete, break_, notes, facts)
    start = min(messages[0].stamp for messages in by_topic.values())
    end = max(messages[-1].stamp for messages in by_topic.values())

    def timed(topic: str) -> list[tuple[float, Any]]:
        return [((message.stamp - start) * 1e-9, message.value) for message in by_topic.get(topic, [])]

    states, status = timed(JOINTS), timed(STATUS)
    dilations = by_topic.get(DILATION, [])
    clock = clock_of((message.stamp * 1e-9, message.value) for message in dilations)
    joint_times, joint_positions = _joints(states)
    return Run(
        Path(path),
        complete,
        break_,
        notes,
        facts,
        start,
        (end - start) * 1e-9,
        pruning=[value for _, value in timed(PRUNING)],
        step_times=np.array([time for time, _ in timed(PRUNING)]),
        timings=[value for _, value in timed(TIMINGS) if value.step],
        looks=[value for _, value in timed(TIMINGS) if not value.step],
        action_times=[time for time, _ in timed(ACTION)],
        status=status,
        joint_times=joint_times,
        joint_positions=joint_positions,
        targets_moved=of_arm_status([message for _, message in status], clock),
        joints_moved=of_joint_states([message for _, message in states], clock),
        overlays=by_topic.get(OVERLAY, []),
        views=_views(by_topic),
        diagnostics=[(time, status) for time, array in timed(DIAGNOSTICS) for status in array.status],
        task_done=[(time, bool(message.data)) for time, message in timed(TASK_DONE)],
        clock=clock,
        slowest=max([1.0, *(message.value.data for message in dilations)]),
        changes=_changes(by_topic),
    )


def site_of(run: Run) -> Site | None:
    """Return the arm's site as it was recorded; None where it was not, or cannot be read any more."""
    text = run.facts.files.get("arm.site_file")
    named = run.facts.parameters.get("arm", {}).get("site_file") or "config/site.yaml"
    try:
        return None if text is None else parse_site(text, Path(str(named)))
    except SiteError:
        return None


def _facts(bag: BagReader) -> Facts:
    try:
        return read_facts(bag)
    except ValueError:  # a foreign bag may have something else on that topic
        return Facts()


def _changes(by_topic: dict[str, list[Message]]) -> list[Change]:
    _, changes = changes_of(message for topic in TOPICS for message in by_topic.get(topic, []))
    return [change for change in changes if change.in_words()]


def _joints(states: list[tuple[float, Any]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    times, rows = [], []
    for time, state in states:
        position = dict(zip(state.name, state.position, strict=False))
        if all(name in position for name in JOINT_NAMES):
            times.append(time)
            rows.append([position[name] for name in JOINT_NAMES])
    return np.array(times), np.array(rows).reshape(-1, len(JOINT_NAMES))


def _views(by_topic: dict[str, list[Message]]) -> dict[str, list[Message]]:
    views = {
        topic.removesuffix(COLOR_IMAGE).strip("/"): messages
        for topic, messages in by_topic.items()
        if topic.endswith(COLOR_IMAGE) and messages[0].type_name == IMAGE
    }
    return dict(sorted(views.items()))
