"""Whether an episode is worth keeping, while it runs: cameras, clocks, joints at limits, the leader, the disk.

Messages are told by stamps, checksums and numbers, so that a recorder and a reader of bags judge alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from tristage_ros.bags.episodes.streams import SILENT, Clock, ImageStream

AT_LIMIT = 0.02  # rad from a limit; the guard keeps 0.01
AT_LIMIT_FOR = 0.5  # s there before it is worth a word
STILL = 1e-4  # rad; less is the noise of an encoder
LEADER_SILENT = 0.5  # s
SOON_FULL = 120.0  # s


class Verdict:
    """Take what comes and say what is wrong, each with its figure. Arrivals are in s of a clock that nobody sets."""

    def __init__(
        self, rates: Mapping[str, tuple[str, float]], limits: Sequence[tuple[float, float]], begin: float
    ) -> None:
        """Begin to watch.

        Args:
            rates: by topic of images, how a person calls it and its nominal rate in Hz.
            limits: lower and upper of the joints, rad.
            begin: s, as arrivals.
        """
        self.begin = begin
        self.images = {topic: ImageStream(name, rate, begin) for topic, (name, rate) in rates.items()}
        self.travelled: float | None = None  # rad, of the joint that moved most from one state to the next
        self._limits = tuple(limits)
        self._positions: Sequence[float] = ()
        self._joints_at: float | None = None  # s, arrival
        self._joints_clock = Clock()
        self._at_limit: dict[tuple[int, int], float] = {}  # s, by joint and end
        self._leader_silent = 0.0  # s, the longest
        self._lost = 0
        self._disk = ""

    def image(self, topic: str, stamp: float, arrival: float, checksum: int = 0) -> None:
        """Take an image of one of the topics; see `ImageStream.add`."""
        self.images[topic].add(stamp, arrival, checksum, self.travelled)

    def joints(self, positions: Sequence[float], stamp: float, arrival: float) -> None:
        """Take measured joints, rad, in the order of the limits."""
        self._joints_clock.step(stamp, arrival)
        moved = max((abs(new - old) for new, old in zip(positions, self._positions, strict=False)), default=0.0)
        self.travelled = (self.travelled or 0.0) + (moved if moved > STILL else 0.0)
        since = 0.0 if self._joints_at is None else min(arrival - self._joints_at, SILENT)
        for joint, (position, ends) in enumerate(zip(positions, self._limits, strict=False)):
            for end in (0, 1):
                if (position - ends[end]) * (1, -1)[end] < AT_LIMIT:
                    self._at_limit[joint, end] = self._at_limit.get((joint, end), 0.0) + since
        self._positions, self._joints_at = tuple(positions), arrival

    def leader(self, silence: float) -> None:
        """Take for how long nothing was heard of what leads the arm, s."""
        self._leader_silent = max(self._leader_silent, silence)

    def lost(self, messages: int) -> None:
        """Take how many messages were not written because the disk or the processor was too slow."""
        self._lost = messages

    def disk(self, free: float, per_second: float) -> None:
        """Take how many bytes may still be written, and how many are, in a second."""
        left = free / per_second if per_second > 0 else math.inf
        self._disk = (
            f"disk nearly full: {free / 1e6:.0f} MB left to write, {left:.0f} s at {per_second / 1e6:.1f} MB/s"
            if left < SOON_FULL
            else ""
        )

    def complaints(self, now: float) -> list[str]:
        """Return what is or was wrong so far, a line each; none: all is well. `now` in s, as arrivals."""
        told = [*self._of_images(now), *self._of_joints(now)]
        if self._leader_silent > LEADER_SILENT:
            told.append(f"leader: silent for {self._leader_silent:.1f} s")
        if self._lost:
            told.append(f"recorder: {self._lost} messages dropped, the disk or the processor is too slow")
        return told + ([self._disk] if self._disk else [])

    def _of_images(self, now: float) -> list[str]:
        """Return a line for each trouble; streams that have the same share it."""
        names: dict[str, list[str]] = {}
        for stream in self.images.values():
            for line in stream.complaints(now):
                names.setdefault(line, []).append(stream.name)
        return [f"{', '.join(who)}: {line}" for line, who in names.items()]

    def _of_joints(self, now: float) -> list[str]:
        silence = now - (self.begin if self._joints_at is None else self._joints_at)
        told = [f"joint states: nothing for {silence:.1f} s"] if silence > SILENT else []
        told += [f"joint states: {line}" for line in self._joints_clock.complaints()]
        for (joint, end), seconds in sorted(self._at_limit.items()):
            if seconds >= AT_LIMIT_FOR:
                which = f"its {('lower', 'upper')[end]} limit of {self._limits[joint][end]:g} rad"
                told.append(f"joint{joint + 1}: at {which} for {seconds:.1f} s")
        return told
