"""What a bag holds for point cloud and policy: which frames are whole, their messages one by one, and its restarts.

A restart is where the policy forgot the observations before: a replay has to reset it there, too.
"""

from __future__ import annotations

import struct
import zlib
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tristage_ros.bags.changes import EVENTS, TIMINGS, TOPICS
from tristage_ros.bags.condition import Arrival, Condition, condition
from tristage_ros.bags.messages import IMAGE
from tristage_ros.bags.reader import BagError, BagReader, Message

JOINTS, STATUS = "/joint_states", "/arm/status"
JOINT_STATE = "sensor_msgs/msg/JointState"
CAMERA_INFO, ARM_STATUS = "sensor_msgs/msg/CameraInfo", "tristage_msgs/msg/ArmStatus"
ACTION, PRUNING = "/tristage/action", "/tristage/pruning"
VIEW = "front"  # the camera whose colour image the policy sees
JOINT_TOLERANCE = 100_000_000  # ns; joint states this far from a frame still belong to it
SAME = 1_000_000  # ns; stamps that went through seconds as floats differ by less


def color_topic(camera: str) -> str:
    """Return the topic of the camera's colour images."""
    return f"/{camera}/color/image_raw"


def depth_topic(camera: str) -> str:
    """Return the topic of the camera's depth images, aligned to colour."""
    return f"/{camera}/aligned_depth_to_color/image_raw"


def info_topic(camera: str) -> str:
    """Return the topic of the camera's intrinsics."""
    return f"/{camera}/color/camera_info"


@dataclass(frozen=True)
class Frame:
    """Name the messages of one moment by topic and stamp (ns)."""

    stamp: int  # of the observation that is made of them: the first camera's depth
    first: tuple[tuple[str, int], ...]  # what the view camera sees
    partners: tuple[tuple[str, int], ...]  # depth of the other cameras
    joints: tuple[int, ...]  # joint states around all of them, in order
    instant: int = 0  # stamp of the newest part
    pictures: tuple[tuple[str, int], ...] = ()  # colour of further cameras, which point cloud and policy do without

    @property
    def keys(self) -> tuple[tuple[str, int], ...]:
        """Return every message of the frame."""
        return (*self.first, *self.partners, *((JOINTS, stamp) for stamp in self.joints), *self.pictures)


@dataclass(frozen=True)
class Played:
    """Hold the messages of one frame."""

    frame: Frame
    first: tuple[Message, ...]
    partners: tuple[Message, ...]
    joints: tuple[Message, ...]
    settings: tuple[Message, ...]  # newest camera_info of every camera, and arm status
    pictures: tuple[Message, ...] = ()


class Order:
    """Put the messages of one frame after the other in the order in which point cloud and policy hear of them.

    Both begin with a frame only when joint states have reached it: these come last, and none goes back.
    """

    def __init__(self) -> None:
        """Begin with the first frame."""
        self._newest = 0  # stamp of a joint state, ns

    def __call__(self, played: Played) -> list[Message]:
        """Return the messages of a frame; it may be shown again."""
        joints = [message for message in played.joints if message.header_stamp >= self._newest]
        self._newest = max((message.header_stamp for message in joints), default=self._newest)
        return [*played.settings, *played.first, *played.partners, *played.pictures, *joints]


@dataclass
class _Stream:
    arrivals: list[Arrival] = field(default_factory=list)
    first: Message | None = None

    def stamps(self) -> list[int]:
        return sorted({arrival.stamp for arrival in self.arrivals})


