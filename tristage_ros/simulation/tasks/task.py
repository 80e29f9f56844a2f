"""What a task is: things on the table, an instruction, a test on the physical state, and an expert.

To add one, write a file such as `umbrella.py` beside this one, and a `Piece` for every new thing, there or in
`objects.py`. Then name the task in `tasks/__init__.py`, and say in `simulation/instructions.py` what a policy is told.
`World` is all that success and expert look at; `nearest_grasp`, `keep_yaw` and `azimuth_of` choose yaws that the wrist
can reach.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from tristage_ros.devices.arm.kinematics import GRIPPER_RANGE, forward, rpy_to_matrix, tool_pose
from tristage_ros.simulation.instructions import INSTRUCTIONS
from tristage_ros.simulation.objects import Piece
from tristage_ros.simulation.scene import HOME, body_pose, place, table_height

OPEN, CLOSED = 1.0, 0.0  # gripper of a key frame
REST = tool_pose(forward(HOME))[:3, 3]  # m, where the tool waits when the task is done


@dataclass(frozen=True)
class KeyFrame:
    """Hold where the expert sends the tool next, and what the gripper does on arrival."""

    stage: str  # what it is for, for a person
    position: NDArray[np.float64]  # [3] m, of the grasp centre: base frame, but height above the table
    yaw: float  # rad, the direction across which the fingers close
    gripper: float  # 0 closed .. 1 open
    tilt: float | None = None  # rad, by which the tool leans outwards; None: as its height needs it


class Task(ABC):
    """Describe one task. The expert is a function of the true state alone, so that any state has a label."""

    name: str  # also of its instruction
    pieces: tuple[Piece, ...]  # what the task is about, placed first
    companies: tuple[tuple[Piece, ...], ...] = ()  # the same pieces together with those of another task
    own_model: tuple[
        Piece, ...
    ] = ()  # all pieces of the model that it is done in; empty: the one that most tasks share
    max_steps: int = 14  # key frames after which an episode has failed

    @property
    def instruction(self) -> str:
        """Return what a policy is told."""
        return INSTRUCTIONS[self.name]

    def arrange(
        self, model: mujoco.MjModel, data: mujoco.MjData, pieces: Sequence[Piece], rng: np.random.Generator
    ) -> None:
        """Put `pieces` where an attempt begins; the camera stands where it will."""
        place(model, data, pieces, rng)

    def react(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:  # noqa: B027 - most scenes do not
        """Let the scene answer what the arm did; called after every set-point, with kinematics and contacts at hand."""

    def lost(self, world: World) -> bool:
        """Tell whether something happened that an attempt does not come back from."""
        return False

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


# The true state, as tasks judge it and experts act on it.

Floats = NDArray[np.float64]


class World:
    """Look at the state that `data` holds when a method is called; nothing is changed.

    Poses are in the base frame, but with heights above the table, which may stand higher or lower than the base.
    """

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        """Watch `data`."""
        self._model, self._data = model, data
        self.table = table_height(model)  # m, of its top above the base
        self._arm = np.array([model.joint(f"joint{k + 1}").qposadr[0] for k in range(6)])
        self._finger = model.joint("finger_left").qposadr[0]

    @property
    def joints(self) -> Floats:
        """Return the arm's joint positions, [6] rad."""
        joints: Floats = self._data.qpos[self._arm]
        return joints

    @property
    def opening(self) -> float:
        """Return the gap between the fingers, m."""
        return 2 * float(self._data.qpos[self._finger])

    @property
    def gripper(self) -> float:
        """Return the opening, 0 closed .. 1 open."""
        return min(1.0, max(0.0, self.opening / GRIPPER_RANGE[1]))

    @property
    def tool(self) -> Floats:
        """Return the pose [4, 4] of the grasp centre, m."""
        return self._above_table(tool_pose(forward(self.joints)))

    @property
    def yaw(self) -> float:
        """Return the direction, rad, across which the fingers close."""
        return tool_yaw(self.tool)

    def pose(self, body: str) -> Floats:
        """Return the pose [4, 4] of a body, m."""
        return self._above_table(body_pose(self._data, body))

    def _above_table(self, pose: Floats) -> Floats:
        pose[2, 3] -= self.table
        return pose

    def heading(self, body: str) -> float:
        """Return the direction, rad, of a body's x axis as seen from above."""
        x_axis = self.pose(body)[:3, 0]
        return float(np.arctan2(x_axis[1], x_axis[0]))

    def pivot(self, joint: str) -> Floats:
        """Return where a hinge sits in its body, [3] m."""
        pivot: Floats = self._model.joint(joint).pos
        return pivot

    def speed(self, body: str) -> float:
        """Return how fast a body moves, m/s, its rotation counted as if it were one metre away."""
        return float(np.linalg.norm(self._data.body(body).cvel))

    def angle(self, joint: str) -> float:
        """Return the position of a hinge, rad, or of a slide, m."""
        return float(self._data.joint(joint).qpos[0])

    @property
    def memory(self) -> Floats:
        """Return what the task has kept of the attempt so far, [MEMORY]."""
        memory: Floats = self._data.userdata.copy()
        return memory


