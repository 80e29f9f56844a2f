"""Who speaks on the arm's bus, judged by the ids of the frames that are heard.

An arm in the role of a leader commands another one: it sends what a master sends, and tells of itself by other ids, or
not at all. Frame 0x470 gives that role and shifts ids, and an arm keeps both when it is switched off. Once it was part
of a pair, it may be in that role without anybody's asking.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Mapping

import can

from tristage_ros.devices.arm.can_bus import BITRATE, OF_A_MASTER

JOINT_FRAMES = (0x2A5, 0x2A6, 0x2A7)  # one sample of the joint positions, in this order
GROUPS = {  # of the frames that an arm sends by itself
    "arm status": (0x2A1,),
    "joint positions": JOINT_FRAMES,
    "efforts": tuple(range(0x251, 0x257)),
    "motor states": tuple(range(0x261, 0x267)),
    "gripper": (0x2A8,),
}
NORMAL_RATE = {name: 40.0 if name == "motor states" else 200.0 for name in GROUPS}  # Hz, of each frame
# What 0x470 shifts 0x2A0 to; the last is where arms have been seen that were leaders once.
_SHIFTED = (0x2B0, 0x2C0, 0x3A0)
_LEADS = frozenset({0x155, 0x156, 0x157})  # joint targets, which a leader sends all the time

MAKE_FOLLOWER = (
    "nothing here sends that frame (0x470). With the arm held, and nothing else on the bus, a person does: "
    "C_PiperInterface_V2.MasterSlaveConfig(0xFC, 0, 0, 0) of piper_sdk; then switch the arm off and on"
)


def ids(heard: Collection[int]) -> str:
    """Put ids in words, those that follow one another as a range."""
    parts: list[list[int]] = []
    for identifier in sorted(heard):
        if parts and identifier == parts[-1][-1] + 1:
            parts[-1].append(identifier)
        else:
            parts.append([identifier])
    return ", ".join(f"0x{p[0]:03X}" if len(p) == 1 else f"0x{p[0]:03X} to 0x{p[-1]:03X}" for p in parts)


def shifted(heard: Collection[int]) -> list[int]:
    """Return the ids that are heard of an arm which tells of itself by others than the usual ones."""
    found = []
    for base in _SHIFTED:
        block = set(range(base + 1, base + 9)) & set(heard)
        if {base + (identifier & 0xF) for identifier in JOINT_FRAMES} <= block:
            found += sorted(block)
    return found


def role(heard: Collection[int]) -> str:
    """Return why an arm whose frames are heard is not understood, "" where its joints are, or nothing is heard."""
    known = set(heard)
    if known & set(JOINT_FRAMES):
        return ""
    if other := shifted(known):
        return (
            f"an arm tells of itself by shifted ids ({ids(other)} instead of 0x2A1 to 0x2A8), as one that was a leader"
        )
    if known >= _LEADS:
        commands = ids(known & OF_A_MASTER)
        return f"an arm in the role of a leader is heard: it sends commands ({commands}) and no feedback"
    return ""


def beside(heard: Collection[int]) -> str:
    """Return which other arm is heard beside the one that is understood, "" if none."""
    other = shifted(heard) if set(heard) & set(JOINT_FRAMES) else []
    return f"another arm is on this bus (frames {ids(other)}): its master may reach this one, too" if other else ""


def masters(rates: Mapping[int, float]) -> str:
    """Return which frames that only a master sends are heard, and how often, "" if none; `rates`: Hz, by id."""
    heard = {identifier: rate for identifier, rate in rates.items() if identifier in OF_A_MASTER and rate > 0.0}
    return f"{ids(heard)}, {sum(heard.values()):.0f} frames/s" if heard else ""


def group_rates(rates: Mapping[int, float]) -> dict[str, float]:
    """Return how often, Hz, each of GROUPS comes whole, from the rates of its frames by id."""
    return {name: min(rates.get(identifier, 0.0) for identifier in frames) for name, frames in GROUPS.items()}


class Backlog:
    """Tell which of the frames that waited while this process stood still say how the arm is now: the newest.

    What waits is read faster than it was sent, and would count for new. Of a longer stand-still the newest may not be
    there at first: a socket keeps about 90 ms of an arm's frames, and a network hands on more once there is room.
    """

    STOOD_STILL = 0.04  # s between two frames, after which those that wait are looked at as a whole
    NEWEST = 40  # frames, of two samples with all that comes beside them
    SETTLES = 0.005  # s in which an arm sends fewer than that
    MOST = 20_000  # frames to read at a time

    def __init__(self, bus: can.BusABC, now: float) -> None:
        """Take a bus of which everything was read at `now`, s on the monotonic clock."""
        self._bus, self._read = bus, now

    def receive(self, timeout: float) -> tuple[list[can.Message], list[can.Message]]:
        """Wait for a frame, `timeout` s at most; return the old ones that waited and those that tell of now."""
        message = self._bus.recv(timeout)
        old: list[can.Message] = []
        new = [] if message is None else [message]
        if new and time.monotonic() - self._read > self.STOOD_STILL:
            new += self._waiting()
            while len(new) > self.NEWEST and len(old) < self.MOST:
                old += new
                time.sleep(self.SETTLES)
                new = self._waiting()
        self._read = time.monotonic()
        return old, new

    def _waiting(self) -> list[can.Message]:
        found: list[can.Message] = []
        while len(found) < self.MOST and (message := self._bus.recv(0)) is not None:
            found.append(message)
        return found


class Traffic:
    """Count what is heard and sent on one bus; one thread notes, any other may look."""

    _WINDOW = 0.5  # s
    _BITS_PER_FRAME = 125  # 8 bytes of data, 11 bits of id, about 14 stuffed bits
    _FEEDBACK = range(0x251, 0x2B0)

    def __init__(self, now: float) -> None:
        """Begin to count at `now`, s on the monotonic clock."""
        self.heard: set[int] = set()  # ids
        self.rates: dict[int, float] = {}  # Hz by id, over the last whole window
        self.frames_per_second = 0.0  # of feedback
        self.load = 0.0  # 0..1 of what the bus can carry
        self._counts, self._sent, self._since = Counter[int](), 0, now

    def sent(self) -> None:
        """Count a frame that was sent."""
        self._sent += 1

    def note(self, identifier: int | None, now: float) -> None:
        """Count a frame that was heard, None for none, and close the window when its time has come."""
        if identifier is not None:
            self._counts[identifier] += 1
            self.heard.add(identifier)
        passed = now - self._since
        if passed < self._WINDOW:
            return
        self.rates = {each: count / passed for each, count in self._counts.items()}
        self.frames_per_second = sum(rate for each, rate in self.rates.items() if each in self._FEEDBACK)
        self.load = (sum(self._counts.values()) + self._sent) / passed * self._BITS_PER_FRAME / BITRATE
        self._counts, self._sent, self._since = Counter(), 0, now

    def role(self) -> str:
        """Return why an arm that is heard now is not understood, "" where it is; see `role`."""
        return role(self.rates or set(self.heard))
