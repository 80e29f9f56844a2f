"""A task of one's own in the simulated cell: pick up a red cube. The expert shows that it can be done."""

from __future__ import annotations

import sys

import numpy as np

from tristage_ros.simulation.episode import Episode
from tristage_ros.simulation.objects import Piece
from tristage_ros.simulation.tasks import KeyFrame, Task
from tristage_ros.simulation.tasks.task import CLOSED, OPEN, World, keep_yaw, nearest_grasp

CUBE = Piece(
    "cube",
    """<body name="cube"><freejoint name="cube"/>
         <geom class="object" type="box" size="0.018 0.018 0.018" mass="0.05" rgba="0.8 0.1 0.1 1"/></body>""",
    clearance=0.05, height=0.018, x=(0.28, 0.40), y=(-0.15, 0.15),
)  # fmt: skip
ABOVE, GRASP, LIFTED = 0.12, 0.030, 0.16  # m, heights of the tool


class PickCube(Task):
    """Grasp the cube and hold it up."""

    name = "cube"
    instruction = "pick up the red cube"
    pieces = (CUBE,)

    def success(self, world: World) -> bool:
        """Tell whether the cube is held up."""
        return world.pose("cube")[2, 3] > 0.10 and world.speed("cube") < 0.1

    def expert(self, world: World) -> KeyFrame:
        """Return the next of: above, grasp, close, lift."""
        tool, cube = world.tool[:3, 3], world.pose("cube")[:3, 3]
        yaw = nearest_grasp(world.heading("cube"), cube, world.yaw)
        beside = float(np.linalg.norm((tool - cube)[:2]))
        if beside < 0.02 and tool[2] < GRASP + 0.015:
            if world.opening < 0.045:
                up = np.array([*tool[:2], LIFTED])
                return KeyFrame("lift", up, keep_yaw(world.yaw, up), CLOSED)
            return KeyFrame("close", tool, world.yaw, CLOSED)
        if beside < 0.03 and world.gripper > 0.8:
            return KeyFrame("grasp", np.array([*cube[:2], GRASP]), yaw, OPEN)
        return KeyFrame("above", np.array([*cube[:2], ABOVE]), yaw, OPEN)

    def rest(self, world: World) -> KeyFrame:
        """Stay where the cube is held up: the task is done there."""
        return KeyFrame("rest", world.tool[:3, 3], world.yaw, CLOSED)

    def truth(self, world: World) -> dict[str, float]:
        """Return the place of the cube."""
        x, y, z = world.pose("cube")[:3, 3]
        return {"x": x, "y": y, "z": z}


def main(seeds: int = 3) -> int:
    """Let the expert do it a few times; return how often it succeeded."""
    succeeded = 0
    for seed in range(seeds):
        episode = Episode(PickCube(), seed)
        while not episode.finished:
            frame = episode.key_frame()
            print(f"seed {seed}: {frame.stage}", file=sys.stderr)
            episode.step(episode.expert())
        succeeded += episode.success()
        print(f"seed {seed}: {'done' if episode.success() else 'not done'} after {episode.steps} key frames")
    return succeeded


if __name__ == "__main__":
    main()
