"""One cell of a table: a task, one way to prune, a mode and a condition; and one episode of it.

A condition is what is done to an episode beside pruning: nothing, or something that it should not be solvable with.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np

from tristage_ros.mla.values import Observation
from tristage_ros.simulation.instructions import ANYWHERE
from tristage_ros.simulation.setting import Variation
from tristage_ros.simulation.tasks import TASKS, Task
from tristage_ros.studies.variant import UNPRUNED, Variant

GREY = 127  # of a blank image, 0..255


@dataclass(frozen=True)
class Condition:
    """Hold what becomes of the scene, of every observation and of the instruction."""

    name: str
    label: str
    blank_image: bool = False  # grey all over
    blank_cloud: bool = False  # every point in the middle of the points
    other_cloud: bool = False  # that of another attempt at the task, its arm where this one's is, by the same cameras
    dropped: float = 0.0  # share of the frames that never come, under continuous control
    instruct: Callable[[Task], str] = field(default=lambda task: task.instruction)
    variation: Variation = field(default_factory=Variation)

    def shown(self, observation: Observation, other: Observation | None = None) -> Observation:
        """Return what the policy is shown of an observation; `other` is that of the other attempt, if it is needed."""
        if other is not None:
            observation = replace(observation, points=other.points, depth=other.depth)
        if self.blank_image:
            observation = replace(observation, image=np.full_like(observation.image, GREY))
        if self.blank_cloud:
            middle = observation.points.mean(axis=0, keepdims=True)
            observation = replace(observation, points=np.repeat(middle, len(observation.points), axis=0))
        return observation


def another_instruction(task: Task) -> str:
    """Return the instruction of the task whose things stand on the table too, or else of the next one of its model."""
    mine = {piece.name for piece in task.pieces}
    company = {piece.name for piece in task.companies[0]} - mine if task.companies else set()
    alike = [name for name, other in TASKS.items() if other.own_model == task.own_model]
    names = alike if len(alike) > 1 else list(TASKS)
    after = names[names.index(task.name) + 1 :] + names
    partners = [name for name in after if company & {piece.name for piece in TASKS[name].pieces}]
    return TASKS[(partners or after)[0]].instruction


PLAIN = Condition("plain", "as trained for")
CONDITIONS = {
    condition.name: condition
    for condition in (
        PLAIN,
        Condition("blank-image", "blank image", blank_image=True),
        Condition("blank-cloud", "blank cloud", blank_cloud=True),
        Condition("blank", "both blank", blank_image=True, blank_cloud=True),
        Condition("company", "another task's things there too, right instruction", variation=Variation(company=1.0)),
        Condition("wrong-instruction", "the same, that task's instruction", instruct=another_instruction,
                  variation=Variation(company=1.0)),
        Condition("moved-camera", "front camera moved by 2 cm and 3 degrees",
                  variation=Variation(camera_shift=0.02, camera_turn=math.radians(3.0))),
        Condition("noise", "noise, steps and holes of a real depth camera", variation=Variation(sensor_noise=True)),
        Condition("hand", "a hand comes in over the table", variation=Variation(hand=True)),
        Condition("dropped", "3 of 10 frames dropped", dropped=0.3),
        Condition("other-cloud", "another scene's cloud", other_cloud=True),
        Condition("elsewhere", "front camera anywhere, calibrated there", variation=Variation(camera=ANYWHERE)),
        Condition("recalibrated", "front camera moved as far, and calibrated anew",
                  variation=Variation(camera_shift=0.02, camera_turn=math.radians(3.0), recalibrated=True)),
        Condition("zoom", "a lens 1.2 times as long, calibrated", variation=Variation(zoom=1.2)),
        Condition("wide", "a lens 0.85 times as long, calibrated", variation=Variation(zoom=0.85)),
        Condition("front-alone", "no wrist camera", variation=Variation(wrist=False)),
    )
}  # fmt: skip


Mode = Literal["key frames", "continuous"]
MODES: tuple[Mode, ...] = get_args(Mode)


@dataclass(frozen=True)
class Cell:
    """Name what is done in every episode; `condition` is a key of CONDITIONS."""

    task: str
    variant: Variant = UNPRUNED
    mode: Mode = "key frames"
    condition: str = "plain"
    course: bool = False  # whether every control step is kept, and not only their means

    def __post_init__(self) -> None:
        """Refuse looks under continuous control, where every control step is one."""
        if self.mode == "continuous" and self.variant.looks != "off":
            raise ValueError(f"{self.variant.name}: looks are for key frames, not for continuous control")

    @property
    def name(self) -> str:
        """Return a name that no other cell has and that stays the same from run to run."""
        return f"{self.task} | {self.mode} | {self.condition} | {self.variant.key}" + " | course" * self.course


@dataclass(frozen=True)
class Job:
    """Name one episode: that of `seed`, the same scene in every cell of a task."""

    cell: Cell
    seed: int
