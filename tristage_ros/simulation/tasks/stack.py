"""Put the banana on the blue plate, both of them on stands of their own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tristage_ros.simulation.objects import BANANA, CLUTTER, PLATE, Piece
from tristage_ros.simulation.tasks.banana import Banana
from tristage_ros.simulation.tasks.task import World

HIGHEST = 0.09  # m, of a stand above the table
PLATE_HALF, BANANA_HALF = 0.060, 0.055  # m, half the length of a stand's sides
_UNDER = {"plate_stand": 0.085, "banana_stand": 0.070}  # m around its middle, where things lie on it


def _stand(name: str, half: float, beneath: Piece) -> Piece:
    """Return a box with its top at its origin, sunk into the table as far as it does not rise from it."""
    deep = HIGHEST / 2 + 0.005
    xml = f"""
 <body name="{name}">
  <geom class="fixed" type="box" size="{half} {half} {deep}" pos="0 0 {-deep}" rgba="0.55 0.50 0.44 1"/>
 </body>"""
    return Piece(name, xml, beneath.clearance, 0.0, beneath.x, beneath.y, lift=(0.0, HIGHEST))


_STANDING = (
    _stand("plate_stand", PLATE_HALF, PLATE),
    replace(PLATE, inside="plate_stand"),
    _stand("banana_stand", BANANA_HALF, BANANA),
    replace(BANANA, inside="banana_stand"),
)


class Stack(Banana):
    """Do the same at any height: what the image tells of a place on the table does not hold here."""

    name = "stack"
    pieces = _STANDING
    companies = ()
    own_model = (*_STANDING, *CLUTTER)

    def ground(self, world: World, place: NDArray[np.float64]) -> float:
        """Return how high the stand at `place` [2] is, m, 0 where there is none."""
        stands = [(world.pose(name)[:3, 3], radius) for name, radius in _UNDER.items()]
        return max([float(top[2]) for top, radius in stands if np.linalg.norm(top[:2] - place) < radius], default=0.0)

    def truth(self, world: World) -> dict[str, float]:
        """Return the same, and how high both stands are."""
        heights = {name: float(world.pose(name)[2, 3]) for name in ("plate_stand", "banana_stand")}
        return super().truth(world) | heights
