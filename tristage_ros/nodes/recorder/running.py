"""One episode that is recorded: what was asked for, its bag, its verdict, and how it comes to an end."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from tristage_ros.bags.episodes.episode import START_PICTURE, Episode
from tristage_ros.bags.episodes.folder import Collection, Place
from tristage_ros.bags.episodes.judging import Judge
from tristage_ros.bags.recording import color_topic
from tristage_ros.bags.writer import BagWriter

PATIENCE = 60.0  # s for what is queued when an episode ends: nobody waits for it


@dataclass(frozen=True)
class Wish:
    """Hold what a person wants to be recorded."""

    task: str
    operator: str = ""
    max_seconds: float = 0.0  # 0: no limit


@dataclass
class Running:
    """Hold an episode from its beginning until its bag is whole."""

    wish: Wish
    collection: Collection
    place: Place
    writer: BagWriter
    judge: Judge
    episode: Episode
    began: float = field(default_factory=time.monotonic)
    ended: float | None = None
    trouble: str = ""  # why it is not whole, once it is closed
    wants_picture: bool = True  # of the start, which is still to come
    sized: tuple[float, int] = (0.0, 0)  # s, monotonic clock, and bytes on the disk then

    @property
    def seconds(self) -> float:
        """Return how long it runs, or ran."""
        return (self.ended or time.monotonic()) - self.began

    @property
    def messages(self) -> int:
        """Return how many are in the bag."""
        return sum(self.writer.written.values())

    @property
    def picture(self) -> Path:
        """Return where its start picture belongs."""
        return self.place.path / START_PICTURE

    def size(self) -> int:
        """Return the bytes of the bag on the disk, looked at twice a second at most."""
        if time.monotonic() > self.sized[0] + 0.5:
            with suppress(OSError):
                self.sized = time.monotonic(), self.writer.size
        return self.sized[1]

    def complaints(self) -> list[str]:
        """Return the verdict so far, a line each; once it has ended it remains what it was then."""
        if self.ended is not None:
            return self.episode.complaints
        self.judge.verdict.lost(sum(self.writer.dropped.values()))
        return self.judge.verdict.complaints(time.monotonic())

    def end(self, outcome: str, reason: str, standing: str) -> None:
        """Take nothing more; `outcome`, `reason` and `standing` are those of `Episode`."""
        complaints = self.complaints()
        self.ended = time.monotonic()
        self.episode = replace(self.episode, outcome=outcome, reason=reason, standing=standing, complaints=complaints)

    def close(self, patience: float = PATIENCE) -> None:
        """Make it whole: the bag with its index, its file, all of it on the disk, and then its name.

        `trouble` says afterwards what kept it from that; what is on the disk then stays where it is.
        """
        try:
            self.writer.close(patience)
        except OSError as error:
            self.trouble = str(error)
        self._count()
        try:
            self.episode.written(self.place.path)
            if not self.trouble:
                self.place = self.collection.finish(self.place)
        except OSError as error:
            self.trouble = self.trouble or f"{self.place.path} cannot be made whole: {error}"

    def summary(self) -> str:
        """Return what became of it, in one line."""
        episode = self.episode
        frames = ", ".join(f"{camera} {count}" for camera, count in episode.frames.items())
        verdict = "; ".join(episode.complaints) or "nothing to complain of"
        return (
            f"episode {self.place.number}: {episode.seconds:.1f} s, {episode.messages} messages, frames {frames}; "
            f"{episode.outcome or 'not marked'}, {episode.reason}; {verdict}"
        )

    def _count(self) -> None:
        writer, images = self.writer, self.judge.verdict.images
        cameras = {topic.split("/")[1]: topic for topic in images if topic == color_topic(topic.split("/")[1])}
        lost = sum(writer.dropped.values())
        complaints = [line for line in self.episode.complaints if not line.startswith("recorder: ")]
        if lost:
            complaints.append(f"recorder: {lost} messages dropped, the disk or the processor is too slow")
        with suppress(OSError):
            self.sized = time.monotonic(), writer.size
        self.episode = replace(
            self.episode,
            seconds=round(self.seconds, 3),
            messages=self.messages,
            bytes=self.sized[1],
            frames={camera: writer.written[topic] for camera, topic in cameras.items()},
            rates={camera: round(images[topic].rate, 2) for camera, topic in cameras.items()},
            dropped={topic: count for topic, count in writer.dropped.items() if count},
            complaints=complaints,
            command_source=self.judge.sources,
            firmware=self.judge.firmware,
        )
