"""In which condition a recorded stream is: what of it is missing, repeated, out of order, late or frozen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LATE = 0.5  # s from the stamp of a frame to its recording; nodes refuse what is older
FROZEN = 5  # frames in a row with the same content that are worth a word


@dataclass(frozen=True)
class Arrival:
    """Hold when a message was made and when it was recorded, and a checksum of its content."""

    stamp: int  # ns, of its header
    recorded: int  # ns
    checksum: int = 0


@dataclass(frozen=True)
class Condition:
    """Count what is wrong with a stream."""

    messages: int
    period: float  # s, median
    missing: int  # that the period has and the stream lacks
    repeated: int  # with a stamp that was there before
    swapped: int  # older than one that was recorded before them
    late: int
    latest: float  # s, the largest delay
    frozen: int  # most messages in a row with the same content

    def __str__(self) -> str:
        """Return what is wrong, for a person; empty when nothing is."""
        troubles = {
            f"{self.missing} missing": self.missing,
            f"{self.repeated} repeated": self.repeated,
            f"{self.swapped} out of order": self.swapped,
            f"{self.late} recorded up to {self.latest:.1f} s late": self.late,
            f"{self.frozen} in a row with the same pixels (frozen, or nothing moved)": self.frozen >= FROZEN,
        }
        return ", ".join(text for text, present in troubles.items() if present)


def condition(arrivals: Sequence[Arrival]) -> Condition:
    """Return the condition of a stream whose messages come in the order of their recording."""
    stamps = np.array([arrival.stamp for arrival in arrivals], np.int64)
    delays = np.array([arrival.recorded - arrival.stamp for arrival in arrivals], np.float64) * 1e-9
    unique = np.unique(stamps)
    newest = np.maximum.accumulate(stamps) if len(stamps) else stamps
    repeated = len(stamps) - len(unique)
    gaps = np.diff(unique) * 1e-9
    period = float(np.median(gaps)) if len(gaps) else 0.0
    late = delays > LATE
    return Condition(
        messages=len(stamps),
        period=period,
        missing=int(np.maximum(np.round(gaps / period) - 1, 0).sum()) if period > 0 else 0,
        repeated=repeated,
        swapped=len(set(stamps[stamps < newest].tolist()) - _seen_before(stamps)),
        late=int(late.sum()),
        latest=float(delays.max(initial=0.0)),
        frozen=_longest_run([arrival.checksum for arrival in arrivals if arrival.checksum]),
    )


def _seen_before(stamps: np.ndarray) -> set[int]:
    """Return the stamps whose first message came in order: those that come again are repeated, not swapped."""
    in_order, newest = set(), -1
    for stamp in stamps.tolist():
        if stamp > newest:
            newest = stamp
            in_order.add(stamp)
    return in_order


def _longest_run(checksums: Sequence[int]) -> int:
    longest, run, before = 0, 0, None
    for checksum in checksums:
        run = run + 1 if checksum == before else 1
        longest, before = max(longest, run), checksum
    return longest
