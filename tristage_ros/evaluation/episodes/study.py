"""An evaluation: which model, tasks and seeds, and what has been found so far."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tristage_ros.evaluation.bench.timing import Rounds
from tristage_ros.evaluation.episodes.attempt import Attempts
from tristage_ros.evaluation.episodes.cell import Cell, Job, Mode
from tristage_ros.evaluation.episodes.pool import Spread, run_jobs
from tristage_ros.evaluation.episodes.record import Record
from tristage_ros.evaluation.episodes.speed import ROUNDS, Speed, Stopwatch
from tristage_ros.evaluation.episodes.store import Store
from tristage_ros.evaluation.episodes.summary import Episodes
from tristage_ros.evaluation.episodes.thresholds import SEEDS, Thresholds, load_or_choose
from tristage_ros.evaluation.episodes.variant import UNPRUNED, Variant

Progress = Callable[[Iterable[Record], int], Iterable[Record]]  # shows how far a run of so many episodes has come


@dataclass(frozen=True)
class Scope:
    """Say what is evaluated."""

    checkpoint: str | None
    tasks: tuple[str, ...]
    seed: int = 9000  # of the first episode of every cell
    episodes: int | None = None  # of every cell; None: each part's own number
    methods: tuple[str, ...] = ()
    rates: tuple[float, ...] = (0.7,)

    def __post_init__(self) -> None:
        """Refuse to report the seeds on which thresholds are chosen."""
        if self.episodes is not None and self.episodes < 1:
            raise ValueError(f"episodes = {self.episodes} must be at least 1")
        if self.seed <= SEEDS[-1]:
            raise ValueError(f"seed = {self.seed} must be above {SEEDS[-1]}: those up to it choose the thresholds")
        for rate in self.rates:
            if not 0.0 < rate < 1.0:
                raise ValueError(f"rate = {rate} must be between 0 and 1")


class Study:
    """Run the episodes of parts and look up what came of them."""

    def __init__(self, scope: Scope, folder: Path, spread: Spread, rounds: Rounds = ROUNDS) -> None:
        """Open the folder of results.

        Raises:
            StoreError: it holds another model's.
        """
        self.scope, self.folder, self.spread, self.rounds = scope, folder, spread, rounds
        self.store = Store(folder, scope.checkpoint)

    def run(self, jobs: Iterable[Job], progress: Progress) -> None:
        """Run those episodes that are not finished yet."""
        missing = self.store.missing(jobs)
        if missing:
            for record in progress(run_jobs(missing, self.scope.checkpoint, self.spread), len(missing)):
                self.store.add(record)

    def seeds(self, episodes: int) -> range:
        """Return the seeds of a cell that has `episodes` unless the scope says otherwise."""
        return range(self.scope.seed, self.scope.seed + (self.scope.episodes or episodes))

    def episodes(
        self,
        tasks: Sequence[str],
        episodes: int,
        variant: Variant = UNPRUNED,
        mode: Mode = "key frames",
        condition: str = "plain",
    ) -> Episodes:
        """Return the finished episodes of a variant at tasks."""
        found: dict[tuple[str, int], Record] = {}
        for task in tasks:
            cell = Cell(task, variant, mode, condition).name
            found |= {(task, seed): record for seed, record in self.store.of(cell, self.seeds(episodes)).items()}
        return found

    @cached_property
    def attempts(self) -> Attempts:
        """Return the model and the cell of this process, for what is not an episode of a table."""
        return Attempts(self.scope.checkpoint)

    @cached_property
    def thresholds(self) -> Thresholds:
        """Return the thresholds of the calibrated variants."""
        return load_or_choose(self.folder / "calibration.json", self.attempts, self.scope.tasks)

    def speeds(self, variants: Sequence[Variant]) -> dict[str, Speed]:
        """Return how long the variants' control steps take, by name."""
        watch = Stopwatch(self.folder / "speed.json", self.attempts, self.scope.tasks[0], self.rounds)
        return watch.of(variants)

    def close(self) -> None:
        """Close files and rendering contexts."""
        self.store.close()
        if "attempts" in self.__dict__:
            self.attempts.close()
