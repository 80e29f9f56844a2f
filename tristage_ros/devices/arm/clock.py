"""The seconds that an arm is controlled by: those of the monotonic clock, or slower ones of an emulated arm.

A computer that cannot draw and compute as fast as the cell moves lets the cell's time pass more slowly. An emulated arm
says so on its own bus, in a frame that no Piper sends, and whoever controls it counts as it does: speeds, ages and
patience keep their numbers, and each second of them takes longer. What is real has one time, and its bus cannot
change it.
"""

from __future__ import annotations

import math
import struct
import time
from collections.abc import Callable

DILATION_FRAME = 0x7F0  # no id of the Piper's protocol
MOST = 100.0  # times that an arm's time may be slower
_MARK, _LAYOUT, _UNIT = b"slow", ">4sI", 1e-6
_KEPT = 64  # changes whose stamps can still be told
_LOOPBACK = ("127.0.0.1:", "localhost:")


def is_emulated(interface: str, channel: str) -> bool:
    """Tell whether a bus of python-can ends within this computer: only there an arm may have a time of its own."""
    return interface == "virtual" or (interface == "remote" and channel.startswith(_LOOPBACK))


def dilation_data(dilation: float) -> bytes:
    """Return the 8 bytes of the frame that tells by how much an emulated arm's time is slower."""
    return struct.pack(_LAYOUT, _MARK, round(dilation / _UNIT))


def told_dilation(data: bytes) -> float | None:
    """Return what such a frame tells, None where it is none."""
    if len(data) != struct.calcsize(_LAYOUT):
        return None
    mark, parts = struct.unpack(_LAYOUT, data)
    dilation = parts * _UNIT
    return dilation if mark == _MARK and 1.0 <= dilation <= MOST else None


class ArmClock:
    """Count the arm's seconds, from the monotonic clock's; without a dilation they are the same.

    One thread may change how fast they pass, any may read. They never jump and never go back.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Begin without a dilation."""
        self._monotonic = monotonic
        # (s of the monotonic clock, s of the arm's, dilation from then on), the oldest first; replaced, never changed
        self._stretches: tuple[tuple[float, float, float], ...] = ((0.0, 0.0, 1.0),)

    @property
    def dilation(self) -> float:
        """Return how many seconds of the monotonic clock one of the arm's takes now."""
        return self._stretches[-1][2]

    def dilate(self, dilation: float) -> None:
        """Let the arm's seconds pass so many times more slowly from now on.

        Raises:
            ValueError: not 1 to `MOST`.
        """
        if not 1.0 <= dilation <= MOST:
            raise ValueError(f"an arm's time is 1 to {MOST:g} times slower, not {dilation}")
        if dilation == self.dilation:
            return
        begin = self._monotonic()
        stretches = self._stretches if len(self._stretches) < _KEPT else self._stretches[1:]
        self._stretches = (*stretches, (begin, self.at(begin), dilation))

    def now(self) -> float:
        """Return the present time, s of the arm's."""
        monotonic = self._monotonic()
        begin, arm, dilation = self._stretches[-1]
        return arm + (monotonic - begin) / dilation

    def at(self, monotonic: float) -> float:
        """Return the arm's seconds at a time of the monotonic clock."""
        stretches = self._stretches
        begin, arm, dilation = next((each for each in reversed(stretches) if each[0] <= monotonic), stretches[0])
        return arm + (monotonic - begin) / dilation if math.isfinite(monotonic) else monotonic

    def monotonic(self, arm: float) -> float:
        """Return the monotonic clock's seconds at a time of the arm's."""
        stretches = self._stretches
        begin, since, dilation = next((each for each in reversed(stretches) if each[1] <= arm), stretches[0])
        return begin + (arm - since) * dilation if math.isfinite(arm) else arm
