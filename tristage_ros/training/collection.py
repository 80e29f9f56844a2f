"""Demonstrations: the expert watched in many disturbed episodes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tristage_ros.mla.config import MlaConfig
from tristage_ros.training.attempt import FRAMES_AFTER_SUCCESS, attempt
from tristage_ros.training.disturbance import Disturbance
from tristage_ros.training.frame import FrameEncoder, Frames
from tristage_ros.training.recipe import Demonstrations, Recipe
from tristage_ros.training.shard import ShardFacts, write_shard
from tristage_ros.training.workers import episode_of, run_all


@dataclass(frozen=True)
class ShardJob:
    """Say what one file is to hold."""

    path: Path
    task: str
    first_seed: int
    episodes: int
    config: MlaConfig
    settings: Demonstrations


def shard_jobs(recipe: Recipe, config: MlaConfig, folder: Path) -> list[ShardJob]:
    """Return the files of all demonstrations, task by task in turn, so that a part of them has something of each."""
    settings, size = recipe.demonstrations, recipe.demonstrations.shard
    jobs = [
        (index / count, ShardJob(folder / f"{task}-{index:07d}.safetensors", task, settings.first_seed + index,
                                 min(size, count - index), config, settings))
        for task, count in recipe.episodes.items()
        for index in range(0, count, size)
    ]  # fmt: skip
    return [job for _, job in sorted(jobs, key=lambda pair: pair[0])]


def collect(recipe: Recipe, config: MlaConfig, folder: Path, workers: int | None = None) -> None:
    """Write the files of demonstrations that `folder` does not have yet."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [job for job in shard_jobs(recipe, config, folder) if not job.path.exists()]
    for _ in run_all("demonstrations", write, missing, workers):
        pass


def write(job: ShardJob) -> None:
    """Run the episodes of one file and write it."""
    episode, encoder = episode_of(job.task), FrameEncoder(job.config)
    attempts = []
    for seed in range(job.first_seed, job.first_seed + job.episodes):
        attempts.append(attempt(episode, seed, encoder, Disturbance(job.settings, seed), FRAMES_AFTER_SUCCESS))
    names, instruction = tuple(sorted(episode.truth())), episode.task.instruction
    facts = ShardFacts(job.task, instruction, names, len(attempts), sum(a.success for a in attempts))
    write_shard(job.path, Frames.join([frame for a in attempts for frame in a.frames]), facts)
