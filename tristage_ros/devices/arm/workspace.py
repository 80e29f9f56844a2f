"""Where the arm may be: its tool in the workspace, and no part of it in the table or in its own base.

Lengths in m, base frame. The guard asks both of every set-point and of every path before it begins.
"""

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


# Each part of the arm is a ball in the frame of its link; the base is an upright capsule.

Floats = NDArray[np.float64]

# name, link (0..5), centre in its frame, radius; the sizes are those of the arm's shells
_PARTS: tuple[tuple[str, int, tuple[float, float, float], float], ...] = (
    ("the elbow", 2, (0.0, 0.0, 0.0), 0.05),
    ("the forearm", 2, (-0.015, -0.11, 0.0), 0.035),
    ("the wrist", 3, (0.0, 0.0, 0.0), 0.04),
    ("the gripper", 5, (0.0, 0.035, 0.03), 0.03),
    ("the gripper", 5, (0.0, -0.035, 0.03), 0.03),
    ("a fingertip", 5, (0.0, 0.0, FINGERTIP_OFFSET), 0.0),
)
_BASE_RADIUS = 0.06
_BASE_HEIGHT = 0.11  # of the capsule's upper centre
_CAMERA_RADIUS = 0.025


@dataclass(frozen=True)
class Body:
    """Say how deep the parts of an arm are in the table or in its own base."""

    wrist_cameras: tuple[tuple[float, float, float], ...] = ((-0.072, 0.0, 0.030),)  # m, in the frame of the flange

    def __post_init__(self) -> None:
        """Refuse a camera that is not on the arm.

        Raises:
            ValueError: a number is not finite, or the camera is more than 0.3 m away from the flange.
        """
        for camera in self.wrist_cameras:
            if not np.linalg.norm(camera) <= 0.3:
                raise ValueError(f"a wrist camera is within 0.3 m of the flange, not at {camera}")

    def depth(self, links: Floats, table_height: float) -> tuple[Floats, NDArray[np.int_]]:
        """Return how many metres [...] the worst part is inside table or base (0: none is) and which [...] it is.

        Args:
            links: poses [..., 6, 4, 4] of the link frames.
            table_height: m.
        """
        parts = self._parts()
        link = [part[1] for part in parts]
        centre = np.array([[*part[2], 1.0] for part in parts])
        radius = np.array([part[3] for part in parts])
        balls = np.einsum("...pij,pj->...pi", links[..., link, :3, :], centre)  # (..., parts, 3)
        below = table_height - (balls[..., 2] - radius)
        axis = balls.copy()
        axis[..., :2], axis[..., 2] = 0.0, np.clip(balls[..., 2], 0.0, _BASE_HEIGHT)
        inside = radius + _BASE_RADIUS - np.linalg.norm(balls - axis, axis=-1)
        worst = np.concatenate([below, inside], axis=-1)
        return np.maximum(worst.max(-1), 0.0), worst.argmax(-1)

    def describe(self, which: int) -> str:
        """Put in words what `depth` found."""
        parts = self._parts()
        where = "the table" if which < len(parts) else "the arm's base"
        return f"{parts[which % len(parts)][0]} in {where}"

    def _parts(self) -> tuple[tuple[str, int, tuple[float, float, float], float], ...]:
        return (*_PARTS, *(("the wrist camera", 5, camera, _CAMERA_RADIUS) for camera in self.wrist_cameras))
