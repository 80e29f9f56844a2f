"""How long control steps take: every way to prune in turn, on the same observations, both engines, one thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from tristage_ros import __version__
from tristage_ros.bench.model.machine import describe
from tristage_ros.bench.model.table import ratio
from tristage_ros.bench.model.timing import Rounds, alternate, medians, one_thread
from tristage_ros.mla.passes import ENGINES
from tristage_ros.mla.policy import MlaPolicy
from tristage_ros.mla.values import Observation
from tristage_ros.studies.attempt import Attempts
from tristage_ros.studies.cell import Cell, Mode
from tristage_ros.studies.expert import expert_observations
from tristage_ros.studies.files import load, save
from tristage_ros.studies.thresholds import SEEDS
from tristage_ros.studies.variant import UNPRUNED, Variant

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
        self, path: Path, attempts: Callable[[], Attempts], task: str, mode: Mode, rounds: Rounds = ROUNDS
    ) -> None:
        """Keep figures in `path`; observe an episode of `task` that the expert leads in `mode`."""
        self._path, self._attempts, self._task, self._mode, self._rounds = path, attempts, task, mode, rounds
        machine = describe(torch.device("cpu"), "float32")
        self.made = {"cpu": machine["cpu"], "software": machine["software"], "version": __version__, "task": task}

    def of(self, variants: Sequence[Variant]) -> dict[str, Speed]:
        """Return the speeds by the variants' names, from one measurement that has all of them."""
        wanted = list(dict.fromkeys([UNPRUNED, *variants]))
        known = load(self._path) if self._path.exists() else []
        kept = (m["ms"] for m in known if m["made"] == self.made and all(v.key in m["ms"] for v in wanted))
        times = next(kept, None)
        if times is None:
            times = self._measure(wanted)
            save(self._path, [*known, {"made": self.made, "ms": times}])
        return {variant.name: Speed(times[variant.key], times[UNPRUNED.key]) for variant in wanted}

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
        with one_thread():
            times = medians(alternate(calls, self._rounds, torch.device("cpu")))
        return {v.key: {engine: times[f"{v.key}/{engine}"] for engine in ENGINES} for v in variants}


def _step(policy: MlaPolicy, observations: list[Observation], index: int) -> None:
    policy.act(observations[index % len(observations)])
