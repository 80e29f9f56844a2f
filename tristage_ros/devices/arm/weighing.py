"""What an arm at rest carries, and whether something presses on it: its efforts beside what its own weight asks.

A payload's share of a joint's effort follows from where the joints are; least squares over the joints that carry it
(J2, J3, J5) give its mass. What is left at a joint is no weight. How much of an effort is friction nobody has
published.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tristage_ros.devices.arm.gravity import holding_torque

Floats = NDArray[np.float64]

_CARRY = [1, 2, 4]  # joints that carry what the tool has
_LEAST_LEVER = 1.0  # N m/kg, of them together: below, the arm stands so that a payload is not felt
LEFT = np.array([3.0, 3.0, 3.0, 1.2, 1.2, 1.2])  # N m that may be left at a joint
NOTHING = 0.25  # kg, which a payload has to differ from 0 by to be told
_NOT_TOLD = 0.02  # N m: no arm holds itself with less


@dataclass(frozen=True)
class Weighing:
    """Hold what the motors of an arm at rest do."""

    effort: Floats  # [6] N m, told
    own: Floats  # [6] N m, that the arm itself asks
    payload: float  # kg at the grasp centre, NaN where the arm stands so that none is felt
    left: Floats  # [6] N m that neither explains

    @property
    def silent(self) -> bool:
        """Tell whether the motors tell no effort at all while the arm needs some."""
        return float(np.abs(self.effort).max()) < _NOT_TOLD < float(np.abs(self.own).max())

    def pressed(self) -> list[int]:
        """Return the joints, 0..5, at which more is left than may be."""
        return [int(k) for k in np.flatnonzero(np.abs(self.left) > LEFT)]


def weigh(joints: ArrayLike, effort: ArrayLike, dh_is_offset: bool = True) -> Weighing:
    """Explain the efforts [6] N m of an arm at rest at `joints` [6] rad by its own weight and a payload.

    `dh_is_offset`: which zero the firmware gives J2 and J3, see `kinematics`.
    """
    told = np.asarray(effort, dtype=float)
    own = holding_torque(joints, dh_is_offset)
    lever = holding_torque(joints, dh_is_offset, payload=1.0) - own  # N m/kg
    beyond, felt = told - own, lever[_CARRY]
    if float(np.linalg.norm(felt)) < _LEAST_LEVER:
        return Weighing(told, own, math.nan, beyond)
    payload = float(felt @ beyond[_CARRY] / (felt @ felt))
    return Weighing(told, own, payload, beyond - max(payload, 0.0) * lever)
