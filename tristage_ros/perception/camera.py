"""The pinhole camera: intrinsics, and where its optical frame stands in the base frame."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class CameraModel:
    """Describe a rectified pinhole camera.

    The optical frame follows REP-103: x right, y down, z forward. Pixel (0, 0) is the centre of the top left pixel.
    """

    width: int  # pixels
    height: int  # pixels
    fx: float  # pixels
    fy: float  # pixels
    cx: float  # pixels
    cy: float  # pixels
    pose: NDArray[np.float64] = field(default_factory=lambda: np.eye(4))  # [4, 4] optical frame in the base frame, m
    frame_id: str = ""

    def scaled(self, width: int, height: int) -> CameraModel:
        """Return the same camera after its image was stretched to `width` x `height` pixels (aspect not preserved)."""
        sx, sy = width / self.width, height / self.height
        return replace(
            self,
            width=width,
            height=height,
            fx=self.fx * sx,
            fy=self.fy * sy,
            cx=(self.cx + 0.5) * sx - 0.5,
            cy=(self.cy + 0.5) * sy - 0.5,
        )

    def at(self, pose: NDArray[np.float64]) -> CameraModel:
        """Return the same camera with its optical frame at `pose` ([4, 4], base frame, m)."""
        return replace(self, pose=pose)
