"""Demonstrations: the expert watched in many episodes, some of its moves disturbed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tristage_ros.mla.config import MlaConfig
from tristage_ros.mla.values import Action
from tristage_ros.training.episodes import FRAMES_AFTER_SUCCESS, See, attempt, episode_of, look, place_camera, run_all
from tristage_ros.training.frames import FrameEncoder, Frames, ShardFacts, write_shard
from tristage_ros.training.recipe import Demonstrations, Recipe, continuous_of

LOOKS_SEED = 20_000_000  # of the first look
CONTINUOUS_SEED = 30_000_000  # of the first episode that is led continuously
LASTING = 8  # control steps that a disturbance of such an episode lasts for, at most


@dataclass(frozen=True)
class ShardJob:
    """Say what one file is to hold."""

    path: Path
    task: str
    first_seed: int
    episodes: int
    config: MlaConfig
    settings: Demonstrations
    anywhere: float  # share of them whose front camera stands anywhere
    kind: str = ""  # "looks": first frames only; "continuous": led so


def shard_jobs(recipe: Recipe, config: MlaConfig, folder: Path) -> list[ShardJob]:
    """Return the files of all episodes and looks, task by task in turn: a part of them has something of each."""
    settings, jobs = recipe.demonstrations, list[tuple[float, ShardJob]]()
    for task, count in recipe.episodes.items():
        led = continuous_of(count, settings.continuous)
        kinds = (
            ("", count - led, settings.shard, settings.first_seed),
            ("looks", count * settings.looks, settings.shard * settings.looks, LOOKS_SEED),
            ("continuous", led, settings.shard, CONTINUOUS_SEED),
        )
        for kind, total, size, first in kinds:
            for index in range(0, total, max(size, 1)):
                path = folder / f"{'-'.join(filter(None, (task, kind)))}-{index:07d}.safetensors"
                job = ShardJob(
                    path, task, first + index, min(size, total - index), config, settings, recipe.anywhere, kind
                )
                jobs.append((index / total, job))
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
    seeds = range(job.first_seed, job.first_seed + job.episodes)
    successes, frames = 0, []
    for seed in seeds:
        place_camera(episode, seed, job.anywhere)
        if job.kind == "looks":
            frames.append(look(episode, seed, encoder))
            continue
        continuous = job.kind == "continuous"
        disturbance = Disturbance(job.settings, seed, LASTING if continuous else 1)
        shown = attempt(episode, seed, encoder, disturbance, FRAMES_AFTER_SUCCESS, continuous)
        frames += shown.frames
        successes += shown.success
    names, instruction = tuple(sorted(episode.truth())), episode.task.instruction
    write_shard(job.path, Frames.join(frames), ShardFacts(job.task, instruction, names, len(seeds), successes))


# Noise on the expert's moves, so that demonstrations show how mistakes are mended.

YAW = 2  # among roll, pitch, yaw


class Disturbance:
    """Disturb some of the moves of some of the episodes."""

    def __init__(self, settings: Demonstrations, seed: int, lasting: int = 1) -> None:
        """Decide about one episode by its seed; a disturbance lasts for up to `lasting` control steps."""
        self._settings, self._rng = settings, np.random.default_rng([seed, 1])
        self._noisy = self._rng.random() < settings.noisy
        self._lasting, self._left = lasting, 0
        self._translation, self._yaw, self._flip, self._active = np.zeros(3), 0.0, False, False

    def __call__(self, _: See, action: Action) -> Action:
        """Return the move that is made in place of the expert's `action`."""
        if self._left == 0:
            self._draw()
        self._left -= 1
        if not self._active:
            return action
        rotation = action.rotation.copy()
        rotation[:, YAW] += self._yaw
        gripper = 1 - action.gripper if self._flip else action.gripper
        return replace(action, translation=action.translation + self._translation, rotation=rotation, gripper=gripper)

    def _draw(self) -> None:
        settings, rng = self._settings, self._rng
        self._left = int(rng.integers(1, self._lasting, endpoint=True)) if self._lasting > 1 else 1
        self._active = self._noisy and rng.random() < settings.disturbed
        if self._active:
            self._yaw = rng.normal(0, settings.yaw)
            self._flip = rng.random() < settings.flip
            self._translation = rng.normal(0, settings.translation)