class Recording:
    """Look through a bag once and know what can be replayed of it.

    `remap` renames topics by their beginning, as `{"/camera/camera": "/front"}` does with those of a camera driver.
    """

    def __init__(
        self,
        path: str | Path,
        cameras: Sequence[str],
        remap: Mapping[str, str] | None = None,
        tolerance: float = 0.05,
        pictures: Sequence[str] = (),
    ) -> None:
        """Read the bag at `path`; frames of `cameras` that are `tolerance` s apart belong together.

        Frames have the colour of the cameras `pictures` as well as that of the view.

        Raises:
            BagError: it cannot be read, or lacks a topic that the nodes need; the message names it.
        """
        self.path, self.cameras, self.remap = Path(path), tuple(cameras), dict(remap or {})
        self._pictures = tuple(color_topic(name) for name in pictures if name != VIEW)
        self._tolerance = round(tolerance * 1e9)
        self._streams: dict[str, _Stream] = {}
        with BagReader(path) as bag:
            self.notes = bag.told
            self._names = {topic: renamed(topic, self.remap) for topic in bag.topics}
            self._check_topics(bag.topics)
            wanted = (*self.topics, ACTION, TIMINGS)
            for message in bag.messages(*(topic for topic, name in self._names.items() if name in wanted)):
                self._note(message)
        self._stamps = {topic: stream.stamps() for topic, stream in self._streams.items()}
        empty = [topic for topic in self.required if topic not in self._streams]
        if empty:
            raise BagError(self._with_notes(f"bag {path} has no messages on {', '.join(empty)}"))

    @property
    def start(self) -> int:
        """Return when the first message was recorded, ns."""
        return min(stream.arrivals[0].recorded for stream in self._streams.values())

    @property
    def end(self) -> int:
        """Return when the last message was recorded, ns."""
        return max(stream.arrivals[-1].recorded for stream in self._streams.values())

    @property
    def required(self) -> tuple[str, ...]:
        """Return the topics without which nothing can be replayed."""
        depths = (topic(name) for name in self.cameras for topic in (info_topic, depth_topic))
        return tuple(dict.fromkeys((color_topic(VIEW), info_topic(VIEW), *depths, JOINTS, *self._pictures)))

    @property
    def topics(self) -> tuple[str, ...]:
        """Return the topics that are replayed, where they were recorded."""
        return (*self.required, STATUS)

    def has(self, topic: str) -> bool:
        """Tell whether there are messages on `topic`."""
        return topic in self._streams

    def first(self, topic: str) -> Message:
        """Return the first message of a topic that is required."""
        first = self._streams[topic].first
        assert first is not None
        return first

    def conditions(self) -> dict[str, Condition]:
        """Return the condition of every image stream."""
        images = (color_topic(VIEW), *(depth_topic(name) for name in self.cameras))
        return {topic: condition(self._streams[topic].arrivals) for topic in dict.fromkeys(images)}

    def frames(self) -> tuple[list[Frame], Counter[str]]:
        """Return the whole frames in order of time, and how many were left out, by reason."""
        left_out: Counter[str] = Counter()
        frames = []
        for stamp in self._stamps[depth_topic(self.cameras[0])]:
            frame = self._frame(stamp)
            if isinstance(frame, Frame):
                frames.append(frame)
            else:
                left_out[frame] += 1
        return frames, left_out

    def acted(self, frames: Sequence[Frame]) -> tuple[list[Frame], int]:
        """Return the frames that the recorded run acted on, and how many of its actions have no whole frame."""
        return self._of(ACTION, frames)

    def looked(self, frames: Sequence[Frame]) -> tuple[list[Frame], int]:
        """Return the frames that the recorded run looked at, and how many of its looks have no whole frame."""
        return self._of(TIMINGS, frames)

    def _of(self, topic: str, frames: Sequence[Frame]) -> tuple[list[Frame], int]:
        answers = self._stamps.get(topic, [])
        stamps = np.array([frame.stamp for frame in frames], np.int64)
        chosen = [int(near[0]) for stamp in answers if len(near := np.flatnonzero(abs(stamps - stamp) < SAME))]
        return [frames[index] for index in dict.fromkeys(chosen)], len(answers) - len(chosen)

    def play(self, frames: Sequence[Frame]) -> Iterator[Played]:
        """Yield the messages of `frames`, one frame at a time; only what is still to be played is held in memory.

        Raises:
            BagError: the bag is damaged.
        """
        needed = Counter(key for frame in frames for key in frame.keys)
        held: dict[tuple[str, int], Message] = {}
        settings = (*map(info_topic, (VIEW, *self.cameras)), STATUS)
        newest = {topic: first for topic in settings if self.has(topic) and (first := self._streams[topic].first)}
        waiting = iter(frames)
        frame = next(waiting, None)
        for message in self.messages():
            key = message.topic, message.header_stamp
            if message.topic in newest:
                newest[message.topic] = message
            if needed[key]:
                held.setdefault(key, message)
            while frame and all(key in held for key in frame.keys):
                yield self._played(frame, held, tuple(newest.values()))
                needed.subtract(frame.keys)
                for key in [key for key in frame.keys if not needed[key]]:
                    held.pop(key, None)
                frame = next(waiting, None)

    def messages(self) -> Iterator[Message]:
        """Yield all messages to be replayed, under their new names, in the order of their recording.

        Raises:
            BagError: the bag is damaged.
        """
        with BagReader(self.path) as bag:
            chosen = [topic for topic, name in self._names.items() if name in self.topics]
            for message in bag.messages(*chosen):
                yield message.on(self._names[message.topic])

    def _check_topics(self, recorded: Mapping[str, str]) -> None:
        missing = [topic for topic in self.required if topic not in self._names.values()]
        if missing:
            alike = sorted(topic for topic, kind in recorded.items() if kind in (IMAGE, JOINT_STATE))
            has = f"; it has {', '.join(alike)}: rename what is the same with --remap FROM:=TO" if alike else ""
            raise BagError(self._with_notes(f"bag {self.path} lacks {', '.join(missing)}{has}"))
        kinds = dict.fromkeys(self.required, IMAGE) | {JOINTS: JOINT_STATE, STATUS: ARM_STATUS}
        kinds |= {info_topic(name): CAMERA_INFO for name in (VIEW, *self.cameras)}
        for topic, name in self._names.items():
            if name in kinds and recorded[topic] != kinds[name]:
                raise BagError(f"bag {self.path}: {topic} holds {recorded[topic]}, not {kinds[name]}")

    def _with_notes(self, text: str) -> str:
        return "; ".join([text, *self.notes])

    def _note(self, message: Message) -> None:
        if self._names[message.topic] == TIMINGS and (message.type_name != TOPICS[TIMINGS] or message.value.step):
            return  # only looks are told by these alone, steps by their actions
        stream = self._streams.setdefault(self._names[message.topic], _Stream())
        stream.first = stream.first or message.on(self._names[message.topic])
        # Behind the stamp: two pictures of the same pixels differ in nothing else.
        checksum = zlib.crc32(memoryview(message.stored)[12:]) if message.type_name == IMAGE else 0
        try:
            stream.arrivals.append(Arrival(message.header_stamp, message.stamp, checksum))
        except struct.error:
            raise BagError(f"bag {self.path}: a message of {message.topic} is cut off") from None

    def _frame(self, stamp: int) -> Frame | str:
        """Return the frame around a depth image of the first camera, or why there is none."""
        found: dict[str, int] = {}
        depths = [depth_topic(name) for name in self.cameras]
        for topic in dict.fromkeys((color_topic(VIEW), *depths)):
            near = _nearest(self._stamps[topic], stamp, self._tolerance)
            if near is None:
                return f"{topic} has nothing within {self._tolerance * 1e-6:.0f} ms"
            found[topic] = near
        pictures = [(topic, _nearest(self._stamps[topic], stamp, self._tolerance)) for topic in self._pictures]
        if lacking := [topic for topic, near in pictures if near is None]:
            return f"{lacking[0]} has nothing within {self._tolerance * 1e-6:.0f} ms"
        moments = {found[topic] for topic in depths}
        joints = {around for moment in moments for around in _around(self._stamps[JOINTS], moment)}
        if not joints or max(joints) < max(moments) or min(joints) > min(moments) + JOINT_TOLERANCE:
            return f"{JOINTS} does not reach it"
        seen = (color_topic(VIEW), depth_topic(VIEW))
        return Frame(
            stamp=stamp,
            instant=max(*found.values(), *joints),
            first=tuple((topic, found[topic]) for topic in seen if topic in found),
            partners=tuple((topic, found[topic]) for topic in depths if topic not in seen),
            joints=tuple(sorted(joints)),
            pictures=tuple((topic, near) for topic, near in pictures if near is not None),
        )

    def _played(self, frame: Frame, held: Mapping[tuple[str, int], Message], settings: tuple[Message, ...]) -> Played:
        first, partners, pictures = (
            tuple(held[key] for key in keys) for keys in (frame.first, frame.partners, frame.pictures)
        )
        joints = tuple(held[JOINTS, stamp] for stamp in frame.joints)
        return Played(frame, first, partners, joints, settings, pictures)


