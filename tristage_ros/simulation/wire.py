"""What can happen to frames between the arm and the computer, on demand and repeatable."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterable

from tristage_ros.simulation.frames import Frame

JOINT_FEEDBACK = (0x2A5, 0x2A6, 0x2A7)
_FREEZABLE = frozenset({*range(0x2A1, 0x2A9), *range(0x251, 0x257), *range(0x261, 0x267)})


class Wire:
    """Pass frames in both directions, except for the faults that were asked for.

    Each fault lasts until it is taken back; `silence` may end by itself.
    """

    def __init__(self, seed: int = 0) -> None:
        """Begin without faults; `seed` decides which frames `drop` loses."""
        self._random = random.Random(seed)
        self._silent_until = -math.inf  # s, monotonic clock
        self._dropped = 0.0
        self._swapped: tuple[int, int] | None = None
        self._frozen: frozenset[int] = frozenset()
        self._last: dict[int, Frame] = {}  # by id, before they were frozen

    def silence(self, seconds: float | None) -> None:
        """Pass nothing for `seconds`, as with the cable pulled out; None: until silence(0)."""
        self._silent_until = math.inf if seconds is None else time.monotonic() + seconds

    def drop(self, share: float) -> None:
        """Lose this share, 0..1, of the frames of both directions, at random.

        Raises:
            ValueError: share out of range.
        """
        if not 0.0 <= share <= 1.0:
            raise ValueError(f"a share of lost frames is 0 to 1, not {share}")
        self._dropped = share

    def swap(self, first: int, second: int) -> None:
        """Exchange the places of two frames of each tick, by id; the same id twice: none."""
        self._swapped = (first, second) if first != second else None

    def freeze(self, ids: Iterable[int] = JOINT_FEEDBACK) -> None:
        """Repeat the present content of these feedback frames from now on; none: they are fresh again."""
        self._frozen = frozenset(ids) & _FREEZABLE

    def up(self, received: list[Frame]) -> list[Frame]:
        """Return what the arm hears of the frames that were sent to it."""
        return self._survivors(received)

    def down(self, sent: list[Frame]) -> list[Frame]:
        """Return what the computer hears of the frames that the arm sends in one tick."""
        result = [self._last.get(frame.id, frame) if frame.id in self._frozen else frame for frame in sent]
        self._last.update((frame.id, frame) for frame in result if frame.id in _FREEZABLE)
        if self._swapped:
            result = _exchanged(result, *self._swapped)
        return self._survivors(result)

    def _survivors(self, frames: list[Frame]) -> list[Frame]:
        if time.monotonic() < self._silent_until:
            return []
        return [frame for frame in frames if not self._dropped or self._random.random() >= self._dropped]


def _exchanged(frames: list[Frame], first: int, second: int) -> list[Frame]:
    result, places = frames.copy(), {frame.id: place for place, frame in enumerate(frames)}
    if first in places and second in places:
        result[places[first]], result[places[second]] = frames[places[second]], frames[places[first]]
    return result
