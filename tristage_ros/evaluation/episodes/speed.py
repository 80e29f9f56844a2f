"""How long control steps take: every way to prune in turn, on the same observations, both engines, one thread."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from tristage_ros.evaluation.bench.timing import Rounds, alternate, medians, one_thread
from tristage_ros.evaluation.episodes.attempt import Attempts
from tristage_ros.evaluation.episodes.cell import Cell, Mode
from tristage_ros.evaluation.episodes.expert import expert_observations
from tristage_ros.evaluation.episodes.thresholds import SEEDS
from tristage_ros.evaluation.episodes.variant import UNPRUNED, Variant
from tristage_ros.mla.engine import ENGINES
from tristage_ros.mla.policy import MlaPolicy
from tristage_ros.mla.values import Observation

ROUNDS = Rounds(measured=12, warm_up=4)


@dataclass(frozen=True)
class Speed:
    """Hold the median milliseconds of a control step by engine, and the unpruned step's of the same measurement."""

    ms: dict[str, float]
    unpruned_ms: dict[str, float]

    def over_unpruned(self, engine: str) -> float:
        """Return how many times faster it is than the unpruned step of the same engine."""
        return self.unpruned_ms[engine] / self.ms[engine]


class Stopwatch:
    """Measure variants, those not measured before; what was found is kept in a file."""

    def __init__(
        self, path: Path, attempts: Callable[[], Attempts], task: str, mode: Mode, rounds: Rounds = ROUNDS
    ) -> None:
        """Keep figures in `path`; observe an episode of `task` that the expert leads in `mode`."""
        self._path, self._attempts, self._task, self._mode, self._rounds = path, attempts, task, mode, rounds
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        self._known = {name: Speed(**speed) for name, speed in known.items()}

    def of(self, variants: Sequence[Variant]) -> dict[str, Speed]:
        """Return the speeds by the variants' names."""
        missing = [variant for variant in dict.fromkeys(variants) if variant.name not in self._known]
        if missing:
            self._measure(list(dict.fromkeys([UNPRUNED, *missing])))
        return {variant.name: self._known[variant.name] for variant in variants}

    def _measure(self, variants: list[Variant]) -> None:
        attempts = self._attempts()
        episode = attempts.episode(Cell(self._task), SEEDS[0])
        instruction, observations = episode.task.instruction, list(expert_observations(episode, self._mode))
        calls: dict[str, Callable[[int], object]] = {}
        for variant in variants:
            for engine in ENGINES:
                pruner = variant.pruner(SEEDS[0])
                policy = attempts.policy(pruner, SEEDS[0], engine, variant.denoising)
                policy.reset(instruction)
                calls[f"{variant.name}/{engine}"] = partial(_step, policy, observations)
        with one_thread():
            times = medians(alternate(calls, self._rounds, torch.device("cpu")))
        unpruned = {engine: times[f"{UNPRUNED.name}/{engine}"] for engine in ENGINES}
        for variant in variants:
            mine = {engine: times[f"{variant.name}/{engine}"] for engine in ENGINES}
            self._known[variant.name] = Speed(mine, unpruned)
        known = {name: {"ms": speed.ms, "unpruned_ms": speed.unpruned_ms} for name, speed in self._known.items()}
        self._path.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")


def _step(policy: MlaPolicy, observations: list[Observation], index: int) -> None:
    policy.act(observations[index % len(observations)])
