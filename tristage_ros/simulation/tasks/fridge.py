"""Close the fridge."""

from __future__ import annotations

import math

import numpy as np

from tristage_ros.simulation.objects import BOX_ASIDE, FRIDGE, FRIDGE_ASIDE, FRIDGE_HINGE, LAPTOP_ASIDE
from tristage_ros.simulation.tasks.task import CLOSED, KeyFrame, Task, World, azimuth_of

CONTACT = 0.110  # m from the hinge, where the tool pushes
HEIGHT = 0.190  # m, of the tool that pushes: the fingers beside the door, the hand above it
OVER = 0.270  # m, of the tool that passes over the door
PUSHED = math.radians(40.0)  # to where the first push brings the door
SHUT = math.radians(5.0)
EDGE = 0.17  # m from the hinge: beyond it the tool is beside the door, not in front of it
LIGHT = 0.018  # m in front of the shut door, where the tool is sent: it touches, and 5 degrees are 10 mm there


class Fridge(Task):
    """Push the door shut from outside."""

    name = "fridge"
    pieces = (FRIDGE,)
    companies = ((FRIDGE_ASIDE, BOX_ASIDE), (FRIDGE_ASIDE, LAPTOP_ASIDE))

    def success(self, world: World) -> bool:
        """Tell whether the door is shut."""
        return world.angle("fridge_door") < SHUT and world.speed("fridge_door") < 0.1

    def expert(self, world: World) -> KeyFrame:
        """Return the next of: rise, over, beside, push, shut; the gripper is closed."""
        angle = world.angle("fridge_door")
        tool = _axes(world).T @ (world.tool[:3, 3] - world.pose("fridge")[:3, 3])
        along = float((tool[:2] - FRIDGE_HINGE) @ _along(angle))  # m from the hinge
        away = float((tool[:2] - FRIDGE_HINGE) @ _outward(angle))  # m in front of the door's outer face
        if tool[2] < HEIGHT + 0.04 and away > 0.0 and along < EDGE:
            if angle > PUSHED + 0.15:
                return _key_frame("push", world, PUSHED, 0.015, HEIGHT)
            return _key_frame("shut", world, 0.0, LIGHT, HEIGHT)
        if tool[2] < OVER - 0.03 and away < 0.04 and along < 0.25:  # the straight way over the door leads through it
            up = np.array([0.0, 0.0, OVER - tool[2]])
            position = world.tool[:3, 3] + up
            return KeyFrame("rise", position, azimuth_of(position), CLOSED)
        ready = FRIDGE_HINGE + CONTACT * _along(angle) + 0.08 * _outward(angle)
        if np.linalg.norm(tool[:2] - ready) < 0.03:
            return _key_frame("beside", world, angle, 0.08, HEIGHT)
        return _key_frame("over", world, angle, 0.08, OVER)

    def truth(self, world: World) -> dict[str, float]:
        """Return the place and direction of the fridge and how far its door is open."""
        x, y = world.pose("fridge")[:2, 3]
        return {"x": x, "y": y, "yaw": world.heading("fridge"), "angle": world.angle("fridge_door")}


def _axes(world: World) -> np.ndarray:
    """Return the fridge's axes [3, 3] as columns, x turned round so that it always points away from the hinge."""
    return world.pose("fridge")[:3, :3] * (-math.copysign(1.0, world.pivot("fridge_door")[0]), 1.0, 1.0)


def _along(angle: float) -> np.ndarray:
    """Return the direction [2] from the hinge to the door's edge, in the fridge's frame."""
    return np.array([math.cos(angle), -math.sin(angle)])


def _outward(angle: float) -> np.ndarray:
    """Return the direction [2] that the door's outer face looks in, in the fridge's frame."""
    return np.array([-math.sin(angle), -math.cos(angle)])


def _key_frame(stage: str, world: World, angle: float, distance: float, height: float) -> KeyFrame:
    """Place the tool `distance` m in front of where the contact is at a door `angle`."""
    place = FRIDGE_HINGE + CONTACT * _along(angle) + (0.012 + distance) * _outward(angle)
    position = _axes(world) @ (*place, height) + world.pose("fridge")[:3, 3]
    return KeyFrame(stage, position, azimuth_of(position), CLOSED)
