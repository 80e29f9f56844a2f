"""Where the arm may be: boxes and a table, in the base frame, m."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tristage_ros.devices.arm.kinematics import tool_pose
from tristage_ros.devices.arm.tool import Tool

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Box:
    """Name a part of space whose sides are those of the base frame; m."""

    name: str
    lower: tuple[float, float, float]
    upper: tuple[float, float, float]

    def __post_init__(self) -> None:
        """Refuse an empty box.

        Raises:
            ValueError: a bound is not finite, or lower is not below upper.
        """
        if not np.less(self.lower, self.upper).all() or not np.isfinite([*self.lower, *self.upper]).all():
            raise ValueError(f"{self.name} from {list(self.lower)} to {list(self.upper)} m is empty or not finite")

    def outside(self, point: Floats) -> Floats:
        """Return by how much, m, points [..., 3] are outside [...]; negative: the way to the nearest side."""
        beyond: Floats = np.maximum(np.array(self.lower) - point, point - np.array(self.upper)).max(-1)
        return beyond

    def distance(self, point: Floats) -> Floats:
        """Return the distance, m, of points [..., 3] from the box [...]; negative inside, to the nearest side."""
        beyond = np.maximum(np.array(self.lower) - point, point - np.array(self.upper))
        away: Floats = np.linalg.norm(np.maximum(beyond, 0.0), axis=-1) + np.minimum(beyond.max(-1), 0.0)
        return away


@dataclass(frozen=True)
class Workspace:
    """Bound the grasp centre by a box and keep the open fingers above the table; base frame, m."""

    lower: tuple[float, float, float] = (0.0, -0.55, 0.0)
    upper: tuple[float, float, float] = (0.75, 0.55, 0.75)
    table_height: float = 0.0

    def __post_init__(self) -> None:
        """Refuse an empty box.

        Raises:
            ValueError: a bound is not finite, or lower is not below upper.
        """
        if not np.less(self.lower, self.upper).all() or not np.isfinite([*self.lower, *self.upper]).all():
            raise ValueError(f"workspace from {self.lower} to {self.upper} m is empty or not finite")
        if not self.table_height < self.upper[2]:
            raise ValueError(f"table at {self.table_height} m is not below the top of the workspace, {self.upper[2]} m")

    def excess(self, flange: Floats, tool: Tool | None = None) -> Floats:
        """Return by how many metres [...] the tool of flange poses [..., 4, 4] is outside; 0 inside."""
        tool = tool or Tool()
        pose = tool_pose(flange, tool.tcp)
        worst: Floats = np.abs(self._correction(pose, tool)).max(-1)
        return worst

    def nearest(self, pose: Floats, tool: Tool | None = None) -> Floats:
        """Return the pose [4, 4] nearest to a pose [4, 4] of the grasp centre, orientation kept, that is inside."""
        moved: Floats = pose.copy()
        moved[:3, 3] += self._correction(pose, tool or Tool())
        return moved

    def _correction(self, pose: Floats, tool: Tool) -> Floats:
        """Return the shift [..., 3] that brings grasp centres at poses [..., 4, 4] inside."""
        point = pose[..., :3, 3]
        lower = np.broadcast_to(np.array(self.lower), point.shape).copy()
        lower[..., 2] = np.maximum(lower[..., 2], self.table_height - tool.lowest(pose[..., :3, :3]))
        shift: Floats = np.clip(point, lower, np.maximum(lower, self.upper)) - point
        return shift
