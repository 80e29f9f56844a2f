"""Press one of two buttons: that of a colour, or the higher one.

The fingers close above a button, and with that both buttons move, so that where to press has to be seen anew. There is
one press.
"""

from __future__ import annotations

import colorsys
from abc import abstractmethod
from collections.abc import Sequence

import mujoco
import numpy as np
from numpy.typing import NDArray

from tristage_ros.simulation import buttons
from tristage_ros.simulation.buttons import BUTTONS, DOWN, NAMES, Layout
from tristage_ros.simulation.objects import Piece
from tristage_ros.simulation.scene import table_height
from tristage_ros.simulation.tasks.task import CLOSED, KeyFrame, Task, World, azimuth_of, ramp, tilt, tool_rotation

Floats = NDArray[np.float64]

ABOVE = 0.060  # m over where it presses, where the tool closes its fingers
DEPTH = 0.0075  # m below a cap's top, to where the fingertips press it
TIPS, EDGE = 0.015, 0.010  # m from the tool to the ends of the fingers, and from there to their edges
TOGETHER = 0.006  # m between fingers that are closed
OVER = 0.060  # m in plan between fingertips and cap, from where they go down
PAST, AROUND = 0.016, 0.100  # m below the top of a cap that is up, and in plan: fingertips there have missed it
CLEARLY = 0.030  # m, by which the higher one is higher
RED, BLUE = (0.82, 0.12, 0.10), (0.10, 0.20, 0.82)  # RGB
_MOVED, _WRONG, _MISSED, _THEN = 0, 1, 2, slice(3, 9)  # in the state's memory


class Press(Task):
    """Close the fingers above a button, look where it has gone, and press it, and not the other one."""

    pieces = own_model = BUTTONS
    max_steps = 2

    @abstractmethod
    def wanted(self, world: World) -> str:
        """Return the name of the button that is to be pressed."""

    @abstractmethod
    def colors(self, rng: np.random.Generator) -> Floats:
        """Return the colours of both caps, [2, 3] RGB 0..1."""

    def suits(self, layout: Layout) -> bool:
        """Tell whether the task can be told of such buttons."""
        return True

    def arrange(
        self, model: mujoco.MjModel, data: mujoco.MjData, pieces: Sequence[Piece], rng: np.random.Generator
    ) -> None:
        """Put both buttons up, and keep in mind where they will move."""
        eye = model.camera("front").pos - (0.0, 0.0, table_height(model))
        layout = buttons.draw(rng, eye, self.suits)
        buttons.put(model, layout.first, layout.radii)
        buttons.paint(model, self.colors(rng))
        data.userdata[_THEN] = layout.then.ravel()

    def react(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        """Move both buttons once the fingers have closed, and remember a touch or a miss that spoils the attempt."""
        world, memory = World(model, data), data.userdata
        wanted = self.wanted(world)
        if any(buttons.touched(model, data, name) for name in NAMES if name != wanted):
            memory[_WRONG] = 1.0
        below = world.pose(wanted)[:3, 3] - _fingertips(world.tool)
        if memory[_MOVED] and below[2] > PAST and np.linalg.norm(below[:2]) < AROUND:
            memory[_MISSED] = 1.0
        if not memory[_MOVED] and world.opening < TOGETHER:
            memory[_MOVED] = 1.0
            buttons.put(model, memory[_THEN].reshape(2, 3))

    def success(self, world: World) -> bool:
        """Tell whether the button is down, and nothing has touched the other one."""
        return world.angle(f"{self.wanted(world)}_cap") > DOWN and not self.lost(world)

    def lost(self, world: World) -> bool:
        """Tell whether the other button was touched, or the fingertips went past the one that is wanted."""
        return bool(world.memory[_WRONG] or world.memory[_MISSED])

    def expert(self, world: World) -> KeyFrame:
        """Return the next of: above, press; the fingers close above."""
        below = world.pose(self.wanted(world))[:3, 3] - _fingertips(world.tool)
        if world.opening < TOGETHER and np.linalg.norm(below[:2]) < OVER and below[2] < 0.0:
            return self._over(world, "press", 0.0)
        return self._over(world, "above", ABOVE)

    def guide(self, world: World) -> KeyFrame:
        """Return the next of the same, lower and lower as the fingertips come to be right above the button."""
        if self.success(world):
            return self.rest(world)
        off = float(np.linalg.norm((world.pose(self.wanted(world))[:3, 3] - _fingertips(world.tool))[:2]))
        beside = max(ramp(off, 0.006, 0.020), float(world.opening > TOGETHER))
        return self._over(world, "above" if beside == 1.0 else "press", beside * ABOVE)

    def rest(self, world: World) -> KeyFrame:
        """Return where it presses: it goes on pressing."""
        return self._over(world, "rest", 0.0)

    def truth(self, world: World) -> dict[str, float]:
        """Return the place of the button that is wanted, and that of the other one."""
        wanted = self.wanted(world)
        (x, y, z), (other_x, other_y, other_z) = (
            world.pose(name)[:3, 3] for name in sorted(NAMES, key=lambda name: name != wanted)
        )
        return {"x": x, "y": y, "z": z, "other_x": other_x, "other_y": other_y, "other_z": other_z}

    def _over(self, world: World, stage: str, height: float) -> KeyFrame:
        """Return the fingers closed `height` m over where they press; they lean as far as they have to above it."""
        top = world.pose(self.wanted(world))[:3, 3]
        lean = tilt(world.table + top[2] + ABOVE)
        pose = np.eye(4)
        pose[:3, :3] = tool_rotation(top, azimuth_of(top), lean)
        position = top - _fingertips(pose) + (0.0, 0.0, height - DEPTH)
        return KeyFrame(stage, position, azimuth_of(position), CLOSED, lean)


class Button(Press):
    """Press the button of a colour; the other one has the other colour."""

    def __init__(self, name: str, wanted: str) -> None:
        """Be the task `name`, about the button `wanted`."""
        self.name, self._wanted = name, wanted

    def wanted(self, world: World) -> str:
        """Return the one of the colour."""
        return self._wanted

    def colors(self, rng: np.random.Generator) -> Floats:
        """Return a red and a blue."""
        return np.clip(np.array([RED, BLUE]) + rng.normal(0.0, 0.03, (2, 3)), 0.0, 1.0)


class Higher(Press):
    """Press the higher button; colours say nothing: they are the same, or any two."""

    name = "higher"

    def wanted(self, world: World) -> str:
        """Return the higher one."""
        return max(NAMES, key=lambda name: world.pose(name)[2, 3])

    def colors(self, rng: np.random.Generator) -> Floats:
        """Return one colour twice, or two colours."""
        two = [colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.4, 0.9), rng.uniform(0.4, 0.9)) for _ in NAMES]
        return np.array(two if rng.random() < 0.5 else two[:1] * 2)

    def suits(self, layout: Layout) -> bool:
        """Tell whether the same one is clearly the higher one before both move and afterwards."""
        first, then = (places[0, 2] - places[1, 2] for places in (layout.first, layout.then))
        return bool(min(abs(first), abs(then)) > CLEARLY and first * then > 0.0)


def _fingertips(tool: Floats) -> Floats:
    """Return where the lowest edge of closed fingers is, [3] m, for a tool at pose [4, 4]."""
    edges = [tool[:3, 3] + tool[:3, :3] @ (side * EDGE, 0.0, TIPS) for side in (-1.0, 1.0)]
    return min(edges, key=lambda edge: float(edge[2]))
