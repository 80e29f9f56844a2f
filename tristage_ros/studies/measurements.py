"""What is measured on episodes that the expert leads: speed, and how far pruning moves the goal.

Everything that is compared sees the same observations. They are of seeds (SEEDS) that no table reports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tristage_ros import __version__
from tristage_ros.bench.model.timing import Rounds, alternate, describe, medians, one_thread
from tristage_ros.mla.engines import ENGINES
from tristage_ros.mla.policy import MlaPolicy
from tristage_ros.mla.values import Action, Observation
from tristage_ros.pruning.calibration import TraceStep
from tristage_ros.pruning.config import Feature
from tristage_ros.simulation.closed_loop import ClosedLoop
from tristage_ros.simulation.episode import Episode
from tristage_ros.studies.attempt import Attempts
from tristage_ros.studies.cell import Cell, Mode
from tristage_ros.studies.progress import QUIET, Progress
from tristage_ros.studies.protocol import CHOOSING
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


SEEDS = CHOOSING[:10]  # of the episodes that are looked at
ROBOT = Variant("tristage", None, True, "robot")


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

    def as_pruned(self, engine: str, share: float) -> float:
        """Return the mean milliseconds of control steps of which a share is pruned, the others are not."""
        return share * self.ms[engine] + (1 - share) * self.unpruned_ms[engine]


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
        elsewhere: bool = False,
    ) -> None:
        """Keep figures in `path`; observe an episode of `task` that the expert leads in `mode`.

        With `elsewhere` figures of another machine do as well, where there are none of this one.
        """
        self._elsewhere, self.measured = elsewhere, ""  # when and where what `of` returned last was measured
        self._path, self._attempts, self._task, self._mode, self._rounds = path, attempts, task, mode, rounds
        self._progress = progress
        machine = describe(torch.device("cpu"), "float32")
        self.made = {"cpu": machine["cpu"], "software": machine["software"], "version": __version__, "task": task}

    def of(self, variants: Sequence[Variant]) -> dict[str, Speed]:
        """Return the speeds by the variants' names, from one measurement that has all of them."""
        wanted = list(dict.fromkeys([UNPRUNED, *variants]))
        kept = self._kept(wanted)
        if kept is None:
            kept = {"made": self.made, "date": f"{datetime.now(timezone.utc):%Y-%m-%d}", "ms": self._measure(wanted)}
            save_json(self._path, [*self._known(), kept])
        times, made = kept["ms"], kept["made"]
        self.measured = f"{kept['date']}, {made['cpu']}, {made['software']}"
        return {variant.name: Speed(times[variant.key], times[UNPRUNED.key]) for variant in wanted}

    def steps(self, variants: Sequence[Variant]) -> int:
        """Return how many control steps are to be timed; none where one measurement has all of them."""
        wanted = list(dict.fromkeys([UNPRUNED, *variants]))
        return 0 if self._kept(wanted) else len(wanted) * len(ENGINES) * self._rounds.total

    def _known(self) -> list[Any]:
        return list(load_json(self._path)) if self._path.exists() else []

    def _kept(self, wanted: Sequence[Variant]) -> dict[str, Any] | None:
        """Return the newest measurement that has all of `wanted`, one of this machine first."""
        complete = [m for m in reversed(self._known()) if all(variant.key in m["ms"] for variant in wanted)]
        mine = [m for m in complete if m["made"] == self.made]
        return next(iter(mine or (complete if self._elsewhere else [])), None)

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
                calls[f"{variant.key}/{engine}"] = partial(_step, policy, observations, variant.looks == "arrival")
        total = len(calls) * self._rounds.total
        with one_thread(), self._progress.stage("control steps timed", total) as advance:
            times = medians(alternate(calls, self._rounds, torch.device("cpu"), lambda name: advance("")))
        return {v.key: {engine: times[f"{v.key}/{engine}"] for engine in ENGINES} for v in variants}


def _step(policy: MlaPolicy, observations: list[Observation], looks: bool, index: int) -> None:
    """Take a step, as long as the arm waits for it: looks on its way cost no waiting, one on arrival does."""
    observation = observations[index % len(observations)]
    if looks:
        policy.look(observation)
    policy.act(observation)


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
