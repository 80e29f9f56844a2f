"""What a task is: things on the table, an instruction, a test on the physical state, and an expert."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tristage_ros.devices.arm.kinematics import forward, tool_pose
from tristage_ros.simulation.instructions import INSTRUCTIONS
from tristage_ros.simulation.piece import Piece
from tristage_ros.simulation.scene import HOME
from tristage_ros.simulation.world import World

OPEN, CLOSED = 1.0, 0.0  # gripper of a key frame
REST = tool_pose(forward(HOME))[:3, 3]  # m, where the tool waits when the task is done


@dataclass(frozen=True)
class KeyFrame:
    """Hold where the expert sends the tool next, and what the gripper does on arrival."""

    stage: str  # what it is for, for a person
    position: NDArray[np.float64]  # [3] m, base frame, of the grasp centre
    yaw: float  # rad, the direction across which the fingers close
    gripper: float  # 0 closed .. 1 open
    tilt: float | None = None  # rad, by which the tool leans outwards; None: as its height needs it


class Task(ABC):
    """Describe one task. The expert is a function of the true state alone, so that any state has a label."""

    name: str  # also of its instruction
    pieces: tuple[Piece, ...]  # what the task is about, placed first
    companies: tuple[tuple[Piece, ...], ...] = ()  # the same pieces together with those of another task
    max_steps: int = 14  # key frames after which an episode has failed

    @property
    def instruction(self) -> str:
        """Return what a policy is told."""
        return INSTRUCTIONS[self.name]

    def act(self, world: World) -> KeyFrame:
        """Return the expert's next key frame; once the task is done, the way to where the tool waits."""
        return self.rest(world) if self.success(world) else self.expert(world)

    def rest(self, world: World) -> KeyFrame:
        """Return where the tool waits when the task is done."""
        return KeyFrame("rest", REST, 0.0, OPEN)

    @abstractmethod
    def success(self, world: World) -> bool:
        """Tell whether the task is done and nothing is moving any more."""

    @abstractmethod
    def expert(self, world: World) -> KeyFrame:
        """Return the next key frame of a task that is not done."""

    def guide(self, world: World) -> KeyFrame:
        """Return what the expert goes for while it is led in a closed loop.

        Unlike key frames this should change gradually with where the tool is: between two answers that are far apart
        a policy learns the middle, and stays there.
        """
        return self.act(world)

    @abstractmethod
    def truth(self, world: World) -> Mapping[str, float]:
        """Return the true numbers that decide about success and where to act, in m and rad."""


def ramp(value: float, low: float, high: float) -> float:
    """Return 0 up to `low`, 1 from `high` on, and between them the share of the way."""
    return min(1.0, max(0.0, (value - low) / (high - low)))
