"""Take the umbrella out of the stand."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tristage_ros.simulation.objects import BANANA_AND_UMBRELLA, RIM, STAND, UMBRELLA
from tristage_ros.simulation.tasks.task import CLOSED, OPEN, KeyFrame, Task, World, azimuth_of, ramp

TILT = math.radians(42.0)  # of the tool, the same at every height, so that the umbrella comes out straight
HANDLE = 0.172  # m from the umbrella's tip, where it is gripped
ABOVE = 0.085  # m over the grip, where the tool comes from
HELD = (0.010, 0.040)  # m, opening of fingers that have the handle between them
LIFT = 0.110  # m that the umbrella is pulled up


class Umbrella(Task):
    """Grip the umbrella by its handle and pull it out upwards."""

    name = "umbrella"
    pieces = (STAND, UMBRELLA)
    companies = BANANA_AND_UMBRELLA

    def success(self, world: World) -> bool:
        """Tell whether the gripper holds the umbrella, all of it above the stand."""
        tip = world.pose("umbrella")[2, 3]
        return tip > RIM + 0.01 and self._held(world) and world.speed("umbrella") < 0.3

    def rest(self, world: World) -> KeyFrame:
        """Return where the tool is: it goes on holding the umbrella."""
        return KeyFrame("rest", world.tool[:3, 3], azimuth_of(world.tool[:3, 3]), CLOSED, TILT)

    def expert(self, world: World) -> KeyFrame:
        """Return the next of: above, grip, close, pull."""
        tool, handle = world.tool[:3, 3], _handle(world)
        if self._held(world):
            return _key_frame("pull", tool + np.array([0.0, 0.0, LIFT - world.pose("umbrella")[2, 3]]), CLOSED)
        off = float(np.linalg.norm((tool - handle)[:2]))
        if world.opening > HELD[1] and off < 0.02 and abs(tool[2] - handle[2]) < 0.02:
            return _key_frame("close", tool, CLOSED)
        if world.gripper > 0.8 and off < 0.02:
            return _key_frame("grip", handle, OPEN)
        return _key_frame("above", handle + np.array([0.0, 0.0, ABOVE]), OPEN)

    def guide(self, world: World) -> KeyFrame:
        """Return the next of the same, lower and lower as the tool comes to be right above the handle."""
        tool, handle = world.tool[:3, 3], _handle(world)
        if self.success(world) or self._held(world):
            return self.act(world)
        beside = max(ramp(float(np.linalg.norm((tool - handle)[:2])), 0.008, 0.03), float(world.opening < HELD[1]))
        position = handle + np.array([0.0, 0.0, beside * ABOVE])
        closes = beside < 0.25 and abs(tool[2] - handle[2]) < 0.02
        stage = "close" if closes else "above" if beside == 1.0 else "grip"
        return _key_frame(stage, position, CLOSED if closes else OPEN)

    def truth(self, world: World) -> dict[str, float]:
        """Return the place of the handle and how high the umbrella's tip is."""
        x, y, z = _handle(world)
        return {"x": x, "y": y, "z": z, "tip": float(world.pose("umbrella")[2, 3])}

    def _held(self, world: World) -> bool:
        near = float(np.linalg.norm(world.tool[:3, 3] - _handle(world)))
        return HELD[0] < world.opening < HELD[1] and near < 0.045


def _handle(world: World) -> NDArray[np.float64]:
    pose = world.pose("umbrella")
    grip: NDArray[np.float64] = pose[:3, 3] + HANDLE * pose[:3, 2]
    return grip


def _key_frame(stage: str, position: NDArray[np.float64], gripper: float) -> KeyFrame:
    return KeyFrame(stage, position, azimuth_of(position), gripper, TILT)
