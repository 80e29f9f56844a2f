"""Everything that a seed decides about an attempt at a task: what stands where, what it looks like, the arm's start."""

from __future__ import annotations

from dataclasses import replace

import mujoco
import numpy as np

from tristage_ros.simulation.appearance import Appearance
from tristage_ros.simulation.furniture import BOX, FRIDGE, LAPTOP
from tristage_ros.simulation.objects import BANANA, CLUTTER, PLATE, STAND, UMBRELLA
from tristage_ros.simulation.piece import Piece
from tristage_ros.simulation.scene import HOME, place, put_away, settle, stand
from tristage_ros.simulation.tasks import Task
from tristage_ros.simulation.variation import Variation

EVERYTHING = (PLATE, BANANA, STAND, UMBRELLA, BOX, LAPTOP, FRIDGE, *CLUTTER)  # one model serves every task
_TABLE_X, _TABLE_Y = (0.16, 0.50), (-0.36, 0.36)  # m, where clutter may stand


class Setting:
    """Set the scene for one attempt after the other."""

    def __init__(self, model: mujoco.MjModel) -> None:
        """Take over `model`, which holds `EVERYTHING`."""
        self._model, self._appearance = model, Appearance(model)

    def start(self, task: Task, seed: int, variation: Variation) -> mujoco.MjData:
        """Return the state at the beginning, at rest; the same for the same task, seed and variation."""
        model, data, rng = self._model, mujoco.MjData(self._model), np.random.default_rng(seed)
        self._appearance.draw(variation, rng)
        pieces = (*self._pieces(task, variation, rng), *_clutter(variation))
        present = {piece.name for piece in pieces}
        put_away(model, data, [piece for piece in EVERYTHING if piece.name not in present])
        place(model, data, pieces, rng)
        start = HOME + variation.start * rng.uniform(-1, 1, 6) if variation.start else HOME
        stand(model, data, start)
        settle(model, data)
        return data

    def _pieces(self, task: Task, variation: Variation, rng: np.random.Generator) -> tuple[Piece, ...]:
        if not variation.company or rng.random() >= variation.company:
            return task.pieces
        return task.companies[rng.integers(len(task.companies))]


def _clutter(variation: Variation) -> tuple[Piece, ...]:
    if not variation.clutter:
        return CLUTTER
    return tuple(replace(piece, x=_TABLE_X, y=_TABLE_Y) for piece in CLUTTER)
