"""The last minute of the arm's bus and of its loop, kept in memory: cheap enough for every frame.

Records lie packed one behind the other in a buffer that is laid out once; the oldest are overwritten. Every one has two
stamps, s: the monotonic clock's, which orders them, and the wall clock's, which other computers know.
"""

from __future__ import annotations

import itertools
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import can
import numpy as np
from numpy.typing import NDArray

from tristage_ros.devices.arm.guard import Setpoint
from tristage_ros.devices.arm.values import ArmFeedback, ArmMode

SPAN = 60.0  # s that are kept
_FRAMES = 4000 * 60  # in the arm's minute there are 182 400, and of ours 24 000; a full bus of 1 Mbit/s has 480 000
_TICKS = 100 * 60
SENT, EXTENDED, REMOTE, ERROR = 1, 2, 4, 8  # flags of a frame
FRAME = np.dtype(
    [("monotonic", "<f8"), ("wall", "<f8"), ("id", "<u4"), ("flags", "u1"), ("dlc", "u1"), ("data", "u1", 8)]
)
TICK = np.dtype(
    [
        ("monotonic", "<f8"),
        ("wall", "<f8"),
        ("stamp", "<f8"),  # s, monotonic clock, of the measured joints
        ("target", "<f8", 7),  # the set-point last worked out: rad, the gripper's opening in m; NaN where there is none
        ("position", "<f8", 7),  # measured
        ("velocity", "<f8", 6),  # rad/s
        ("effort", "<f8", 7),  # N m
        ("mode", "u1"),  # see ArmMode
        ("sent", "u1"),  # 1: the set-point went out in this tick
    ]
)
_PIECE, _BREATH = 1 << 18, 1e-3  # bytes that are copied in one go, and s for other threads after it
_PACK = {FRAME: struct.Struct("<ddIBB8s"), TICK: struct.Struct("<3d7d7d6d7dBB")}


class Ring:
    """Keep the newest records of one kind. All methods may be called from any thread."""

    def __init__(self, layout: np.dtype[Any], capacity: int) -> None:
        """Lay the buffer out for `capacity` records of `layout`, FRAME or TICK."""
        self._layout, self._capacity, self._size = layout, capacity, layout.itemsize
        self._buffer = bytearray(capacity * self._size)
        self._pack, self._turn = _PACK[layout].pack_into, itertools.count()  # one call each: no lock is needed

    def add(self, *values: Any) -> None:
        """Keep one record, in the order of its layout, instead of the oldest."""
        self._pack(self._buffer, next(self._turn) % self._capacity * self._size, *values)

    def pieces(self) -> list[bytes]:
        """Return a copy of the buffer in pieces, for `records`; other threads run between two of them."""
        pieces = []
        for start in range(0, len(self._buffer), _PIECE):
            pieces.append(bytes(memoryview(self._buffer)[start : start + _PIECE]))
            time.sleep(_BREATH)
        return pieces

    @property
    def nbytes(self) -> int:
        """Return how much memory it takes."""
        return len(self._buffer)


def records(layout: np.dtype[Any], pieces: Sequence[bytes], until: float) -> NDArray[Any]:
    """Return the last minute until then (s, monotonic clock) by its stamps; `pieces`: those of a ring."""
    kept = np.frombuffer(b"".join(pieces), layout)
    stamps = kept["monotonic"]
    kept = kept[(stamps > 0.0) & (stamps >= until - SPAN) & (stamps <= until)]  # what was never written has zero
    return kept[np.argsort(kept["monotonic"], kind="stable")]


class BusRecord(Ring):
    """Keep every frame of the bus."""

    def __init__(self, capacity: int = _FRAMES) -> None:
        """Begin empty."""
        super().__init__(FRAME, capacity)

    def received(self, frame: can.Message) -> None:
        """Keep a frame that was heard a moment ago."""
        flags = EXTENDED * frame.is_extended_id | REMOTE * frame.is_remote_frame | ERROR * frame.is_error_frame
        self.add(time.monotonic(), time.time(), frame.arbitration_id, flags, frame.dlc, frame.data)

    def sent(self, identifier: int, data: bytes) -> None:
        """Keep a frame that the bus took a moment ago."""
        self.add(time.monotonic(), time.time(), identifier, SENT, len(data), data)


@dataclass(frozen=True)
class Fault:
    """Hold when a fault was there first, s on both clocks, and what it said."""

    monotonic: float
    wall: float
    text: str


class LoopRecord(Ring):
    """Keep what the arm's loop worked out and measured, tick by tick, and the newest fault."""

    def __init__(self, capacity: int = _TICKS) -> None:
        """Begin empty."""
        super().__init__(TICK, capacity)
        self.fault: Fault | None = None
        self._latched, self._sent = "", 0

    def tick(self, mode: ArmMode, setpoint: Setpoint | None, arm: ArmFeedback, sent: int, fault: str) -> None:
        """Keep one tick; `sent`: set-points until now; `fault`: the guard's, "" without one."""
        now, wall = time.monotonic(), time.time()
        target = [*setpoint.position.tolist(), setpoint.gripper] if setpoint else [np.nan] * 7
        self.add(
            now,
            wall,
            arm.stamp,
            *target,
            *arm.position.tolist(),
            arm.gripper,
            *arm.velocity.tolist(),
            *arm.effort.tolist(),
            arm.gripper_effort,
            int(mode),
            sent != self._sent,
        )
        if fault and fault != self._latched:
            self.fault = Fault(now, wall, fault)
        self._latched, self._sent = fault, sent
