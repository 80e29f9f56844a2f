"""Run episodes with a policy: key frame by key frame, or continuously, several control steps a second."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tristage_ros.mla.engines import EngineName
from tristage_ros.mla.loading import load_model, load_tokenizer
from tristage_ros.mla.passes import SEQUENTIAL, Denoising
from tristage_ros.mla.policy import MlaPolicy
from tristage_ros.mla.scales import load_scales
from tristage_ros.mla.values import Observation
from tristage_ros.pruning import TriStagePruner
from tristage_ros.simulation.closed_loop import PERIOD, ClosedLoop
from tristage_ros.simulation.episode import Episode, StepOutcome
from tristage_ros.simulation.renderer import BACKGROUND, OBJECT, label_of_patches
from tristage_ros.simulation.setting import Variation
from tristage_ros.studies.cell import CONDITIONS, Cell, Condition, Job
from tristage_ros.studies.record import Log, Record
from tristage_ros.studies.variant import Looks

OTHER = 1_000_000  # from a scene's seed to that of the other one whose cloud is shown in place of its own


class Sight:
    """What a policy is shown of an episode under a condition."""

    def __init__(self, episode: Episode, condition: Condition, other: Episode | None = None) -> None:
        """Look at an episode; `other` is another attempt at its task, under a condition that shows the cloud of one."""
        self.other = other
        self._episode, self._condition = episode, condition

    def __call__(self) -> Observation:
        """Return what it is shown now.

        Raises:
            RenderingError: this machine cannot render.
        """
        elsewhere = None
        if self.other is not None:
            self.other.hold(self._episode.joints)
            elsewhere = self.other.observe()
        return self._condition.shown(self._episode.observe(), elsewhere)


class Attempts:
    """Carry out one episode after the other in this process; model and simulated cell are made once."""

    def __init__(self, checkpoint: str | None) -> None:
        """Load the model, in float32 whatever it is stored in.

        Raises:
            CheckpointError: the checkpoint is missing or something else.
        """
        self.model, self.statistics = load_model(checkpoint, None, torch.float32, "cpu", 0)
        self.scales = load_scales(checkpoint)
        self._tokenizer = load_tokenizer(self.model.config, None, checkpoint)
        self._random = checkpoint is None
        self._episodes: dict[tuple[Variation, bool], Episode] = {}

    def policy(
        self, pruner: Any, seed: int, engine: EngineName = "cached", denoising: Denoising = SEQUENTIAL
    ) -> MlaPolicy:
        """Return a policy with a pruner of its own, which is told the model's scales; its noise begins with `seed`."""
        if isinstance(pruner, TriStagePruner):
            pruner.scales |= self.scales
        return MlaPolicy(
            self.model, self._tokenizer, self.statistics, pruner,
            engine=engine, denoising=denoising, seed=seed, random_weights=self._random,
        )  # fmt: skip

    def run(self, job: Job) -> Record:
        """Return what came of an episode.

        Raises:
            RenderingError: this machine cannot render.
        """
        began = perf_counter()
        cell, condition = job.cell, CONDITIONS[job.cell.condition]
        episode = self.episode(cell, job.seed)
        pruner = cell.variant.pruner(job.seed)
        policy = self.policy(pruner, job.seed, denoising=cell.variant.denoising)
        policy.reset(condition.instruct(episode.task))
        looks = cell.variant.looks
        record, log = Record(cell.name, job.seed, looks=max(pruner.looks, int(looks == "arrival"))), Log()
        see = self.sight(episode, condition, job.seed)
        if record.looks:
            look_around(see, policy, record.looks)
        if cell.mode == "continuous":
            continuously(episode, see, policy, log, luck(condition, job.seed))
        else:
            by_key_frames(episode, see, policy, log, looks)
        log.close(record, cell.course)
        record.success, record.seconds = episode.success(), round(episode.time, 2)
        travel = episode.travel()
        record.path = round(travel.path, 3)
        if cell.mode == "continuous" and not math.isnan(travel.jerk):
            record.jerk, record.reversals = round(travel.jerk, 2), round(travel.reversals, 4)
        record.took = round(perf_counter() - began, 2)
        return record

    def episode(self, cell: Cell, seed: int) -> Episode:
        """Return the scene of a cell and seed, at its beginning."""
        episode = self._scene(cell.task, CONDITIONS[cell.condition].variation)
        episode.reset(seed, cell.task)
        return episode

    def sight(self, episode: Episode, condition: Condition, seed: int) -> Sight:
        """Return what is shown of a cell's episode, which begins with `seed`."""
        if not condition.other_cloud:
            return Sight(episode, condition)
        other = self._scene(episode.task.name, condition.variation, other=True)
        other.reset(seed + OTHER, episode.task.name, episode.front)
        return Sight(episode, condition, other)

    def _scene(self, task: str, variation: Variation, other: bool = False) -> Episode:
        if (variation, other) not in self._episodes:
            if not other:
                self.close()  # a rendering context each would be a lot of them
            self._episodes[variation, other] = Episode(task, 0, variation)
        return self._episodes[variation, other]

    def close(self) -> None:
        """Free the rendering contexts."""
        while self._episodes:
            self._episodes.popitem()[1].close()


See = Callable[[], Observation]


def look_around(see: See, policy: MlaPolicy, looks: int) -> None:
    """Let the policy look as often as its pruner has to before it can prune; the arm stays where it is."""
    shown = see()
    for _ in range(looks):
        policy.look(shown)


def by_key_frames(episode: Episode, see: See, policy: MlaPolicy, log: Log, looks: Looks = "off") -> None:
    """Carry out one key frame after the other, each to its end, and look on arrival at each, or on the way to it."""

    def look() -> None:
        policy.look(see())
        log.looks += 1

    on_the_way = look if looks == "moving" else None
    while not episode.finished:
        shown = see()
        if looks == "arrival" and log.steps:  # before the first it has looked around
            policy.look(shown)
            log.looks += 1
        action, report = policy.act(shown)
        log.add(episode.key_frame().stage, report)
        if episode.variation.hand:
            log.see("hand", patches(episode.hand()), report)
        _note(log, episode.step(action, on_the_way, PERIOD))


def continuously(episode: Episode, see: See, policy: MlaPolicy, log: Log, dropped: Iterator[bool]) -> None:
    """Take a new key frame to go for several times a second, while the arm is moving; `dropped` frames never come."""
    loop = ClosedLoop(episode)
    while not loop.finished:
        if next(dropped):
            loop.skip()
            continue
        action, report = policy.act(see())
        log.add(episode.key_frame().stage, report)
        _note(log, loop.step(action))


def luck(condition: Condition, seed: int) -> Iterator[bool]:
    """Yield, frame by frame, whether one never comes."""
    rng = np.random.default_rng(seed)
    while True:
        yield rng.random() < condition.dropped


def patches(pixels: NDArray[np.bool_], grid: int = 16) -> NDArray[np.bool_]:
    """Return which patches, row by row, show enough of what `pixels` [H, W] say."""
    return np.asarray(label_of_patches(np.where(pixels, OBJECT, BACKGROUND), grid) == OBJECT)


def _note(log: Log, outcome: StepOutcome) -> None:
    log.refused += not outcome.accepted
    log.fault = outcome.reason or log.fault
