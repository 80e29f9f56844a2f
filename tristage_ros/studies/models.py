"""Which weights act in which mode."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from tristage_ros.resources import find_checkpoint
from tristage_ros.studies.cell import Mode


@dataclass(frozen=True)
class Models:
    """Name the checkpoints that act key frame by key frame and under continuous control; None: random weights."""

    key_frames: str | None
    continuous: str | None

    @staticmethod
    def called(name: str) -> Models:
        """Return what a `checkpoint` setting means: empty the two shipped minis, otherwise one for both modes.

        Raises:
            FileNotFoundError: there is nothing at the path.
        """
        return Models(find_checkpoint(name), find_checkpoint(name, continuous=True))

    def of(self, mode: Mode) -> str | None:
        """Return the checkpoint of a mode."""
        return self.continuous if mode == "continuous" else self.key_frames

    def described(self, mode: Mode) -> str:
        """Return the name of a mode's checkpoint and what tells it from others, for print.

        Raises:
            OSError: it cannot be read.
        """
        path = self.of(mode)
        return "RANDOM WEIGHTS" if path is None else f"{Path(path).name} ({fingerprint(path)})"


def fingerprint(checkpoint: str) -> str:
    """Return a digest of a checkpoint file."""
    return hashlib.sha256(Path(checkpoint).read_bytes()).hexdigest()[:16]
