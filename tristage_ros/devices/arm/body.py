"""Where the parts of the arm are, so that none of them meets the table or the arm's own base.

Each part is a ball in the frame of its link; the base is an upright capsule. Lengths in m, base frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tristage_ros.devices.arm.kinematics import FINGERTIP_OFFSET

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

    wrist_camera: tuple[float, float, float] | None = (-0.072, 0.0, 0.030)  # m, in the frame of the flange

    def __post_init__(self) -> None:
        """Refuse a camera that is not on the arm.

        Raises:
            ValueError: a number is not finite, or the camera is more than 0.3 m away from the flange.
        """
        camera = self.wrist_camera or (0.0, 0.0, 0.0)
        if not np.linalg.norm(camera) <= 0.3:
            raise ValueError(f"a wrist camera is within 0.3 m of the flange, not at {self.wrist_camera}")

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
        if self.wrist_camera is None:
            return _PARTS
        return (*_PARTS, ("the wrist camera", 5, self.wrist_camera, _CAMERA_RADIUS))
