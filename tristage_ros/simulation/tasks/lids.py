"""Close the box or the laptop: push the lid over from behind and press it down."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tristage_ros.simulation.objects import (
    BOX,
    BOX_ASIDE,
    BOX_LID,
    FRIDGE_ASIDE,
    LAPTOP,
    LAPTOP_ASIDE,
    LAPTOP_LID,
    WIDEST,
    Lid,
)
from tristage_ros.simulation.tasks.task import CLOSED, KeyFrame, Task, World, azimuth_of

UPRIGHT = math.radians(55.0)  # a lid that stands steeper has to be pushed over before it can be pressed
SHUT = math.radians(6.0)
_BEHIND = 0.06  # m between the widest lid's edge and the tool that is about to push
_BESIDE = 0.15  # m to either side of a lid's middle: from there the straight way over the lid leads through it
_TIPS = 0.011  # m from the fingertips' contact to the tool when it presses, a little less than it really is


class CloseLid(Task):
    """Close the lid of a body, whatever that is; lid and hinge are called `<body>_lid`."""

    body: str
    lid: Lid

    def success(self, world: World) -> bool:
        """Tell whether the lid is down."""
        return world.angle(f"{self.body}_lid") < SHUT and world.speed(f"{self.body}_lid") < 0.1

    def expert(self, world: World) -> KeyFrame:
        """Return the next of: rise, over, behind, push, press; the gripper is closed."""
        lid, angle = self.lid, world.angle(f"{self.body}_lid")
        frame = world.pose(self.body)
        reach = lid.hinge + 0.65 * lid.length  # where the tool pushes to, and presses
        back = lid.hinge + lid.length * math.cos(WIDEST) - _BEHIND  # where it comes down behind the open lid
        high = lid.height + 0.6 * lid.length  # where it pushes
        x, y, z = frame[:3, :3].T @ (world.tool[:3, 3] - frame[:3, 3])
        if angle < UPRIGHT:
            low = lid.height + lid.thickness + _TIPS
            if x > lid.hinge and abs(y) < 0.05:
                return _key_frame("press", frame, (reach, 0.0, low))
            return _key_frame("above", frame, (reach, 0.0, lid.height + lid.length + 0.05))
        behind = x < lid.hinge + (z - lid.height) / math.tan(angle) - 0.005 and abs(y) < 0.04
        if behind and x < back + 0.05 and z > high + 0.03:
            return _key_frame("behind", frame, (back, 0.0, high))
        if behind and z <= high + 0.03:
            return _key_frame("push", frame, (reach, 0.0, high))
        if z < lid.height + lid.length + 0.03 and back < x < lid.hinge + 0.05 and abs(y) < _BESIDE:
            return _key_frame("rise", frame, (x, y, lid.height + lid.length + 0.07))
        return _key_frame("over", frame, (back, 0.0, lid.height + lid.length + 0.07))

    def truth(self, world: World) -> dict[str, float]:
        """Return the place and direction of the body and how far the lid is open."""
        x, y = world.pose(self.body)[:2, 3]
        return {"x": x, "y": y, "yaw": world.heading(self.body), "angle": world.angle(f"{self.body}_lid")}


def _key_frame(stage: str, frame: NDArray[np.float64], local: tuple[float, float, float]) -> KeyFrame:
    position = frame[:3, :3] @ local + frame[:3, 3]
    return KeyFrame(stage, position, azimuth_of(position), CLOSED)


class Box(CloseLid):
    """Push the lid of a cardboard box over from the side it hangs on, and press it down."""

    name = "box"
    pieces = (BOX,)
    companies = ((BOX_ASIDE, FRIDGE_ASIDE),)
    body, lid = "box", BOX_LID


class Laptop(CloseLid):
    """Push the screen over from behind, and press it down on the keyboard."""

    name = "laptop"
    pieces = (LAPTOP,)
    companies = ((LAPTOP_ASIDE, FRIDGE_ASIDE),)
    body, lid = "laptop", LAPTOP_LID
