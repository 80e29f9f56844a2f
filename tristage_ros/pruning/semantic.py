"""Stage 2, semantic synthesis: background, robot and object by attention, and what each of them keeps."""

from __future__ import annotations

import torch
from torch import Tensor

from tristage_ros.pruning.kmeans import exact_kmeans_1d
from tristage_ros.pruning.values import Candidates

BACKGROUND, ROBOT, OBJECT = 0, 1, 2


def semantic_sets(attention: Tensor, clusters: int) -> Tensor:
    """Sort patches by total attention [P] into BACKGROUND, ROBOT and OBJECT, long [P] (Sec. 4.2).

    The cluster with the highest centre is the object, the lowest the background, whatever lies between the robot.
    One distinct value is all object.
    """
    label = exact_kmeans_1d(attention, clusters)
    sets = label if clusters <= 3 else label.clamp(max=ROBOT)  # up to three, only the highest can exceed ROBOT
    return sets.masked_fill(label == label.max(), OBJECT)


def semantic_candidates(
    sets: Tensor, share: Tensor, keep_background: Tensor, obj_2d_floor: float, obj_3d_epsilon: float
) -> Candidates:
    """Return what every patch keeps by its set and its M_2d and M_3d of stage 2, `share` [2, P] (Alg. 1, step 3).

    Background: both where `keep_background` (bool [P]), else nothing. Robot: both above the mean of M_3d, else 2D
    above the mean of M_2d, else nothing. Object: both, or 2D where M_2d > floor and M_3d < epsilon.
    """
    # The mean in float64 equals float32 values that are all alike, so that none of them exceeds it by rounding.
    m_2d, m_3d = share.unbind()
    above_2d, robot_3d = (share > share.mean(1, keepdim=True, dtype=torch.float64)).unbind()
    robot_2d = robot_3d | above_2d
    object_3d = (m_2d <= obj_2d_floor) | (m_3d >= obj_3d_epsilon)
    robot, target = sets == ROBOT, sets == OBJECT
    return Candidates(
        keep_2d=torch.where(robot, robot_2d, keep_background | target),
        keep_3d=torch.where(robot, robot_3d, torch.where(target, object_3d, keep_background)),
    )
