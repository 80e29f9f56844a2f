"""Run episodes with a policy: key frame by key frame, or continuously, several control steps a second."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tristage_ros.devices.kinematics import rpy_to_matrix
from tristage_ros.evaluation.episodes.cell import Cell, Job
from tristage_ros.evaluation.episodes.condition import CONDITIONS, Condition
from tristage_ros.evaluation.episodes.record import Record
from tristage_ros.mla.denoising import SEQUENTIAL, Denoising
from tristage_ros.mla.engine import EngineName
from tristage_ros.mla.loading import load_model, load_tokenizer
from tristage_ros.mla.policy import MlaPolicy
from tristage_ros.simulation.approach import Pace, paced
from tristage_ros.simulation.episode import Episode, StepOutcome
from tristage_ros.simulation.segmentation import BACKGROUND, OBJECT, label_of_patches
from tristage_ros.simulation.variation import Variation

PERIOD = 0.2  # s from one control step to the next under continuous control: 5 Hz
LATENCY = 0.1  # s from an observation to the arm's taking over its chunk
TIME_STEP, ACTIONS = 0.1, 6  # s between the actions of a chunk and their number: it reaches well past the next one's
LONGEST = 30.0  # s, simulated, that a continuous episode may take


class Attempts:
    """Carry out one episode after the other in this process; model and simulated cell are made once."""

    def __init__(self, checkpoint: str | None) -> None:
        """Load the model, in float32 whatever it is stored in.

        Raises:
            CheckpointError: the checkpoint is missing or something else.
        """
        self.model, self.statistics = load_model(checkpoint, None, torch.float32, "cpu", 0)
        self._tokenizer = load_tokenizer(self.model.config, None, checkpoint)
        self._random = checkpoint is None
        self._episodes: dict[Variation, Episode] = {}

    def policy(
        self, pruner: Any, seed: int, engine: EngineName = "cached", denoising: Denoising = SEQUENTIAL
    ) -> MlaPolicy:
        """Return a policy with a pruner of its own, whose noise begins with `seed`."""
        return MlaPolicy(
            self.model, self._tokenizer, self.statistics, pruner,
            engine=engine, denoising=denoising, seed=seed, random_weights=self._random,
        )  # fmt: skip

    def run(self, job: Job) -> Record:
        """Return what came of an episode.

        Raises:
            RenderingError: this machine cannot render.
        """
        cell, condition = job.cell, CONDITIONS[job.cell.condition]
        episode = self.episode(cell, job.seed)
        policy = self.policy(cell.variant.pruner(job.seed), job.seed, denoising=cell.variant.denoising)
        policy.reset(condition.instruct(episode.task))
        record = Record(cell.name, job.seed)
        run = continuously if cell.mode == "continuous" else by_key_frames
        run(episode, policy, condition, record)
        record.success, record.seconds = episode.success(), round(episode.time, 2)
        return record

    def episode(self, cell: Cell, seed: int) -> Episode:
        """Return the scene of a cell and seed, at its beginning."""
        variation = CONDITIONS[cell.condition].variation
        if variation not in self._episodes:
            self.close()  # a rendering context each would be a lot of them
            self._episodes[variation] = Episode(cell.task, seed, variation)
        self._episodes[variation].reset(seed, cell.task)
        return self._episodes[variation]

    def close(self) -> None:
        """Free the rendering contexts."""
        while self._episodes:
            self._episodes.popitem()[1].close()


def by_key_frames(episode: Episode, policy: MlaPolicy, condition: Condition, record: Record) -> None:
    """Carry out one key frame after the other, each to its end."""
    while not episode.finished:
        action, report = policy.act(condition.shown(episode.observe()))
        record.add(episode.key_frame().stage, report)
        if episode.variation.hand:
            record.see("hand", patches(episode.hand()), report)
        _note(record, episode.step(action))


def continuously(episode: Episode, policy: MlaPolicy, condition: Condition, record: Record) -> None:
    """Take a new chunk of small steps towards the policy's key frame every PERIOD, while the arm is moving."""
    gripper, since = np.ones(1), 0.0  # what the chunk under way asks of the gripper, and the stamp it answers
    luck = np.random.default_rng(record.seed)
    while not episode.finished and episode.time < LONGEST:
        if luck.random() < condition.dropped:
            episode.advance(PERIOD)
            continue
        observation = episode.observe()
        action, report = policy.act(condition.shown(observation))
        record.add(episode.key_frame().stage, report)
        tool = np.eye(4)
        tool[:3, :3], tool[:3, 3] = rpy_to_matrix(observation.state[3:6]), observation.state[:3]
        chunk = paced(action, tool, _asked(gripper, observation.stamp - since), ACTIONS, TIME_STEP, Pace())
        episode.advance(LATENCY)
        outcome = episode.submit(chunk, TIME_STEP, observation.stamp)
        _note(record, outcome)
        if outcome.accepted:
            gripper, since = chunk.gripper, observation.stamp
        episode.advance(PERIOD - LATENCY)


def _asked(gripper: NDArray[np.float64], elapsed: float) -> float:
    """Return what a chunk's `gripper` commands have come to, `elapsed` s after the stamp that it answers."""
    due = int(elapsed / TIME_STEP + 1e-6) - 1
    return float(gripper[min(max(due, 0), len(gripper) - 1)])


def patches(pixels: NDArray[np.bool_], grid: int = 16) -> NDArray[np.bool_]:
    """Return which patches, row by row, show enough of what `pixels` [H, W] say."""
    return np.asarray(label_of_patches(np.where(pixels, OBJECT, BACKGROUND), grid) == OBJECT)


def _note(record: Record, outcome: StepOutcome) -> None:
    record.refused += not outcome.accepted
    record.fault = outcome.reason or record.fault
