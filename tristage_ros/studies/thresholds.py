"""Thresholds of stage 1 for a trained model, chosen on episodes that no table reports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tristage_ros.pruning.calibration import TraceStep, calibrate
from tristage_ros.studies.attempt import Attempts
from tristage_ros.studies.cell import Cell, Mode
from tristage_ros.studies.expert import expert_observations
from tristage_ros.studies.files import load, save
from tristage_ros.studies.salience_trace import record_trace
from tristage_ros.studies.variant import Variant

SEEDS = range(7000, 7010)  # of every task
# What to prune in those episodes, best first; the first that thresholds can reach is taken.
RATES = [percent / 100 for percent in sorted(range(5, 100, 5), key=lambda percent: abs(percent - 70))]
ROBOT = Variant("tristage", None, True, "robot")


@dataclass(frozen=True)
class Thresholds:
    """Hold the thresholds and how they were chosen."""

    tau_2d: float
    tau_3d: float
    rate: float  # share of visual tokens that the stages prune with them, without budget and guard
    mean_of_all: float  # of M_3d of stage 1 over all patches, those without 3D tokens counted as 0
    mean_of_bearing: float  # over patches with 3D tokens
    tasks: tuple[str, ...]
    seeds: tuple[int, int]  # first and last
    preset: str = ""  # key of the variant that they are for

    @property
    def settings(self) -> tuple[tuple[str, float], ...]:
        """Return them as settings of a variant."""
        return ("tau_2d", round(self.tau_2d, 4)), ("tau_3d", round(self.tau_3d, 4))


def load_or_choose(path: Path, attempts: Callable[[], Attempts], tasks: Sequence[str], mode: Mode) -> Thresholds:
    """Return the thresholds written down in `path`, or choose them and write them down there.

    What was chosen on other tasks, on other seeds or for another robot preset is chosen anew.
    """
    if path.exists():
        data = load(path)
        known = Thresholds(**data | {"tasks": tuple(data["tasks"]), "seeds": tuple(data["seeds"])})
        if (known.tasks, known.seeds, known.preset) == (tuple(tasks), (SEEDS[0], SEEDS[-1]), ROBOT.key):
            return known
    chosen = choose(attempts(), tasks, SEEDS, mode)
    save(path, asdict(chosen))
    return chosen


def choose(attempts: Attempts, tasks: Sequence[str], seeds: range = SEEDS, mode: Mode = "key frames") -> Thresholds:
    """Choose thresholds such that the stages of the robot preset prune as near to 70 % as they can.

    What is looked at are the expert's episodes, all tokens kept.
    """
    policy = attempts.policy(ROBOT.pruner(seeds[0]), seeds[0])
    trace: list[TraceStep] = []
    for task in tasks:
        for seed in seeds:
            episode = attempts.episode(Cell(task), seed)
            first, *rest = record_trace(policy, episode.task.instruction, expert_observations(episode, mode))
            trace += [replace(first, begins=True), *rest]
    for rate in RATES:
        try:
            found = calibrate(trace, policy.pruner.config, rate)
        except ValueError:  # out of reach
            continue
        config = found.config
        return Thresholds(
            config.tau_2d, config.tau_3d, found.after.rate, found.mean_of_all, found.mean_of_bearing,
            tuple(tasks), (seeds[0], seeds[-1]), ROBOT.key,
        )  # fmt: skip
    raise ValueError(f"no thresholds of stage 1 prune between {min(RATES):.0%} and {max(RATES):.0%} of these episodes")
