"""What happened during an attack: frames in both directions, calls and their answers, what the arm node told.

All times are s on the monotonic clock of this process, in which the arm is emulated and its bus is served.
"""

from __future__ import annotations

import math
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import can
import numpy as np
from numpy.typing import NDArray

from tristage_ros.devices.arm.can_bus import OF_A_MASTER
from tristage_ros.simulation.frames import MILLIDEGREE
from tristage_ros.simulation.served_bus import ServedBus

Floats = NDArray[np.float64]
Noted = tuple[float, int, bytes]  # s, id, data

STATUS, MOTORS, JOINTS = 0x2A1, range(0x261, 0x267), (0x2A5, 0x2A6, 0x2A7)
_NOTED = frozenset({STATUS, *MOTORS, *JOINTS}) | OF_A_MASTER


@dataclass
class Call:
    """Follow one call of a service."""

    name: str
    sent: float
    wanted: bool | None = None  # the success that the answer has to tell; None: either
    answered: float = math.inf
    success: bool = False
    message: str = ""

    def answer(self, when: float, success: bool, message: str) -> None:
        """Take the answer."""
        self.success, self.message, self.answered = success, message, when


@dataclass
class Log:
    """Collect what happens between one emulated arm and the processes that have it."""

    up: list[Noted] = field(default_factory=list)  # what the arm is told
    down: list[Noted] = field(default_factory=list)  # what it tells about its joints, its motors and whose it is
    calls: list[Call] = field(default_factory=list)
    statuses: list[tuple[float, bool]] = field(default_factory=list)  # when arm/status was made; whether in fault
    told: list[tuple[float, str]] = field(default_factory=list)  # since when it told what of the arm
    scales: list[tuple[float, float]] = field(default_factory=list)  # since when which speed_scale may be in force
    lives: list[list[float]] = field(default_factory=list)  # of the node: up, asked to end, gone
    frozen: list[list[float]] = field(default_factory=list)  # from when to when the joints' feedback was no such thing
    stalls: list[tuple[float, float]] = field(default_factory=list)  # when this process itself stood still
    findings: list[str] = field(default_factory=list)  # what was seen without looking at frames

    def called(self, *names: str) -> Iterator[Call]:
        """Yield the calls of these services in the order in which they were made."""
        return (call for call in self.calls if call.name in names)

    def stalled(self, begin: float, end: float) -> float:
        """Return for how long this process stood still within that time, s."""
        return sum(max(0.0, min(end, until) - max(begin, since)) for since, until in self.stalls)

    def setpoints(self) -> Floats:
        """Return the joint targets that were sent: [n, 7] s, rad. Bursts with a frame missing are left out."""
        return _assembled(self.up, (0x155, 0x156, 0x157))

    def measured(self) -> Floats:
        """Return the joint positions as the node could know them: [n, 7] s, rad."""
        return _assembled(self.down, JOINTS)


def _assembled(frames: list[Noted], ids: tuple[int, int, int]) -> Floats:
    rows, joints, place = [], [], 0
    for stamp, identifier, data in frames:
        if identifier not in ids:
            continue
        if identifier != ids[place]:
            joints, place = [], 0
        if identifier == ids[place]:
            joints += struct.unpack(">ii", data)
            place += 1
        if place == len(ids):
            rows.append([stamp, *joints])
            joints, place = [], 0
    result = np.array(rows, dtype=float).reshape(-1, 7)
    result[:, 1:] *= MILLIDEGREE
    return result


class TappedBus(ServedBus):
    """A served bus that notes what its clients send, and what they are told about joints, motors and modes."""

    def __init__(self, log: Log) -> None:
        """Serve on a free port of this machine."""
        self._log = log
        super().__init__("127.0.0.1:0")

    def send(self, msg: can.Message, timeout: float | None = None) -> None:
        """Send a frame to every client."""
        super().send(msg, timeout)
        if msg.arbitration_id in _NOTED:
            self._log.down.append((time.monotonic(), msg.arbitration_id, bytes(msg.data)))

    def receive(self, msg: can.Message, sender: object) -> None:
        """Take a client's frame."""
        self._log.up.append((time.monotonic(), msg.arbitration_id, bytes(msg.data)))
        super().receive(msg, sender)  # type: ignore[arg-type]


class Pulse(threading.Thread):
    """Note when this process stands still: nothing that it notes then has the time at which it was."""

    PERIOD, LATE = 0.01, 0.05  # s

    def __init__(self, log: Log) -> None:
        """Begin to look."""
        super().__init__(name="pulse", daemon=True)
        self._log, self._ended = log, threading.Event()
        self.start()

    def run(self) -> None:
        """Look until `close`."""
        last = time.monotonic()
        while not self._ended.wait(self.PERIOD):
            now = time.monotonic()
            if now - last > self.PERIOD + self.LATE:
                self._log.stalls.append((last, now))
            last = now

    def close(self) -> None:
        """End."""
        self._ended.set()
        self.join()
