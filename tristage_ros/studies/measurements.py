"""What is measured on episodes that the expert leads: thresholds, speed, and how far pruning moves the goal.

Everything that is compared sees the same observations. They are of seeds (SEEDS) that no table reports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tristage_ros import __version__
from tristage_ros.bench.model.table import ratio
from tristage_ros.bench.model.timing import Rounds, alternate, describe, medians, one_thread
from tristage_ros.mla.passes import ENGINES
from tristage_ros.mla.policy import MlaPolicy
from tristage_ros.mla.values import Action, Observation
from tristage_ros.pruning.calibration import TraceStep, calibrate
from tristage_ros.pruning.config import Feature
from tristage_ros.simulation.closed_loop import ClosedLoop
from tristage_ros.simulation.episode import Episode
from tristage_ros.studies.attempt import Attempts
from tristage_ros.studies.cell import Cell, Mode
from tristage_ros.studies.progress import QUIET, Progress
from tristage_ros.studies.salience_trace import record_trace
from tristage_ros.studies.store import load_json, save_json
from tristage_ros.studies.variant import UNPRUNED, Variant


def expert_steps(episode: Episode, mode: Mode = "key frames") -> Iterator[tuple[Observation, Action]]:
    """Yield what is seen before every action of the expert, and what the expert then goes for, until it is done."""
    if mode == "continuous":
        loop = ClosedLoop(episode)
        while not loop.finished:
            action = episode.guidance()
            yield episode.observe(), action
            loop.step(action)
        return
    while not episode.finished:
        action = episode.expert()
        yield episode.observe(), action
        episode.step(action)


def expert_observations(episode: Episode, mode: Mode = "key frames") -> Iterator[Observation]:
    """Yield what is seen before every action of the expert."""
    return (observation for observation, _ in expert_steps(episode, mode))


def traces_of_episodes(
    attempts: Attempts,
    tasks: Sequence[str],
    seeds: range,
    mode: Mode,
    features: Sequence[Feature],
    progress: Progress = QUIET,
) -> dict[Feature, list[TraceStep]]:
    """Return what every step of the expert's episodes of `tasks` shows of all its tokens, by feature."""
    policy = attempts.policy(UNPRUNED.pruner(seeds[0]), seeds[0])
    traces: dict[Feature, list[TraceStep]] = {feature: [] for feature in features}
    scenes = [(task, seed) for task in tasks for seed in seeds]
    for task, seed in progress.over("episodes that are looked at", scenes, len(scenes)):
        episode = attempts.episode(Cell(task), seed)
        observations = list(expert_observations(episode, mode))
        for feature, trace in traces.items():
            first, *rest = record_trace(policy, episode.task.instruction, observations, feature)
            trace += [replace(first, begins=True), *rest]
    return traces


# Thresholds of stage 1 for a trained model.

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


def load_thresholds(path: Path, tasks: Sequence[str]) -> Thresholds | None:
    """Return the thresholds written down in `path`; None where they are of other tasks, seeds or another preset."""
    if not path.exists():
        return None
    data = load_json(path)
    known = Thresholds(**data | {"tasks": tuple(data["tasks"]), "seeds": tuple(data["seeds"])})
    same = (known.tasks, known.seeds, known.preset) == (tuple(tasks), (SEEDS[0], SEEDS[-1]), ROBOT.key)
    return known if same else None


def choose(
    attempts: Attempts,
    tasks: Sequence[str],
    seeds: range = SEEDS,
    mode: Mode = "key frames",
    progress: Progress = QUIET,
) -> Thresholds:
    """Choose thresholds such that the stages of the robot preset prune as near to 70 % as they can.

    What is looked at are the expert's episodes, all tokens kept.
    """
    pruner = ROBOT.pruner(seeds[0])
    feature = pruner.config.s1_feature
    trace = traces_of_episodes(attempts, tasks, seeds, mode, [feature], progress)[feature]
    settings = pruner.config.carried(attempts.scales.get(feature))
    for rate in RATES:
        try:
            found = calibrate(trace, settings, rate)
        except ValueError:  # out of reach
            continue
        config = found.config
        return Thresholds(
            config.tau_2d, config.tau_3d, found.after.rate, found.mean_of_all, found.mean_of_bearing,
            tuple(tasks), (seeds[0], seeds[-1]), ROBOT.key,
        )  # fmt: skip
    raise ValueError(f"no thresholds of stage 1 prune between {min(RATES):.0%} and {max(RATES):.0%} of these episodes")


# Speed: every way to prune in turn, both engines, one thread.

ROUNDS = Rounds(measured=12, warm_up=4)


@dataclass(frozen=True)
class Speed:
    """Hold the median milliseconds of a control step by engine, and the unpruned step's of the same measurement."""

    ms: dict[str, float]
    unpruned_ms: dict[str, float]

    def over_unpruned(self, engine: str) -> float:
        """Return how many times faster it is than the unpruned step of the same engine."""
        return self.unpruned_ms[engine] / self.ms[engine]

    def described(self, engine: str, pruned: float) -> tuple[str, str, str]:
        """Return milliseconds, how much faster a pruned step is, and an episode of which a share is `pruned` steps."""
        whole = 1 / (pruned / self.over_unpruned(engine) + 1 - pruned)
        return f"{self.ms[engine]:.0f}", ratio(self.over_unpruned(engine)), ratio(whole)


