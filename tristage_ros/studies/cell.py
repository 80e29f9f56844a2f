"""One cell of a table: a task under one way to prune; and one episode of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from tristage_ros.studies.variant import UNPRUNED, Variant

Mode = Literal["key frames", "continuous"]
MODES: tuple[Mode, ...] = get_args(Mode)


@dataclass(frozen=True)
class Cell:
    """Name what is done in every episode; `condition` is a key of CONDITIONS."""

    task: str
    variant: Variant = UNPRUNED
    mode: Mode = "key frames"
    condition: str = "plain"

    @property
    def name(self) -> str:
        """Return a name that no other cell has and that stays the same from run to run."""
        return f"{self.task} | {self.mode} | {self.condition} | {self.variant.key}"


@dataclass(frozen=True)
class Job:
    """Name one episode: that of `seed`, the same scene in every cell of a task."""

    cell: Cell
    seed: int
