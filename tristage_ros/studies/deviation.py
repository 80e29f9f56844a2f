"""How far pruning moves the goal: every variant's answers to the same observations, beside the unpruned policy's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tristage_ros.bench.model.timing import one_thread
from tristage_ros.mla.values import Observation
from tristage_ros.studies.attempt import Attempts
from tristage_ros.studies.cell import Cell, Mode
from tristage_ros.studies.expert import expert_steps
from tristage_ros.studies.thresholds import SEEDS
from tristage_ros.studies.variant import UNPRUNED, Variant

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
    attempts: Attempts, variants: Sequence[Variant], task: str, mode: Mode
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
        found = {v.name: _deviation(_goals(attempts, v, shown), unpruned) for v in dict.fromkeys(variants)}
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
