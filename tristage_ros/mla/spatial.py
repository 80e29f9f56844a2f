"""What pruning by edges and speed looks at, beside the tokens."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from tristage_ros.mla.values import Observation
from tristage_ros.perception.edges import edge_patches
from tristage_ros.pruning.values import FrameContext


def with_edges_and_speed(frame: FrameContext, now: Observation, before: Observation | None, grid: int) -> FrameContext:
    """Return `frame` with the edge patches of the observation and the speed of the tool since the one before."""
    edges = torch.from_numpy(edge_patches(now.image, now.depth, grid))
    return replace(frame, edges=edges, tool_speed=tool_speed(now, before))


def tool_speed(now: Observation, before: Observation | None) -> float | None:
    """Return the mean speed of the tool between two observations, m/s; None where no time passed between them."""
    if before is None or now.stamp <= before.stamp:
        return None
    return float(np.linalg.norm(now.state[:3] - before.state[:3]) / (now.stamp - before.stamp))
