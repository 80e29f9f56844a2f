"""The values that go in and out of the policy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tristage_ros.perception.camera import CameraModel

if TYPE_CHECKING:  # the simulated cell has observations, and no torch
    from tristage_ros.pruning.report import PruningReport
    from tristage_ros.pruning.values import TokenMasks


@dataclass(frozen=True)
class Observation:
    """Hold what the policy sees in one control step."""

    image: NDArray[np.uint8]  # [H, W, 3] RGB of the front camera, any size
    camera: CameraModel  # of that image, with its pose in the base frame
    points: NDArray[np.float32]  # [N, 3] m, base frame
    state: NDArray[np.float32]  # [7] tool x, y, z (m), roll, pitch, yaw (rad, fixed axes), gripper opening 0..1
    depth: NDArray[np.float32] | None = None  # [H, W] m, aligned to the image; for the change guard
    stamp: float = 0.0  # s, observation time

    def above(self, height: float) -> Observation:
        """Return the same from a base frame `height` m higher: points, tool and camera are lower by that."""
        down = np.array([0.0, 0.0, -height])
        pose = self.camera.pose.copy()
        pose[:3, 3] += down
        state = self.state + np.append(down, np.zeros(4)).astype(np.float32)
        points = self.points + down.astype(np.float32)
        return replace(self, camera=self.camera.at(pose), points=points, state=state)


@dataclass(frozen=True)
class Action:
    """Hold one or more consecutive 7-DoF actions."""

    translation: NDArray[np.float64]  # [n, 3] m, base frame, relative to the tool position of the observation
    rotation: NDArray[np.float64]  # [n, 3] rad, absolute roll, pitch, yaw about the fixed base axes
    gripper: NDArray[np.float64]  # [n] 0 closed .. 1 open


@dataclass(frozen=True)
class StepReport:
    """Say what one control step did and what it cost."""

    step: int  # control steps since the last reset, from 1; 0: a look, of which nothing was carried out
    masks: TokenMasks
    patch_of_point: NDArray[np.int64]  # [N3] patch of every 3D token's centre, -1 outside the image
    token_centres: NDArray[np.float32]  # [N3, 3] m, base frame, of the 3D tokens
    summarise: Callable[[], PruningReport]  # what `pruning` calls; an action need not wait for it
    spent: dict[str, float]  # ms by part: image_tokens, point_tokens, plan, prefill, denoise, observe, total, ...
    state_clipped: bool  # the state left the range of its statistics and was clipped
    points_dropped: int  # non-finite points that were removed
    passes: int  # of the decoder: as many as denoising steps, or fewer where these are evaluated side by side

    @property
    def pruning(self) -> PruningReport:
        """Return the pruner's own report, which is put together the first time that somebody asks."""
        return self.summarise()

    @property
    def milliseconds(self) -> dict[str, float]:
        """Return what every part took, and the pruner's stages in them."""
        return self.spent | self.pruning.milliseconds
