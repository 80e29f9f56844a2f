"""Episodes of a checkpoint, in parallel processes: to be labelled by the expert, or to be judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest

from tristage_ros.mla.config import MlaConfig
from tristage_ros.mla.loading import build_policy
from tristage_ros.mla.policy import MlaPolicy
from tristage_ros.mla.values import Action
from tristage_ros.pruning import PruningConfig
from tristage_ros.training.episodes import FRAMES_AFTER_SUCCESS, Attempt, See, attempt, episode_of, place_camera
from tristage_ros.training.frames import FrameEncoder, Frames, ShardFacts, read_shard, write_shard


@cache
def _policy_of(checkpoint: Path) -> MlaPolicy:
    return build_policy(str(checkpoint), PruningConfig(), method="none")


@dataclass(frozen=True)
class RolloutJob:
    """Say which episodes a checkpoint is to run."""

    checkpoint: Path
    config: MlaConfig
    task: str
    first_seed: int
    episodes: int
    anywhere: float = 0.0  # share of them whose front camera stands anywhere
    expert: float = 0.0  # share of the moves that the expert makes
    path: Path | None = None  # file of the labelled frames; None: they are not kept
    continuous: bool = False


@dataclass(frozen=True)
class Outcome:
    """Say how the episodes of a task went."""

    task: str  # and whether they were led continuously
    episodes: int
    successes: int

    def described(self) -> dict[str, Any]:
        """Return the fields and the 95 % interval of the share of successes, after Wilson."""
        interval = binomtest(self.successes, self.episodes).proportion_ci(method="wilson")
        return vars(self) | {"interval": [round(interval.low, 4), round(interval.high, 4)]}


def total(task: str, outcomes: Sequence[Outcome]) -> Outcome:
    """Return the sum of those outcomes that are a task's."""
    own = [outcome for outcome in outcomes if outcome.task == task]
    return Outcome(task, sum(outcome.episodes for outcome in own), sum(outcome.successes for outcome in own))


def roll_out(job: RolloutJob) -> Outcome:
    """Run the episodes of a job, unpruned; write their frames if asked for."""
    attempts = [_attempt(job, seed) for seed in range(job.first_seed, job.first_seed + job.episodes)]
    outcome = Outcome(_title(job.task, job.continuous), len(attempts), sum(a.success for a in attempts))
    if job.path is not None:
        episode = episode_of(job.task)
        names, instruction = tuple(sorted(episode.truth())), episode.task.instruction
        facts = ShardFacts(job.task, instruction, names, outcome.episodes, outcome.successes, job.continuous)
        write_shard(job.path, Frames.join([frame for a in attempts for frame in a.frames]), facts)
    return outcome


def noted(path: Path) -> Outcome:
    """Return how the episodes went whose frames are in a file."""
    _, facts = read_shard(path)
    return Outcome(_title(facts.task, facts.continuous), facts.episodes, facts.successes)


def _title(task: str, continuous: bool) -> str:
    return f"{task}, continuous" if continuous else task


def _attempt(job: RolloutJob, seed: int) -> Attempt:
    policy, episode = _policy_of(job.checkpoint), episode_of(job.task)
    policy.seed = seed
    policy.reset(episode.task.instruction)
    rng = np.random.default_rng([seed, 2])

    def move(see: See, expert: Action) -> Action:
        return expert if rng.random() < job.expert else policy.act(see())[0]

    after = FRAMES_AFTER_SUCCESS if job.path else 0
    place_camera(episode, seed, job.anywhere)
    return attempt(episode, seed, FrameEncoder(job.config), move, after, job.continuous)
