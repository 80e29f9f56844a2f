"""What a black box holds, by the time before and after its fault."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tristage_ros.bags.black_box.contents import EVENTS, FAULT, JOINTS, NAMES, RECEIVED, SENT, SETPOINTS, STATUS
from tristage_ros.bags.facts import Facts, read_facts
from tristage_ros.bags.reader import BagReader, Message
from tristage_ros.devices.arm.clock import DILATION_FRAME, told_dilation
from tristage_ros.devices.arm.kinematics import dh_is_offset, forward, tool_pose
from tristage_ros.devices.arm.values import ArmMode
from tristage_ros.reports.black_box.frames import Word, words

BEFORE, AFTER = 1.0, 0.5  # s around the fault that are shown
STEP = 0.01  # s
_SPAN = 5  # steps over which a speed is taken
_LOOK_BACK = 0.5  # s before that, for what the arm said last
_SENT_GAP, _MEASURED_GAP = 0.03, 0.1  # s after which what was sent or measured no longer counts
_SAMPLE = 0x2A5  # the first frame of the joint positions
_READ = (EVENTS, STATUS, SETPOINTS, JOINTS, RECEIVED, SENT)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Event:
    """Hold a line of text and its time, s."""

    time: float
    level: int
    kind: str
    text: str


@dataclass(frozen=True)
class Steps:
    """Hold the time around the fault in steps of 10 ms; NaN what was not there. Rad, N m; the gripper in m."""

    times: Floats  # [n] s
    target: Floats  # [n, 7] as sent
    measured: Floats  # [n, 7]
    velocity: Floats  # [n, 6] rad/s, of the joints
    effort: Floats  # [n, 7]
    mode: tuple[ArmMode | None, ...]  # n

    def at(self, time: float) -> int:
        """Return the step at a time, s."""
        return int(np.clip(np.searchsorted(self.times, time + 1e-9) - 1, 0, len(self.times) - 1))


@dataclass(frozen=True)
class BlackBox:
    """Hold what is told of a black box. Times are s after the newest fault, or after the end where there is none."""

    path: Path
    fault: str  # "" where it was written at a person's call
    moment: float  # of the fault, s since 1970
    start: float  # of the record
    end: float
    events: list[Event]
    status: list[tuple[float, Any]]  # tristage_msgs/ArmStatus
    steps: Steps
    words: list[Word]  # of the frames shown
    frames: dict[str, int] = field(default_factory=dict)  # in the last second before the fault, by topic
    longest_gap: float = np.nan  # s between two samples of the joints in that second
    tool_speed: Floats = field(default_factory=lambda: np.zeros(0))  # [n] m/s
    facts: Facts = field(default_factory=Facts)
    dilation: float = 1.0  # the most seconds of its stamps that one of an emulated arm's took


def is_black_box(path: Path) -> bool:
    """Tell whether a bag is an arm's black box; what cannot be read is none."""
    try:
        with BagReader(path) as bag:
            return {EVENTS, RECEIVED} <= bag.topics.keys()
    except ValueError:
        return False


def read(path: Path) -> BlackBox:
    """Read a black box.

    Raises:
        BagError: it is damaged.
    """
    with BagReader(path) as bag:
        by_topic: dict[str, list[Message]] = {
            topic: [] for topic in (EVENTS, STATUS, SETPOINTS, JOINTS, RECEIVED, SENT)
        }
        for message in bag.messages(*by_topic):
            by_topic[message.topic].append(message)
        facts = read_facts(bag)
    stamps = [message.stamp for messages in by_topic.values() for message in messages]
    faults = [message.stamp for message in by_topic[EVENTS] if message.value.name == FAULT]
    moment = faults[-1] if faults else max(stamps)

    def timed(topic: str, since: float = -np.inf, until: float = np.inf) -> list[tuple[float, Any]]:
        times = [((message.stamp - moment) * 1e-9, message) for message in by_topic[topic]]
        return [(time, message.value) for time, message in times if since <= time <= until]

    events = [Event(time, int(log.level), log.name, log.msg) for time, log in timed(EVENTS)]
    status = timed(STATUS)
    shown = (-BEFORE - _LOOK_BACK, AFTER)
    frames = [(time, topic == SENT, frame) for topic in (RECEIVED, SENT) for time, frame in timed(topic, *shown)]
    frames.sort(key=lambda one: one[0])
    steps = _steps(timed(SETPOINTS, *shown), timed(JOINTS, *shown), status)
    lately = [(sent, frame.id, time) for time, sent, frame in frames if -BEFORE <= time <= 0.0]
    samples = np.array([time for sent, identifier, time in lately if identifier == _SAMPLE and not sent])
    return BlackBox(
        path,
        next((event.text for event in reversed(events) if event.kind == FAULT), ""),
        moment * 1e-9,
        (min(stamps) - moment) * 1e-9,
        (max(stamps) - moment) * 1e-9,
        events,
        status,
        steps,
        [word for word in words(frames) if word.last >= -BEFORE],
        dict(Counter(SENT if sent else RECEIVED for sent, _, _ in lately)),
        float(np.diff(samples).max()) if len(samples) > 1 else np.nan,
        _tool_speed(steps, next((message.firmware for _, message in status if message.firmware), "")),
        facts,
        max([1.0, *(told_dilation(bytes(frame.data)) or 1.0 for _, _, frame in frames if frame.id == DILATION_FRAME)]),
    )


def _steps(sent: list[tuple[float, Any]], measured: list[tuple[float, Any]], status: list[tuple[float, Any]]) -> Steps:
    times = np.arange(round(-BEFORE / STEP), round(AFTER / STEP) + 1) * STEP
    when = np.array([time for time, _ in status])
    newest = np.searchsorted(when, times + 1e-9) - 1
    return Steps(
        times,
        _held(times, sent, "position", _SENT_GAP),
        _held(times, measured, "position", _MEASURED_GAP),
        _held(times, measured, "velocity", _MEASURED_GAP)[:, :6],
        _held(times, measured, "effort", _MEASURED_GAP),
        tuple(ArmMode(status[k][1].mode) if k >= 0 else None for k in newest),
    )


def _held(times: Floats, messages: list[tuple[float, Any]], name: str, gap: float) -> Floats:
    """Return [n, 7] the newest value at each time, NaN where there is none or it is `gap` s old."""
    values = np.full((len(times), len(NAMES)), np.nan)
    if messages:
        when = np.array([time for time, _ in messages])
        rows = np.array([getattr(message, name) for _, message in messages]).reshape(-1, len(NAMES))
        newest = np.searchsorted(when, times + 1e-9) - 1
        there = (newest >= 0) & (times - when[newest] < gap)
        values[there] = rows[newest[there]]
    return values


def _tool_speed(steps: Steps, firmware: str) -> Floats:
    offset = dh_is_offset(firmware) if firmware else True
    tool = tool_pose(forward(steps.measured[:, :6], offset))[:, :3, 3]
    return np.asarray(np.linalg.norm(rate(tool), axis=1))


def rate(values: Floats) -> Floats:
    """Return the change [n, k] per second of `values` [n, k] over the last 50 ms of every step, NaN at the first ones.

    From one step to the next a sample may be there twice or left out.
    """
    changed = np.full(values.shape, np.nan)
    changed[_SPAN:] = (values[_SPAN:] - values[:-_SPAN]) / (_SPAN * STEP)
    return changed
