"""What cameras deliver: an RGB-D frame and a point cloud, each with its stamp."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tristage_ros.perception.camera import CameraModel


@dataclass(frozen=True)
class RgbdFrame:
    """One colour image with the depth image aligned to it."""

    color: NDArray[np.uint8]  # [H, W, 3] RGB, 0..255
    depth: NDArray[np.float32]  # [H, W] metres along the optical axis, NaN where nothing was measured
    camera: CameraModel
    stamp: float  # s, the clock of whoever made it


@dataclass(frozen=True)
class PointCloud:
    """Points in the base frame."""

    points: NDArray[np.float32]  # [N, 3] m, finite
    stamp: float  # s, of the first frame that went into it
