"""The ranges that a data set is normalised with."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tristage_ros.mla.normalisation import ANGLES, DIMENSIONS, DatasetStatistics, Quantiles
from tristage_ros.training.frame import Frames

GRIPPER = DIMENSIONS - 1
_MASK = tuple(index != GRIPPER for index in range(DIMENSIONS))
_AROUND = np.array([math.pi, 0.0, math.pi])  # rad, roll, pitch and yaw of a tool that points down


def dataset_statistics(frames: list[Frames], quantiles: tuple[float, float], margin: float) -> DatasetStatistics:
    """Return the range between two quantiles of every dimension, widened by a share `margin` of it at both ends."""
    action, state = (np.concatenate([getattr(f, name).numpy() for f in frames]) for name in ("action", "state"))
    around = state[:, ANGLES] - _AROUND
    state[:, ANGLES] = _AROUND + np.remainder(around + math.pi, 2 * math.pi) - math.pi
    return DatasetStatistics(_range(action, quantiles, margin), _range(state, quantiles, margin))


def _range(values: NDArray[np.float32], quantiles: tuple[float, float], margin: float) -> Quantiles:
    low, high = np.quantile(values.astype(np.float64), quantiles, axis=0)
    wider = margin * (high - low)
    low, high = low - wider, high + wider
    low[GRIPPER], high[GRIPPER] = 0.0, 1.0
    return Quantiles(tuple(low.tolist()), tuple(high.tolist()), _MASK, tuple((np.ptp(values, axis=0) == 0).tolist()))