# How the tool points: down, leaning outwards as far as the wrist needs it.


LEAST_TILT = math.radians(15.0)
TILT_SLOPE = math.radians(120.0)  # rad per metre of height above TILT_FROM
TILT_FROM = 0.05  # m
WRIST_RANGE = math.radians(110.0)  # of the last joint, to either side, that grasps use
_DOWN = np.diag([-1.0, 1.0, -1.0])  # the tool's frame when it points down: z down, the wrist camera's side to the base


def tilt(height: float) -> float:
    """Return the angle, rad, by which a tool at `height` m leans outwards.

    Joint 5 turns by 70 degrees only, so that a tool can point straight down close to the table and nowhere else. With
    this slope every position up to 0.35 m high and 0.18 to 0.52 m away from the base is within the joint limits.
    """
    return LEAST_TILT + TILT_SLOPE * max(0.0, height - TILT_FROM)


def tool_rotation(position: Floats, yaw: float, lean_by: float | None = None) -> Floats:
    """Return the rotation [3, 3] of a tool at `position` [3] m whose fingers close across the direction `yaw`, rad.

    It leans outwards by `lean_by` rad, by `tilt` of its height when that is None.
    """
    azimuth = azimuth_of(position)
    lean = rpy_to_matrix((0.0, -tilt(float(position[2])) if lean_by is None else -lean_by, 0.0))
    return rpy_to_matrix((0.0, 0.0, azimuth)) @ lean @ rpy_to_matrix((0.0, 0.0, yaw - azimuth)) @ _DOWN


def tool_yaw(pose: Floats) -> float:
    """Return the direction, rad, across which the fingers of a tool at `pose` [4, 4] close: undoes `tool_rotation`."""
    azimuth = azimuth_of(pose[:3, 3])
    upright = rpy_to_matrix((0.0, 0.0, -azimuth)) @ pose[:3, :3] @ _DOWN
    leaning = -math.atan2(upright[0, 2], upright[2, 2])
    level = rpy_to_matrix((0.0, leaning, 0.0)) @ upright
    return azimuth + math.atan2(level[1, 0], level[0, 0])


def nearest_grasp(direction: float, position: Floats, present: float) -> float:
    """Return the yaw, rad, of a grasp across `direction` at `position` [3] that turns the wrist least from `present`.

    The fingers are alike, so that half a turn more is the same grasp; only what the wrist can turn to is considered.
    """
    azimuth = azimuth_of(position)
    turns = [math.remainder(direction - azimuth, math.pi) + k * math.pi for k in (-1, 0, 1)]
    possible = [azimuth + turn for turn in turns if abs(turn) <= WRIST_RANGE]
    return min(possible, key=lambda yaw: abs(yaw - present))


def keep_yaw(present: float, position: Floats) -> float:
    """Return the yaw nearest to `present`, rad, that the wrist can keep at `position` [3] m."""
    azimuth = azimuth_of(position)
    return azimuth + min(WRIST_RANGE, max(-WRIST_RANGE, math.remainder(present - azimuth, 2 * math.pi)))


def azimuth_of(position: Floats) -> float:
    """Return the direction, rad, in which `position` [3] lies from the base: the yaw that leaves the wrist straight."""
    return math.atan2(position[1], position[0])
