"""Put the banana on the blue plate."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tristage_ros.simulation.objects import BANANA, BANANA_AND_UMBRELLA, BANANA_MIDDLE, PLATE
from tristage_ros.simulation.tasks.task import CLOSED, OPEN, KeyFrame, Task, World, keep_yaw, nearest_grasp, ramp

# Heights of the tool above what the thing stands on, m: each stage has its own, so that the next one can be told from
# where the tool is.
ABOVE, LIFTED, OVER_PLATE, RELEASE = 0.110, 0.105, 0.145, 0.050
LOW = 0.040  # m, likewise; below it the fingers are beside the banana
LEAST_GRASP = 0.027  # m, at which a leaning tool has one finger close above the table
ON_PLATE = 0.075  # m between the centres of banana and plate, at most
RESTING = 0.060  # m, height of a banana on the plate, at most
HELD = (0.012, 0.042)  # m, opening of fingers that have the banana between them
FARTHEST_TURN = 2.4  # rad, of the wrist in one key frame
_STILL = 0.1  # m/s


class Banana(Task):
    """Grasp the banana across its middle, lift it and lay it on the plate."""

    name = "banana"
    pieces = (PLATE, BANANA)
    companies = BANANA_AND_UMBRELLA

    def success(self, world: World) -> bool:
        """Tell whether the banana lies still on the plate and the gripper has let go of it."""
        banana = _middle(world)
        plate = world.pose("plate")[:2, 3]
        near, high = float(np.linalg.norm(banana[:2] - plate)), banana[2] - self.ground(world, plate)
        return near < ON_PLATE and high < RESTING and world.gripper > 0.6 and world.speed("banana") < _STILL

    def ground(self, world: World, place: NDArray[np.float64]) -> float:
        """Return how high it is, m, what things at `place` [2] stand on."""
        return 0.0

    def expert(self, world: World) -> KeyFrame:
        """Return the next of: above, grasp, close, lift, over the plate, release."""
        tool, banana = world.tool[:3, 3], _middle(world)
        if HELD[0] < world.opening < HELD[1] and np.linalg.norm(tool - banana) < 0.05:
            return self._carry(world, tool, banana)
        return self._grasp(world, tool, banana)

    def guide(self, world: World) -> KeyFrame:
        """Return the next of the same, lower and lower as the tool comes to be right above what it goes for."""
        if self.success(world):
            return self.rest(world)
        tool, banana, plate = world.tool[:3, 3], _middle(world), world.pose("plate")[:2, 3]
        if HELD[0] < world.opening < HELD[1] and np.linalg.norm(tool - banana) < 0.05:
            return self._guided_carry(world, tool, banana, plate)
        lies = banana[2] - self.ground(world, plate) < RESTING
        if np.linalg.norm(banana[:2] - plate) < ON_PLATE and lies and world.opening > HELD[1]:
            return KeyFrame("release", tool, world.yaw, OPEN)
        return self._guided_grasp(world, tool, banana)

    def truth(self, world: World) -> dict[str, float]:
        """Return the places of banana and plate and the banana's direction."""
        (x, y), (plate_x, plate_y) = _middle(world)[:2], world.pose("plate")[:2, 3]
        return {"x": x, "y": y, "yaw": world.heading("banana"), "plate_x": plate_x, "plate_y": plate_y}

    def _grasp(self, world: World, tool: NDArray[np.float64], banana: NDArray[np.float64]) -> KeyFrame:
        present, ground = world.yaw, self.ground(world, banana[:2])
        low, up = max(LEAST_GRASP, banana[2] - ground) + ground, tool[2] - ground
        yaw = nearest_grasp(world.heading("banana"), banana, present)
        off, turned = float(np.linalg.norm((tool - banana)[:2])), abs(math.remainder(present - yaw, math.pi))
        if world.gripper > 0.8 and up > LOW and off < 0.03 and turned < 0.45:
            return KeyFrame("grasp", np.array([*banana[:2], low]), yaw, OPEN)
        if world.opening > HELD[1] and up <= LOW and off < 0.02 and turned < 0.35:
            return KeyFrame("close", tool, present, CLOSED)
        yaw = min(present + FARTHEST_TURN, max(present - FARTHEST_TURN, yaw))
        return KeyFrame("above", np.array([*banana[:2], ABOVE + ground]), yaw, OPEN)

    def _guided_grasp(self, world: World, tool: NDArray[np.float64], banana: NDArray[np.float64]) -> KeyFrame:
        present, ground = world.yaw, self.ground(world, banana[:2])
        low, up = max(LEAST_GRASP, banana[2] - ground), tool[2] - ground
        yaw = nearest_grasp(world.heading("banana"), banana, present)
        off, turned = _off(world, tool, banana), abs(math.remainder(present - yaw, math.pi))
        slack = 0.010 * (1.0 - ramp(up, LOW, ABOVE))
        beside = max(ramp(off, 0.018 + slack, 0.055 + slack), ramp(turned, 0.3, 0.6), float(world.opening < HELD[1]))
        position = np.array([*banana[:2], low + beside * (ABOVE - low) + ground])
        yaw = min(present + FARTHEST_TURN, max(present - FARTHEST_TURN, yaw))
        if up <= LOW and beside < 0.25:
            return KeyFrame("close", np.array([*tool[:2], low + ground]), present, CLOSED)
        return KeyFrame("above" if beside == 1.0 else "grasp", position, yaw, OPEN)

    def _guided_carry(
        self, world: World, tool: NDArray[np.float64], banana: NDArray[np.float64], plate: NDArray[np.float64]
    ) -> KeyFrame:
        goal, ground = tool[:2] + plate - banana[:2], self.ground(world, plate)
        clear = max(ground, self.ground(world, banana[:2]))
        away = ramp(float(np.linalg.norm(goal - tool[:2])), 0.04, 0.08)
        high = ramp(tool[2] - clear, 0.05, 0.09) if away == 1.0 else 1.0  # the banana first has to be off the table
        over = tool[:2] + high * (goal - tool[:2])
        position = np.array([*over, RELEASE + ground + away * (OVER_PLATE - RELEASE + clear - ground)])
        lets_go = away < 0.4 and tool[2] - ground < RELEASE + 0.035
        stage = "release" if away < 1.0 else "over plate" if high else "lift"
        return KeyFrame(stage, position, keep_yaw(world.yaw, position), OPEN if lets_go else CLOSED)

    def _carry(self, world: World, tool: NDArray[np.float64], banana: NDArray[np.float64]) -> KeyFrame:
        plate = world.pose("plate")[:2, 3]
        goal = tool[:2] + plate - banana[:2]  # of the tool, so that the banana is over the plate
        ground = self.ground(world, plate)
        clear = max(ground, self.ground(world, banana[:2]))
        over = float(np.linalg.norm(goal - tool[:2])) < 0.035
        if tool[2] - clear < 0.07 and not over:
            return KeyFrame("lift", np.array([*tool[:2], LIFTED + clear]), world.yaw, CLOSED)
        stage, height, gripper = ("release", RELEASE, OPEN) if over else ("over plate", OVER_PLATE, CLOSED)
        position = np.array([*goal, height + ground])
        return KeyFrame(stage, position, keep_yaw(world.yaw, position), gripper)


def _off(world: World, tool: NDArray[np.float64], banana: NDArray[np.float64]) -> float:
    """Return how far the tool is beside the middle of the banana, m; what is along it counts half."""
    heading = world.heading("banana")
    x, y = (tool - banana)[:2]
    along, across = x * math.cos(heading) + y * math.sin(heading), y * math.cos(heading) - x * math.sin(heading)
    return math.hypot(0.5 * along, across)


def _middle(world: World) -> NDArray[np.float64]:
    """Return the middle [3] of the banana's flesh, m."""
    pose = world.pose("banana")
    middle: NDArray[np.float64] = pose[:3, :3] @ BANANA_MIDDLE + pose[:3, 3]
    return middle
