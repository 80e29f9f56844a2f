from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from tristage_ros.perception.camera import CameraModel
from tristage_ros.perception.cloud import RgbdFrame
from tristage_ros.perception.images import depth_in_metres

REDWOOD = Path(__file__).resolve().parents[3] / "shared" / "data" / "redwood_rgbd"


@dataclass(frozen=True)
class RealFrame:
    color: np.ndarray  # [H, W, 3] RGB
    millimetres: np.ndarray  # [H, W] uint16
    frame: RgbdFrame


@pytest.fixture(scope="session")
def real_frames() -> list[RealFrame]:
    """Real RGB-D frames of a living room; a dozen centimetres of camera motion lie between the first and the last."""
    if not REDWOOD.is_dir():
        pytest.skip(f"real RGB-D frames are not at {REDWOOD}")
    lines = (REDWOOD / "trajectory.log").read_text().splitlines()
    return [_real_frame(i, np.array([line.split() for line in lines[5 * i + 1 : 5 * i + 5]], float)) for i in range(5)]


def _real_frame(index: int, pose: np.ndarray) -> RealFrame:
    color = cv2.cvtColor(cv2.imread(str(REDWOOD / "color" / f"{index:05}.jpg")), cv2.COLOR_BGR2RGB)
    raw = cv2.imread(str(REDWOOD / "depth" / f"{index:05}.png"), cv2.IMREAD_UNCHANGED)
    depth = depth_in_metres(raw.tobytes(), "16UC1", *raw.shape)
    camera = CameraModel(640, 480, 525.0, 525.0, 319.5, 239.5, pose, "camera")
    return RealFrame(color, raw, RgbdFrame(color, depth, camera, 10.0 + index / 30))
