"""What a check finds, and where it looks."""

from __future__ import annotations

import os
import re
import subprocess
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

_TO_COPY = re.compile(r"sudo [^;]*|C_Piper\S*\([^)]*\)")  # what is typed has to stay on one line
_INDENT = " " * 6


class Level(Enum):
    """Say how bad it is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """Hold the result of one check."""

    name: str
    level: Level
    text: str
    remedy: str = ""  # what to do, for all that is not OK

    def line(self, columns: int | None = None) -> str:
        """Put it in words: what was found, below it what to do.

        Args:
            columns: of the terminal; None: each of the two is one line, however long.
        """
        parts = [f"{self.level.value:4}  {self.name}: {self.text}"]
        if self.remedy:
            parts.append(f"{_INDENT} do: {self.remedy}")
        return "\n".join(line for part in parts for line in _wrapped(part, columns))


def _wrapped(text: str, columns: int | None) -> list[str]:
    """Return lines of at most so many columns; a command is never broken."""
    if columns is None:
        return [text]
    kept = _TO_COPY.sub(lambda found: found.group().replace(" ", "\0"), text)
    begins = len(kept) - len(kept.lstrip())
    hanging = _INDENT + " " * (5 if begins else 0)
    lines = textwrap.wrap(kept, columns, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False)
    return [line.replace("\0", " ") for line in lines]


def ask(command: Sequence[str]) -> str | None:
    """Return what a command of the system prints, None when it is missing or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10.0, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


@dataclass(frozen=True)
class Machine:
    """Say where a check looks; replaced where there is no such machine."""

    root: Path = Path("/")
    ask: Callable[[Sequence[str]], str | None] = ask
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))


def usb_attribute(device: Path, attribute: str) -> str:
    """Return what the kernel says of a USB device, "" where it says nothing."""
    try:
        return (device / attribute).read_text().strip()
    except OSError:
        return ""
