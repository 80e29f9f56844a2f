"""An evaluation: which models, tasks and seeds, and what has been found so far."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

from tristage_ros.bench.model.timing import Rounds
from tristage_ros.studies.attempt import Attempts
from tristage_ros.studies.cell import Cell, Job, Mode
from tristage_ros.studies.measurements import (
    ROUNDS,
    SEEDS,
    Deviation,
    Speed,
    Stopwatch,
    Thresholds,
    choose,
    deviations,
    load_thresholds,
)
from tristage_ros.studies.pool import Spread, run_jobs
from tristage_ros.studies.progress import SHOWN, Progress
from tristage_ros.studies.store import Models, Record, Store, save_json
from tristage_ros.studies.summary import Episodes
from tristage_ros.studies.variant import UNPRUNED, Variant

TRAINED_FROM = 5_000_000  # the first seed of training, as in config/training.yaml
_SUFFIX: dict[Mode, str] = {"key frames": "", "continuous": "_continuous"}  # of files


@dataclass(frozen=True)
class Scope:
    """Say what is evaluated."""

    models: Models
    tasks: tuple[str, ...]
    seed: int = 9000  # of the first episode of every cell
    episodes: int | None = None  # of every cell; None: each part's own number
    methods: tuple[str, ...] | None = None  # None: each part's own
    rates: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse to report the seeds on which thresholds are chosen."""
        if self.episodes is not None and self.episodes < 1:
            raise ValueError(f"episodes = {self.episodes} must be at least 1")
        if self.seed <= SEEDS[-1]:
            raise ValueError(f"seed = {self.seed} must be above {SEEDS[-1]}: those up to it choose the thresholds")
        if self.seed >= TRAINED_FROM:
            raise ValueError(f"seed = {self.seed} must be below {TRAINED_FROM}: from there on the policy was trained")
        for rate in self.rates or ():
            if not 0.0 < rate < 1.0:
                raise ValueError(f"--rates has {rate:g}; a share of the tokens is between 0 and 1, such as 0.7")


class Study:
    """Run the episodes of parts and look up what came of them."""

    def __init__(
        self, scope: Scope, folder: Path, spread: Spread, rounds: Rounds = ROUNDS, progress: Progress = SHOWN
    ) -> None:
        """Open the folder of results.

        Raises:
            StoreError: it holds other models'.
        """
        self.scope, self.folder, self.spread, self.rounds, self.progress = scope, folder, spread, rounds, progress
        self.store = Store(folder, scope.models)
        self._attempts: dict[str | None, Attempts] = {}
        self._thresholds: dict[Mode, Thresholds] = {}

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

    def attempts(self, mode: Mode = "key frames") -> Attempts:
        """Return a mode's model and the cell of this process, for what is not an episode of a table."""
        checkpoint = self.scope.models.of(mode)
        if checkpoint not in self._attempts:
            self._attempts[checkpoint] = Attempts(checkpoint)
        return self._attempts[checkpoint]

    def thresholds(self, mode: Mode = "key frames") -> Thresholds:
        """Return the thresholds of the calibrated variants; under continuous control by the first task alone."""
        if mode not in self._thresholds:
            known = self.known_thresholds(mode)
            if known is None:
                known = choose(self.attempts(mode), self.tasks_of_thresholds(mode), SEEDS, mode, self.progress)
                save_json(self._thresholds_file(mode), asdict(known))
            self._thresholds[mode] = known
        return self._thresholds[mode]

    def known_thresholds(self, mode: Mode) -> Thresholds | None:
        """Return the thresholds, None where they are still to be chosen."""
        known = self._thresholds.get(mode)
        return known or load_thresholds(self._thresholds_file(mode), self.tasks_of_thresholds(mode))

    def tasks_of_thresholds(self, mode: Mode) -> tuple[str, ...]:
        """Return the tasks whose episodes choose the thresholds."""
        return self.scope.tasks[:1] if mode == "continuous" else self.scope.tasks

    def _thresholds_file(self, mode: Mode) -> Path:
        return self.folder / f"calibration{_SUFFIX[mode]}.json"

    def speeds(self, variants: Sequence[Variant], mode: Mode = "key frames") -> dict[str, Speed]:
        """Return how long the variants' control steps take, by name."""
        return self.stopwatch(mode).of(variants)

    def stopwatch(self, mode: Mode = "key frames") -> Stopwatch:
        """Return what measures the speeds of a mode, or knows them."""
        file, task = self.folder / f"speed{_SUFFIX[mode]}.json", self.scope.tasks[0]
        return Stopwatch(file, lambda: self.attempts(mode), task, mode, self.rounds, self.progress)

    def deviations(self, variants: Sequence[Variant], mode: Mode) -> tuple[dict[str, Deviation], Deviation]:
        """Return how far the variants' goals are from the unpruned policy's, by name, and those from the expert's."""
        return deviations(self.attempts(mode), variants, self.scope.tasks[0], mode, self.progress)

    def close(self) -> None:
        """Close files and rendering contexts."""
        self.store.close()
        for attempts in self._attempts.values():
            attempts.close()
