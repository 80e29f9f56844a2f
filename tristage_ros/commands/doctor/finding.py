"""What a check found, and how it may look at the machine."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path


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

    def line(self) -> str:
        """Put it in one or two lines."""
        do = f"\n       do: {self.remedy}" if self.remedy else ""
        return f"{self.level.value:4}  {self.name}: {self.text}{do}"


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