class Stopwatch:
    """Measure variants, all of a table in one run; measurements are kept in a file."""

    def __init__(
        self,
        path: Path,
        attempts: Callable[[], Attempts],
        task: str,
        mode: Mode,
        rounds: Rounds = ROUNDS,
        progress: Progress = QUIET,
    ) -> None:
        """Keep figures in `path`; observe an episode of `task` that the expert leads in `mode`."""
        self._path, self._attempts, self._task, self._mode, self._rounds = path, attempts, task, mode, rounds
        self._progress = progress
        machine = describe(torch.device("cpu"), "float32")
        self.made = {"cpu": machine["cpu"], "software": machine["software"], "version": __version__, "task": task}

    def of(self, variants: Sequence[Variant]) -> dict[str, Speed]:
        """Return the speeds by the variants' names, from one measurement that has all of them."""
        wanted = list(dict.fromkeys([UNPRUNED, *variants]))
        times = self._kept(wanted)
        if times is None:
            times = self._measure(wanted)
            save_json(self._path, [*self._known(), {"made": self.made, "ms": times}])
        return {variant.name: Speed(times[variant.key], times[UNPRUNED.key]) for variant in wanted}

    def steps(self, variants: Sequence[Variant]) -> int:
        """Return how many control steps are to be timed; none where one measurement has all of them."""
        wanted = list(dict.fromkeys([UNPRUNED, *variants]))
        return 0 if self._kept(wanted) else len(wanted) * len(ENGINES) * self._rounds.total

    def _known(self) -> list[Any]:
        return list(load_json(self._path)) if self._path.exists() else []

    def _kept(self, wanted: Sequence[Variant]) -> dict[str, dict[str, float]] | None:
        mine = (m["ms"] for m in self._known() if m["made"] == self.made)
        return next((ms for ms in mine if all(v.key in ms for v in wanted)), None)

    def _measure(self, variants: list[Variant]) -> dict[str, dict[str, float]]:
        """Return the milliseconds by the variants' keys and by engine."""
        attempts = self._attempts()
        episode = attempts.episode(Cell(self._task), SEEDS[0])
        instruction, observations = episode.task.instruction, list(expert_observations(episode, self._mode))
        calls: dict[str, Callable[[int], object]] = {}
        for variant in variants:
            for engine in ENGINES:
                pruner = variant.pruner(SEEDS[0])
                policy = attempts.policy(pruner, SEEDS[0], engine, variant.denoising)
                policy.reset(instruction)
                calls[f"{variant.key}/{engine}"] = partial(_step, policy, observations)
        total = len(calls) * self._rounds.total
        with one_thread(), self._progress.stage("control steps timed", total) as advance:
            times = medians(alternate(calls, self._rounds, torch.device("cpu"), lambda name: advance("")))
        return {v.key: {engine: times[f"{v.key}/{engine}"] for engine in ENGINES} for v in variants}


def _step(policy: MlaPolicy, observations: list[Observation], index: int) -> None:
    policy.act(observations[index % len(observations)])


# How far pruning moves the goal, beside the unpruned policy's.

EPISODES = 3  # of the expert


@dataclass(frozen=True)
class Deviation:
    """Hold how far a variant's goals are from the unpruned policy's, in m, one number per control step."""

    distances: tuple[float, ...]

    def __str__(self) -> str:
        """Return median and 90 % quantile for print, mm."""
        middle, most = 1e3 * np.quantile(self.distances, (0.5, 0.9))
        return f"{middle:.1f}, {most:.0f}"


def deviations(
    attempts: Attempts, variants: Sequence[Variant], task: str, mode: Mode, progress: Progress = QUIET
) -> tuple[dict[str, Deviation], Deviation]:
    """Return the variants' deviations by name, and that of the unpruned policy from the expert who leads.

    All begin with the same noise and see the same episodes of `task` in `mode`; each prunes by what it kept itself.
    """
    episodes = (attempts.episode(Cell(task), seed) for seed in SEEDS[:EPISODES])
    with one_thread():
        watched = [(episode.task.instruction, *zip(*expert_steps(episode, mode), strict=True)) for episode in episodes]
        shown = [(instruction, observations) for instruction, observations, _ in watched]
        unpruned = _goals(attempts, UNPRUNED, shown)
        expert = np.array([action.translation[0] for *_, actions in watched for action in actions])
        rows = list(dict.fromkeys(variants))
        watching = progress.over("rows whose goals are compared", rows, len(rows))
        found = {v.name: _deviation(_goals(attempts, v, shown), unpruned) for v in watching}
    return found, _deviation(unpruned, expert)


def _goals(
    attempts: Attempts, variant: Variant, shown: Sequence[tuple[str, Sequence[Observation]]]
) -> NDArray[np.float64]:
    """Return the first goal of every action, relative to the tool, [steps, 3] m."""
    policy = attempts.policy(variant.pruner(SEEDS[0]), SEEDS[0], denoising=variant.denoising)
    goals = []
    for instruction, observations in shown:
        policy.reset(instruction)
        goals += [policy.act(observation)[0].translation[0] for observation in observations]
    return np.array(goals)


def _deviation(goals: NDArray[np.float64], reference: NDArray[np.float64]) -> Deviation:
    return Deviation(tuple(np.linalg.norm(goals - reference, axis=1).tolist()))