def renamed(topic: str, remap: Mapping[str, str]) -> str:
    """Return `topic` with its beginning, up to a slash or the end, renamed as `remap` says."""
    for old, new in remap.items():
        if topic == old or topic.startswith(old.rstrip("/") + "/"):
            return new.rstrip("/") + topic[len(old.rstrip("/")) :]
    return topic


def _nearest(stamps: Sequence[int], stamp: int, tolerance: int) -> int | None:
    index = bisect_left(stamps, stamp)
    near = min(stamps[max(index - 1, 0) : index + 1], key=lambda other: abs(other - stamp), default=None)
    return near if near is not None and abs(near - stamp) <= tolerance else None


def _around(stamps: Sequence[int], stamp: int) -> list[int]:
    """Return the stamps just before and just after `stamp`; it alone where it is one of them."""
    before, after = bisect_right(stamps, stamp) - 1, bisect_left(stamps, stamp)
    return [stamps[index] for index in (before, after) if 0 <= index < len(stamps)]


# Where in a run the policy began anew: an operator reset it, or gave it another instruction.

KINDS = {EVENTS: TOPICS[EVENTS], PRUNING: "tristage_msgs/msg/PruningStats"}


@dataclass(frozen=True)
class Restart:
    """Say before which observation the policy forgot the ones before, and what it was told to do then."""

    stamp: int  # ns, of the observation
    instruction: str = ""  # empty: the same as before


def restarts(path: str | Path) -> list[Restart]:
    """Return the restarts of a run.

    Raises:
        BagError: the bag cannot be read.
    """
    told, firsts = list[tuple[int, str]](), list[tuple[int, int, int]]()
    before = 0
    with BagReader(path) as bag:
        for message in bag.messages_of(KINDS):
            if message.topic == EVENTS:
                told += [(message.stamp, text) for text in _told(message.value)]
            else:
                if message.value.step == 1 and before:
                    firsts.append((message.header_stamp, before, message.stamp))
                before = message.stamp
    return [Restart(stamp, _newest(told, after, until)) for stamp, after, until in firsts]


def _told(event: object) -> list[str]:
    if event.node.strip("/") != "policy":
        return []
    return [p.value.string_value for p in event.changed_parameters if p.name == "instruction"]


def _newest(told: Sequence[tuple[int, str]], after: int, until: int) -> str:
    return next((text for stamp, text in reversed(told) if after < stamp <= until), "")
