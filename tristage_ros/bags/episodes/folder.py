"""The folder of a collection: `0001`, `0002`, ... each with a bag that is whole, and what was cut off beside them.

An episode lies in `0001.unfinished` until it is whole and on the disk; then the folder gets its name. So a crash costs
the one that runs, at most, and what is left of it can be read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tristage_ros.bags.episodes.episode import BAG, START_PICTURE, Episode, EpisodeError

UNFINISHED = ".unfinished"
_NAME = re.compile(rf"(\d{{4,}})({re.escape(UNFINISHED)})?")


@dataclass(frozen=True)
class Place:
    """Name the folder of one episode."""

    number: int
    path: Path

    @property
    def bag(self) -> Path:
        """Return where its bag is."""
        return self.path / BAG

    @property
    def is_whole(self) -> bool:
        """Return whether it ended and all of it is on the disk."""
        return self.path.suffix != UNFINISHED

    def read(self) -> Episode:
        """Return what is known of it.

        Raises:
            EpisodeError: its file is missing or wrong.
        """
        return Episode.read(self.path)


class Collection:
    """A folder of episodes; nothing in it is ever deleted or written over."""

    def __init__(self, path: str | Path) -> None:
        """Name the folder, which need not be there yet."""
        self.path = Path(path)

    def places(self) -> list[Place]:
        """Return the episodes by their numbers."""
        return sorted(self._found(), key=lambda place: (place.number, place.is_whole))

    def place(self, number: int) -> Place:
        """Return an episode.

        Raises:
            EpisodeError: there is none of that number.
        """
        places = [place for place in self.places() if place.number == number]
        if not places:
            numbers = sorted({place.number for place in self._found()})
            there = f"it has {numbers[0]} to {numbers[-1]}" if numbers else "it has none"
            raise EpisodeError(f"{self.path} has no episode {number}; {there}")
        return places[-1]

    def begin(self) -> Place:
        """Make the folder of the next episode, with the next number.

        Raises:
            OSError: it cannot be made.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        number = max((place.number for place in self._found()), default=0) + 1
        path = self.path / f"{number:04d}{UNFINISHED}"
        path.mkdir()
        return Place(number, path)

    def finish(self, place: Place) -> Place:
        """Bring an episode to the disk and give its folder the name of a whole one.

        Raises:
            OSError: it cannot be brought there; the folder keeps its name.
        """
        for path in (*place.path.rglob("*"), place.path):
            _flush(path)
        whole = Place(place.number, self.path / f"{place.number:04d}")
        place.path.rename(whole.path)
        _flush(self.path)
        return whole

    def start_picture(self, number: int = 0) -> Path | None:
        """Return the start picture of an episode, of the newest that has one where `number` is 0."""
        for place in reversed(self.places()):
            picture = place.path / START_PICTURE
            if number in (0, place.number) and picture.is_file():
                return picture
        return None

    def _found(self) -> Iterator[Place]:
        try:
            names = os.listdir(self.path)
        except FileNotFoundError:
            return
        for name in names:
            if match := _NAME.fullmatch(name):
                yield Place(int(match[1]), self.path / name)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
