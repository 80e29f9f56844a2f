"""An evaluation: which models, tasks and seeds, and what has been found so far."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean

from tristage_ros.bench.model.timing import Rounds
from tristage_ros.studies.attempt import Attempts
from tristage_ros.studies.cell import Cell, Job, Mode
from tristage_ros.studies.measurements import (
    ROUNDS,
    Deviation,
    Speed,
    Stopwatch,
    deviations,
)
from tristage_ros.studies.pool import Spread, run_jobs
from tristage_ros.studies.progress import SHOWN, Progress
from tristage_ros.studies.protocol import CHOOSING, FIRST_SEED, TRAINED, TRAINED_FROM
from tristage_ros.studies.record import Record
from tristage_ros.studies.store import Models, Store
from tristage_ros.studies.summary import Episodes
from tristage_ros.studies.variant import Variant

_SUFFIX: dict[Mode, str] = {"key frames": "", "continuous": "_continuous"}  # of files


@dataclass(frozen=True)
class Scope:
    """Say what is evaluated."""

    models: Models
    tasks: tuple[str, ...] | None = None  # None: each part's own
    seed: int = FIRST_SEED  # of the first episode of every cell
    episodes: int | None = None  # of every cell; None: each part's own number
    methods: tuple[str, ...] | None = None  # None: each part's own
    rates: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse to report seeds on which settings are chosen or the policy was trained."""
        if self.episodes is not None and self.episodes < 1:
            raise ValueError(f"episodes = {self.episodes} must be at least 1")
        if self.seed < CHOOSING.stop:
            raise ValueError(f"seed = {self.seed} must be at least {CHOOSING.stop}: those below it choose settings")
        if self.seed >= TRAINED_FROM:
            raise ValueError(f"seed = {self.seed} must be below {TRAINED_FROM}: from there on the policy was trained")
        for rate in self.rates or ():
            if not 0.0 < rate < 1.0:
                raise ValueError(f"--rates has {rate:g}; a share of the tokens is between 0 and 1, such as 0.7")


class Study:
    """Run the episodes of parts and look up what came of them."""

    def __init__(
        self,
        scope: Scope,
        folder: Path,
        spread: Spread,
        rounds: Rounds = ROUNDS,
        progress: Progress = SHOWN,
        print_only: bool = False,
    ) -> None:
        """Open the folder of results. With `print_only` speeds that another machine left there are shown as well.

        Raises:
            StoreError: it holds other models'.
        """
        self.scope, self.folder, self.spread, self.rounds, self.progress = scope, folder, spread, rounds, progress
        self.print_only = print_only
        self.store = Store(folder, scope.models)
        self._attempts: dict[str | None, Attempts] = {}
        self.clocked: dict[str, None] = {}  # when and where the speeds were measured that were asked for

    @property
    def tasks(self) -> tuple[str, ...]:
        """Return the tasks of what is not an episode of a table; the first is the one that most of it is about."""
        return self.scope.tasks or TRAINED.tasks

    def run(self, jobs: Iterable[Job]) -> None:
        """Run those episodes that are not finished yet."""
        missing, outcomes = self.store.missing(jobs), list[bool]()

        def note(record: Record) -> str:
            outcomes.append(record.success)
            return f"{100 * fmean(outcomes):.0f} % succeed"

        if missing:
            records = run_jobs(missing, self.scope.models, self.spread)
            for record in self.progress.over("episodes", records, len(missing), note):
                self.store.add(record)

    def seeds(self, episodes: int) -> range:
        """Return the seeds of a cell that has `episodes` unless the scope says otherwise."""
        return range(self.scope.seed, self.scope.seed + (self.scope.episodes or episodes))

    def finished(self, cells: Iterable[Cell], seeds: range) -> Episodes:
        """Return the finished episodes of cells, each of another task."""
        found: dict[tuple[str, int], Record] = {}
        for cell in cells:
            found |= {(cell.task, seed): record for seed, record in self.store.of(cell.name, seeds).items()}
        return found

    def attempts(self, mode: Mode = "key frames") -> Attempts:
        """Return a mode's model and the cell of this process, for what is not an episode of a table."""
        checkpoint = self.scope.models.of(mode)
        if checkpoint not in self._attempts:
            self._attempts[checkpoint] = Attempts(checkpoint)
        return self._attempts[checkpoint]

    def speeds(self, variants: Sequence[Variant], mode: Mode = "key frames") -> dict[str, Speed]:
        """Return how long the variants' control steps take, by name."""
        stopwatch = self.stopwatch(mode)
        found = stopwatch.of(variants)
        self.clocked[stopwatch.measured] = None
        return found

    def stopwatch(self, mode: Mode = "key frames") -> Stopwatch:
        """Return what measures the speeds of a mode, or knows them."""
        file = self.folder / f"speed{_SUFFIX[mode]}.json"
        attempts = partial(self.attempts, mode)
        return Stopwatch(file, attempts, self.tasks[0], mode, self.rounds, self.progress, self.print_only)

    def deviations(self, variants: Sequence[Variant], mode: Mode) -> tuple[dict[str, Deviation], Deviation]:
        """Return how far the variants' goals are from the unpruned policy's, by name, and those from the expert's."""
        return deviations(self.attempts(mode), variants, self.tasks[0], mode, self.progress)

    def close(self) -> None:
        """Close files and rendering contexts."""
        self.store.close()
        for attempts in self._attempts.values():
            attempts.close()
