"""Continuous control in process: a key frame several times a second, of which the first part is carried out.

`ClosedLoop` leads an episode so; `Doubtful` is an expert for it that sees things beside where they stand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tristage_ros.mla.approach import Pace, paced
from tristage_ros.mla.values import Action
from tristage_ros.simulation.episode import Episode, StepOutcome, as_action
from tristage_ros.simulation.tasks.task import World

PERIOD = 0.2  # s from one control step to the next: 5 Hz
LATENCY = 0.1  # s from an observation to the arm's taking over its chunk
LONGEST = 30.0  # s, simulated, that an episode may take
PACE = Pace()  # as the policy node's, with control:=rate


class ClosedLoop:
    """Lead an episode continuously, from where it is; the arm keeps moving while the next step is decided."""

    def __init__(self, episode: Episode) -> None:
        """Begin with an open gripper, as episodes do."""
        self._episode = episode
        self._gripper, self._since = np.ones(1), 0.0  # what the chunk under way asks for, and the stamp it answers

    @property
    def finished(self) -> bool:
        """Tell whether the attempt is over."""
        return self._episode.finished or self._episode.time >= LONGEST

    def step(self, action: Action) -> StepOutcome:
        """Set out for the key frame that answers an observation made now, and let PERIOD pass."""
        stamp, rotation = self._episode.time, self._episode.robot_state()[3:6]
        chunk = paced(action, rotation, self._asked(stamp), PACE)
        self._episode.advance(LATENCY)
        outcome = self._episode.submit(chunk, PACE.time_step, stamp)
        if outcome.accepted:
            self._gripper, self._since = chunk.gripper, stamp
        self._episode.advance(PERIOD - LATENCY)
        return outcome

    def skip(self) -> None:
        """Let PERIOD pass without a new chunk."""
        self._episode.advance(PERIOD)

    def _asked(self, stamp: float) -> float:
        """Return what the gripper commands of the chunk under way have come to at `stamp`, s."""
        due = int((stamp - self._since) / PACE.time_step + 1e-6) - 1
        return float(self._gripper[min(max(due, 0), len(self._gripper) - 1)])


# The expert who is not sure where things stand: a policy learns the mean of all that may be right.

MAYBE = 8  # places that may be true, of which the mean is taken


@dataclass(frozen=True)
class Doubt:
    """Say how badly things are seen; standard deviations per axis of the table, m."""

    beside: float = 0.0  # of what stays wrong for the whole episode
    unsure: float = 0.0  # of the places around the wrong one that may be true


class Doubtful:
    """Guide one episode in a closed loop by what is seen with doubt. What is never seen wrong is the arm itself."""

    def __init__(self, episode: Episode, doubt: Doubt, seed: int) -> None:
        """Draw what is wrong in the episode from `seed`."""
        self._episode, self._doubt, self._rng = episode, doubt, np.random.default_rng(seed)
        self._wrong = {piece.name: self._rng.normal(0, doubt.beside, 2) for piece in episode.task.pieces}

    def guidance(self) -> Action:
        """Return the mean of what the expert would go for."""
        world, answers = self._episode.world, []
        for _ in range(MAYBE):
            beside = {name: wrong + self._rng.normal(0, self._doubt.unsure, 2) for name, wrong in self._wrong.items()}
            answers.append(as_action(self._episode.task.guide(_Seen(world, beside)), world.tool, world.table))  # type: ignore[arg-type]
        translation, gripper = (np.mean([getattr(a, name) for a in answers], 0) for name in ("translation", "gripper"))
        return Action(translation, answers[0].rotation, gripper)


@dataclass
class _Seen:
    """Pass on a world whose bodies stand beside where they stand, by [2] m each."""

    world: World
    beside: dict[str, NDArray[np.float64]]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.world, name)

    def pose(self, body: str) -> NDArray[np.float64]:
        pose = self.world.pose(body).copy()
        pose[:2, 3] += self.beside.get(body, 0.0)
        return pose
