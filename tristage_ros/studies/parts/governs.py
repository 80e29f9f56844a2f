"""Who governs: the image of one scene with the cloud of another one, and which of the two the action follows.

The image says where things are in the picture and what colour they are, the cloud where they are in space. Shown both
of one scene, a policy need not tell which of them it goes by. Here they contradict each other: where the tool is sent
is regressed on where it would have to go in either scene, so that the two weights say who is believed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tristage_ros.bench.model.table import Table
from tristage_ros.mla.policy import MlaPolicy
from tristage_ros.mla.values import Action, Observation
from tristage_ros.simulation.episode import Episode
from tristage_ros.studies.attempt import Sight
from tristage_ros.studies.cell import CONDITIONS, Cell, Mode
from tristage_ros.studies.parts.families import ByFamily
from tristage_ros.studies.parts.part import Chapter, Row
from tristage_ros.studies.protocol import CONFLICTS, Family
from tristage_ros.studies.variant import UNPRUNED

Floats = NDArray[np.float64]

AXES = ("x", "y", "z")
STAGES = 2  # key frames of an episode: the way there, and what is done there
DRAWS = 4  # of the policy's noise, whose mean is its answer
LEAST = 12  # conflicts without which nothing is regressed
NOTE = (
    "Image, depth for the guard and state are of scene A, the points of scene B of the same task, whose arm is held "
    "where A's is. Weights of A's and of B's key frame in the commanded one, by least squares, every task with a mean "
    "of its own, with their standard errors; 1 and 0: it goes where A has it. R2: the share of the variance that both "
    "explain. At the first key frame things are approached, at the second they are taken or pressed."
)


@dataclass(frozen=True)
class Conflict:
    """Hold where the tool was sent, and where it would have to go in either scene; [3] m, base frame."""

    task: str
    stage: int  # key frame, from 0
    commanded: Floats
    by_image: Floats
    by_cloud: Floats


@dataclass(frozen=True)
class Weights:
    """Hold what a coordinate of the command is made of."""

    image: float
    cloud: float
    image_error: float  # standard error
    cloud_error: float
    explained: float  # R2, 0..1
    n: int

    def __str__(self) -> str:
        """Return them for print."""
        parts = f"{self.image:.2f} ± {self.image_error:.2f}, {self.cloud:.2f} ± {self.cloud_error:.2f}"
        return f"{parts} ({self.explained:.2f})"


class Governs(ByFamily):
    """Show scenes that contradict each other, and regress where the tool is sent."""

    name = "governs"
    title = "Who governs: image and cloud of different scenes"
    number = CONFLICTS

    def rows(self) -> list[Row]:
        """Return none: the expert leads, and the policy is only asked."""
        return []

    def measured(self) -> tuple[Counter[Mode], Counter[Mode]]:
        """Return the control steps, and the episodes that are led."""
        episodes = sum(len(self._seeds(family)) * len(tasks) for family, tasks in self._families())
        return Counter({self.mode: episodes * STAGES * DRAWS}), Counter()

    def chapter(self) -> Chapter:
        """Return the weights by family and key frame."""
        columns = ("family", "key frame", "n", *(f"{axis}: image, cloud (R2)" for axis in AXES))
        table = Table(self.title, columns, note=NOTE)
        chapter = Chapter(self.title, tables=[table])
        for family, tasks in self._families():
            found = [one for task in tasks for one in self._conflicts(family, task)]
            for stage in range(STAGES):
                some = [one for one in found if one.stage == stage]
                weights = [weigh(some, axis) for axis in range(len(AXES))]
                cells = ["-" if one is None else str(one) for one in weights]
                table.rows.append((family.label, str(stage + 1), str(len(some)), *cells))
                known = {axis: vars(one) for axis, one in zip(AXES, weights, strict=True) if one is not None}
                chapter.figures[f"{family.name}, {stage + 1}"] = known
        return chapter

    def _families(self) -> list[tuple[Family, tuple[str, ...]]]:
        """Return the families whose camera is where the file says."""
        return [(family, tasks) for family, tasks in self.families.items() if family.condition == "plain"]

    def _seeds(self, family: Family) -> range:
        return self.study.seeds(-(-self.number // len(self.families[family])))

    def _conflicts(self, family: Family, task: str) -> Iterator[Conflict]:
        attempts, condition = self.study.attempts(), CONDITIONS["other-cloud"]
        seeds = self._seeds(family)
        for seed in self.study.progress.over(f"{task}: conflicts", seeds, len(seeds)):
            episode = attempts.episode(Cell(task, condition=condition.name), seed)
            see = attempts.sight(episode, condition, seed)
            policy = attempts.policy(UNPRUNED.pruner(seed), seed)
            policy.reset(episode.task.instruction)
            assert see.other is not None  # of this condition
            yield from led(episode, see.other, see, policy)


def led(episode: Episode, other: Episode, see: Sight, policy: MlaPolicy) -> Iterator[Conflict]:
    """Ask the policy at the first key frames, to which the expert leads, where both scenes are at the same stage."""
    for stage in range(STAGES):
        if episode.finished:
            return
        shown, tool = see(), episode.world.tool[:3, 3].copy()
        by_image, by_cloud = episode.key_frame(), other.key_frame()
        if by_image.stage == by_cloud.stage:
            commanded = tool + answer(policy, shown)
            places = (np.array(frame.position, np.float64) for frame in (by_image, by_cloud))
            yield Conflict(episode.task.name, stage, commanded, *places)
        episode.step(episode.expert())


def answer(policy: MlaPolicy, shown: Observation) -> Floats:
    """Return where the policy sends the tool, relative to where it is, [3] m: the mean over its noise."""
    said: list[Action] = [policy.act(shown)[0] for _ in range(DRAWS)]
    mean: Floats = np.mean([action.translation[0] for action in said], axis=0)
    return mean


def weigh(conflicts: list[Conflict], axis: int) -> Weights | None:
    """Return the weights of both scenes in a coordinate; None where they are too few, or do not differ."""
    if len(conflicts) < LEAST:
        return None
    tasks = sorted({one.task for one in conflicts})
    of_task = np.array([[float(one.task == task) for task in tasks] for one in conflicts])
    scenes = np.array([[one.by_image[axis], one.by_cloud[axis]] for one in conflicts])
    said = np.array([one.commanded[axis] for one in conflicts])
    mean = of_task @ np.linalg.lstsq(of_task, np.column_stack([scenes, said]), rcond=None)[0]
    rows, values = scenes - mean[:, :2], said - mean[:, 2]
    free = len(conflicts) - len(tasks) - 2
    if free < 1 or np.linalg.matrix_rank(rows, tol=1e-6) < 2:
        return None
    weights = np.linalg.lstsq(rows, values, rcond=None)[0]
    left = values - rows @ weights
    errors = np.sqrt(np.diag(np.linalg.inv(rows.T @ rows)) * (left @ left) / free)
    explained = 1.0 - (left @ left) / max(values @ values, 1e-12)
    return Weights(*weights.tolist(), *errors.tolist(), float(explained), len(conflicts))
