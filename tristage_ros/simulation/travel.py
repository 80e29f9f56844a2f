"""How the arm went about an episode: the way of the tool, and how smoothly the joints moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tristage_ros.devices.arm.kinematics import forward, tool_pose
from tristage_ros.devices.arm.smoothness import smoothness


@dataclass(frozen=True)
class Travel:
    """Hold what success leaves out: pruning may lengthen a task that it does not fail (arXiv 2603.19131)."""

    path: float  # m, of the grasp centre
    jerk: float  # rad/s^3, as `smoothness` has it; NaN where the arm hardly moved
    reversals: float  # 0..1, likewise

    @staticmethod
    def of(joints: Sequence[NDArray[np.float64]], period: float) -> Travel:
        """Return it of joint positions [6] rad, one every `period` s."""
        rows = np.array(joints)
        moved = smoothness(np.arange(len(rows), dtype=np.float64) * period, rows)
        steps = np.diff(tool_pose(forward(rows))[:, :3, 3], axis=0)
        return Travel(float(np.linalg.norm(steps, axis=1).sum()), moved.jerk, moved.reversals)
