"""The part of space in which the tool may be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tristage_ros.devices.arm.kinematics import FINGERTIP_OFFSET, TOOL_OFFSET, tool_pose

_FINGER = FINGERTIP_OFFSET - TOOL_OFFSET  # m, from the grasp centre to the fingertips


@dataclass(frozen=True)
class Workspace:
    """Bound the grasp centre by a box and keep the fingertips above the table; base frame, m."""

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

    def excess(self, flange: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return by how many metres [...] the tool of flange poses [..., 4, 4] is outside; 0 inside."""
        tool = tool_pose(flange)
        move = np.abs(self._correction(tool[..., :3, 3], tool[..., 2, 2]))
        worst: NDArray[np.float64] = move.max(-1)
        return worst

    def nearest(self, tool: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the pose [4, 4] nearest to a tool pose [4, 4], orientation kept, that is inside."""
        moved: NDArray[np.float64] = tool.copy()
        moved[:3, 3] += self._correction(tool[:3, 3], tool[2, 2])
        return moved

    def _correction(self, point: NDArray[np.float64], down: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the shift [..., 3] that brings grasp centres [..., 3] inside; `down` [...]: z of the tool's z axis."""
        lower = np.broadcast_to(np.array(self.lower), point.shape).copy()
        lower[..., 2] = np.maximum(lower[..., 2], self.table_height - np.minimum(_FINGER * down, 0.0))
        shift: NDArray[np.float64] = np.clip(point, lower, np.maximum(lower, self.upper)) - point
        return shift
