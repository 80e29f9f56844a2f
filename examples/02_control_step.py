"""One control step without ROS: what two cameras and an arm give goes in, an action and what was pruned come out."""

from __future__ import annotations

import numpy as np

from tristage_ros.mla.loading import build_policy
from tristage_ros.mla.values import Observation
from tristage_ros.perception.camera import CameraModel
from tristage_ros.perception.cloud import RgbdFrame, Workspace, build_cloud
from tristage_ros.pruning import PruningConfig
from tristage_ros.resources import find_checkpoint

WIDTH, HEIGHT = 320, 240
WORKSPACE = Workspace((0.1, -0.4, -0.05), (0.6, 0.4, 0.6))  # m, base frame


def camera() -> CameraModel:
    """Return a camera 0.8 m above the table in front of the arm, looking straight down: replace it by yours."""
    pose = np.array([[0.0, -1.0, 0.0, 0.35], [-1.0, 0.0, 0.0, 0.0], [0.0, 0.0, -1.0, 0.8], [0.0, 0.0, 0.0, 1.0]])
    return CameraModel(WIDTH, HEIGHT, fx=300.0, fy=300.0, cx=159.5, cy=119.5, pose=pose)


def look(step: int) -> tuple[np.ndarray, np.ndarray]:
    """Return colour [H, W, 3] and depth [H, W] m of a table with a box on it that moves: replace them by yours."""
    color = np.full((HEIGHT, WIDTH, 3), (168, 138, 105), np.uint8)
    depth = np.full((HEIGHT, WIDTH), 0.8, np.float32)
    box = np.s_[100:130, 100 + 8 * step : 150 + 8 * step]
    color[box], depth[box] = (242, 209, 41), 0.76
    return color, depth


def main(steps: int = 4) -> list[float]:
    """Run a few steps; return the share of tokens that each of them left out."""
    policy = build_policy(find_checkpoint(""), PruningConfig.robot())  # the mini that ships; or a path
    policy.reset("put the banana on the blue plate")
    state = np.array([0.25, 0.0, 0.20, np.pi, 0.0, 0.0, 1.0], np.float32)  # tool x, y, z, roll, pitch, yaw, gripper
    rates = []
    for step in range(steps):
        stamp = 0.2 * step  # s
        color, depth = look(step)
        cloud = build_cloud([RgbdFrame(color, depth, camera(), stamp)], WORKSPACE)
        action, report = policy.act(Observation(color, camera(), cloud.points, state, depth, stamp))
        rates.append(report.pruning.rate)
        x, y, z = 1e3 * action.translation[0]
        print(
            f"step {report.step}: move by {x:4.0f} {y:4.0f} {z:4.0f} mm, gripper to {action.gripper[0]:.2f}; "
            f"{report.pruning.rate:.0%} of the tokens left out, {report.milliseconds['total']:.0f} ms"
        )
    return rates


if __name__ == "__main__":
    main()
