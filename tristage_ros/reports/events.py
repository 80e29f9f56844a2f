"""What went wrong with the arm in a run: faults, lost contact, and chunks that were refused or broken off."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tristage_ros.devices.arm.values import ArmMode, ChunkState
from tristage_ros.reports.run import Run

FIGURE = re.compile(r"-?\d+(\.\d+)?")
BAD_MODES = {ArmMode.FAULT: "fault", ArmMode.DISCONNECTED: "disconnected"}
BAD_CHUNKS = {ChunkState.REFUSED: "chunk refused", ChunkState.ABORTED: "chunk broken off"}


@dataclass(frozen=True)
class Event:
    """Hold one kind of trouble with the times at which it began."""

    what: str
    reason: str  # of the first time; later ones may differ in their figures
    times: tuple[float, ...]  # s since the start of the run

    @property
    def alarming(self) -> bool:
        """Tell whether the arm itself was in trouble, rather than a chunk."""
        return self.what in BAD_MODES.values()

    @property
    def count(self) -> int:
        """Return how often it happened."""
        return len(self.times)

    @property
    def when(self) -> str:
        """Return when it first and last began, for a person."""
        first, last = self.times[0], self.times[-1]
        return f"{first:.1f} s" if self.count == 1 else f"{first:.1f} … {last:.1f} s"


def arm_events(run: Run) -> list[Event]:
    """Return the troubles of a run, those of the arm first, then by time."""
    found: dict[tuple[str, str], tuple[str, list[float]]] = {}
    for time, what, reason in (*_modes(run), *_chunks(run)):
        found.setdefault((what, FIGURE.sub("#", reason)), (reason, []))[1].append(time)
    events = [Event(what, reason, tuple(times)) for (what, _), (reason, times) in found.items()]
    return sorted(events, key=lambda event: (not event.alarming, event.times[0]))


def _modes(run: Run) -> Iterator[tuple[float, str, str]]:
    before = None
    for time, status in run.status:
        if status.mode != before and status.mode in BAD_MODES:
            yield time, BAD_MODES[ArmMode(status.mode)], status.reason
        before = status.mode


def _chunks(run: Run) -> Iterator[tuple[float, str, str]]:
    before = None
    for time, status in run.status:
        chunk = (status.chunk_stamp.sec, status.chunk_stamp.nanosec, status.chunk_state)
        if chunk != before and status.chunk_state in BAD_CHUNKS:
            yield time, BAD_CHUNKS[ChunkState(status.chunk_state)], status.chunk_reason
        before = chunk
