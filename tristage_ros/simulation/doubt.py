"""What a policy learns from the expert who is not sure where things stand: the mean of all that may be right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tristage_ros.mla.values import Action
from tristage_ros.simulation import approach
from tristage_ros.simulation.episode import Episode
from tristage_ros.simulation.world import World

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
            answers.append(approach.whole(self._episode.task.guide(_Seen(world, beside)), world.tool))  # type: ignore[arg-type]
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
