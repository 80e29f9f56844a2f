"""One episode as a person sees it: the file `episode.yaml` beside its bag, written whole or not at all."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import yaml

from tristage_ros.resources import read_text
from tristage_ros.words import one_line, shown
from tristage_ros.yaml_text import parse

SIDECAR, BAG = "episode.yaml", "bag"
START_PICTURE, CAMERAS_FILE, SITE_FILE = "start.png", "cameras.yaml", "site.yaml"
SUCCESS, FAILURE, UNMARKED = "success", "failure", ""
OUTCOMES = (SUCCESS, FAILURE, UNMARKED)
KEPT, REDONE, DISCARDED = "kept", "redone", "discarded"
STANDINGS = (KEPT, REDONE, DISCARDED)


class EpisodeError(ValueError):
    """Say what is wrong with an episode, or with what was asked of it; the message is one line for a person."""


@dataclass(frozen=True)
class Episode:
    """Hold what is known of an episode beside its messages; all of it is in its file."""

    task: str = ""  # the instruction
    operator: str = ""
    outcome: str = UNMARKED  # whether it succeeded
    reason: str = ""  # why it ended; empty: it runs, or was cut off
    standing: str = KEPT  # whether it is to be used; nothing is deleted
    began: str = ""  # UTC
    stamp: float = 0.0  # s, ROS time, when it began
    seconds: float = 0.0
    messages: int = 0
    bytes: int = 0
    frames: dict[str, int] = field(default_factory=dict)  # colour images in the bag, by camera
    rates: dict[str, float] = field(default_factory=dict)  # Hz, by camera
    dropped: dict[str, int] = field(default_factory=dict)  # messages that were not written, by topic
    complaints: list[str] = field(default_factory=list)  # the verdict
    command_source: list[str] = field(default_factory=list)  # who could move the arm, in order
    firmware: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    trim: list[float] = field(default_factory=list)  # s from the beginning: from and to; empty: all of it
    others: dict[str, Any] = field(default_factory=dict)  # keys that are not ours

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            EpisodeError: a value is of another kind, or none of those that there are.
        """
        for part in fields(self):
            value, kind = getattr(self, part.name), type(getattr(_BLANK, part.name, None)) if _BLANK else None
            if kind is float and isinstance(value, int) and not isinstance(value, bool):
                continue
            if kind and not isinstance(value, kind):
                raise EpisodeError(f"{part.name} is {shown(value)}; write a {kind.__name__}")
        for name, choices in (("outcome", OUTCOMES), ("standing", STANDINGS)):
            if getattr(self, name) not in choices:
                known = ", ".join(choice or "''" for choice in choices)
                raise EpisodeError(f"{name} is {shown(getattr(self, name))}; write one of {known}")
        if self.trim:
            _check_trim(self.trim)

    @property
    def span(self) -> tuple[float, float]:
        """Return from when to when it is to be used, s from its beginning."""
        return (self.trim[0], self.trim[1]) if self.trim else (0.0, self.seconds)

    def marked(self, mark: str) -> Episode:
        """Return it with what a person says of it: success, failure, or discard.

        Raises:
            EpisodeError: it is another word.
        """
        if mark == "discard":
            return replace(self, standing=DISCARDED)
        if mark not in (SUCCESS, FAILURE):
            raise EpisodeError(f"{shown(mark)} is no mark; choose success, failure or discard")
        return replace(self, outcome=mark, standing=KEPT)

    def trimmed(self, begin: float, end: float) -> Episode:
        """Return it marked to be used from `begin` to `end`, s from its beginning; all of it: without a mark.

        Raises:
            EpisodeError: that is no part of it.
        """
        end = min(end, self.seconds) if self.seconds else end
        if begin <= 0.0 and end >= self.seconds:
            return replace(self, trim=[])
        _check_trim([begin, end])
        return replace(self, trim=[round(begin, 3), round(end, 3)])

    def written(self, folder: Path) -> None:
        """Write the file in `folder`, in the place of one that is there; it is on the disk afterwards.

        Raises:
            OSError: it cannot be written; the one before is left as it was.
        """
        content = asdict(self)
        content |= content.pop("others")
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
        temporary = folder / f".{SIDECAR}.{os.getpid()}"
        try:
            with temporary.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(folder / SIDECAR)
        except OSError:
            with suppress(OSError):
                temporary.unlink()
            raise

    @staticmethod
    def read(folder: Path) -> Episode:
        """Return what the file in `folder` says.

        Raises:
            EpisodeError: there is none, or it is wrong.
        """
        path = folder / SIDECAR
        try:
            return _of(parse(read_text(path)))
        except OSError as error:
            raise EpisodeError(f"{path} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise EpisodeError(f"{path}: {one_line(error)}") from error


_BLANK: Episode | None = None
_BLANK = Episode()


def _of(content: Any) -> Episode:
    if not isinstance(content, Mapping):
        raise ValueError(f"it holds {shown(content)}, not keys and values")
    known = {part.name for part in fields(Episode)} - {"others"}
    ours = {name: value for name, value in content.items() if name in known}
    return Episode(**ours, others={str(name): value for name, value in content.items() if name not in known})


def _check_trim(trim: list[float]) -> None:
    numbers = [n for n in trim if isinstance(n, (int, float)) and not isinstance(n, bool) and math.isfinite(n)]
    if len(trim) != 2 or len(numbers) != 2 or not 0.0 <= trim[0] < trim[1]:
        raise EpisodeError(f"trim is {shown(trim)}; give two times in s from the beginning, the later one last")
