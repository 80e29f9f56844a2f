"""What is truly where in an image: background, robot, or what the task is about."""

from __future__ import annotations

from collections.abc import Iterable

import mujoco
import numpy as np
from numpy.typing import NDArray

BACKGROUND, ROBOT, OBJECT = 0, 1, 2
LEAST_SHARE = 0.15  # of a patch that has to be covered for the patch to count as object or robot


def label_of_geoms(model: mujoco.MjModel, objects: Iterable[str]) -> NDArray[np.int64]:
    """Return the label of every geom and, in the last place, that of nothing; `objects` are names of bodies."""
    labels = np.full(model.ngeom + 1, BACKGROUND)
    roots = {model.body(name).id: OBJECT for name in objects} | {model.body("base_link").id: ROBOT}
    for geom, body in enumerate(model.geom_bodyid):
        labels[geom] = roots.get(model.body_rootid[body], BACKGROUND)
    return labels


def label_of_patches(pixels: NDArray[np.int64], grid: int = 16) -> NDArray[np.int64]:
    """Return the label [grid * grid] of every patch of labelled pixels [H, W], row by row.

    A patch is an object's if that covers `LEAST_SHARE` of it, else the robot's if that does, else background.
    """
    height, width = pixels.shape
    row, column = np.mgrid[:height, :width]
    patch = (row * grid // height * grid + column * grid // width).ravel()
    size = np.bincount(patch, minlength=grid * grid)
    labels = np.full(grid * grid, BACKGROUND)
    for label in (ROBOT, OBJECT):
        share = np.bincount(patch, (pixels == label).ravel(), minlength=grid * grid) / size
        labels[share >= LEAST_SHARE] = label
    return labels
