"""Room on the disk: is there enough for an episode, and how long does it last."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

TYPICAL_RATE, TYPICAL_SECONDS = 2.5e6, 60.0  # bytes/s of two cameras at 15 Hz, s: where nothing is known
FROM = 2.0  # s of an episode from which on its rate counts


@dataclass
class Room:
    """Watch the disk under a folder, of which `keep` bytes stay free."""

    keep: int
    rate: float = TYPICAL_RATE  # bytes per second of an episode

    def free(self, folder: Path) -> float:
        """Return how many bytes may still be written; the folder need not be there yet.

        Raises:
            OSError: the disk does not tell.
        """
        folder = folder.resolve()
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        return float(shutil.disk_usage(existing).free - self.keep)

    def require(self, folder: Path, seconds: float) -> None:
        """Refuse an episode that the disk would not hold; `seconds` of 0 are not limited.

        Raises:
            OSError: it would not.
        """
        free, needed = self.free(folder), self.rate * (seconds or TYPICAL_SECONDS)
        if free < needed:
            raise OSError(
                f"the disk has {max(free, 0.0) / 1e6:.0f} MB beside the {self.keep / 1e6:.0f} MB that stay free, an "
                f"episode takes {needed / 1e6:.0f} MB; make room, or give another folder"
            )

    def learn(self, size: int, seconds: float) -> None:
        """Take how many bytes an episode has after so many seconds."""
        if size and seconds > FROM:
            self.rate = size / seconds
