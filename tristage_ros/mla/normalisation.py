"""The normalisation statistics of a data set, and their use on states and actions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tristage_ros.mla.values import Action
from tristage_ros.words import shown

DIMENSIONS = 7  # x, y, z, roll, pitch, yaw, gripper
ANGLES = slice(3, 6)
FAR = 1e9  # beyond any bound of a state or action
RANGE_EPS = 1e-8  # added to a range before dividing by it


@dataclass(frozen=True)
class Quantiles:
    """Hold the range of every dimension, 1st to 99th percentile."""

    q01: tuple[float, ...]
    q99: tuple[float, ...]
    mask: tuple[bool, ...]  # False: the dimension is not normalised (the gripper)
    constant: tuple[bool, ...] = (False,) * DIMENSIONS  # the dimension never changed in the data

    def __post_init__(self) -> None:
        """Refuse ranges of another length, that are not finite, or that are upside down."""
        for name in ("q01", "q99", "mask", "constant"):
            if len(getattr(self, name)) != DIMENSIONS:
                raise ValueError(f"{name} must have {DIMENSIONS} values, got {shown(getattr(self, name))}")
        if not all(math.isfinite(low) and low <= high < math.inf for low, high in zip(self.q01, self.q99, strict=True)):
            raise ValueError(f"q01 must be finite and at most q99, got q01 {self.q01} and q99 {self.q99}")

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Quantiles:
        """Read the lists q01, q99, mask, and min and max (or constant), which tell what never changed.

        Without a mask every dimension is normalised, as by the released code.
        """
        if not isinstance(data, dict):
            raise ValueError(f"statistics are q01, q99, mask with their values, not {shown(data)}")
        for name in ("q01", "q99"):
            if name not in data:
                raise ValueError(f"statistics lack {name!r}; they have {shown(sorted(data))}")
        for name in sorted(data.keys() & {"q01", "q99", "mask", "min", "max", "constant"}):
            values = data[name]
            if not isinstance(values, list) or not all(type(v) in (int, float, bool) and abs(v) < FAR for v in values):
                raise ValueError(f"{name} is {shown(values)}; it is to be a list of finite numbers")
        low, high, mask = data["q01"], data["q99"], data.get("mask", [True] * DIMENSIONS)
        least, most = data.get("min") or low, data.get("max") or high
        constant = data.get("constant", [a == b for a, b in zip(least, most, strict=False)])
        return cls(tuple(map(float, low)), tuple(map(float, high)), tuple(map(bool, mask)), tuple(map(bool, constant)))

    def to_dict(self) -> dict[str, Any]:
        """Return what `from_dict()` reads."""
        return {"q01": list(self.q01), "q99": list(self.q99), "mask": list(self.mask), "constant": list(self.constant)}


@dataclass(frozen=True)
class DatasetStatistics:
    """Hold the ranges that actions and states are normalised with."""

    action: Quantiles
    proprio: Quantiles

    @classmethod
    def from_dict(cls, data: dict[str, Any], dataset: str | None = None) -> DatasetStatistics:
        """Read the content of a `dataset_statistics.json`.

        Args:
            data: one entry per data set, each with `action` and `proprio`.
            dataset: which of them (the release calls it `unnorm_key`); may be left out where there is only one.
        """
        if not isinstance(data, dict):
            raise ValueError(f"the statistics are {shown(data)}, not those of data sets by their names")
        if dataset is None and len(data) != 1:
            raise ValueError(f"the statistics hold the data sets {shown(sorted(data))}: say which one to use")
        name = next(iter(data)) if dataset is None else dataset
        if name not in data:
            raise ValueError(f"the statistics have no data set {shown(name)}, only {shown(sorted(data))}")
        entry = data[name]
        parts = []
        for part in ("action", "proprio"):
            if not isinstance(entry, dict) or part not in entry:
                raise ValueError(f"the statistics of {shown(name)} are {shown(entry)}: they lack {part}")
            parts.append(Quantiles.from_dict(entry[part]))
        return cls(*parts)

    def to_dict(self, dataset: str = "tristage") -> dict[str, Any]:
        """Return what `from_dict()` reads."""
        return {dataset: {"action": self.action.to_dict(), "proprio": self.proprio.to_dict()}}

    @classmethod
    def tabletop(cls) -> DatasetStatistics:
        """Return ranges for a tool that leans over a table in front of the arm; for models with random weights.

        Tilted outwards by 0.4 to 0.8 rad, nearly every pose up to 0.25 m above the table is within the wrist's limits.
        """
        mask = (True,) * 6 + (False,)
        pi = math.pi
        action = Quantiles(
            (-0.04, -0.04, -0.04, pi - 0.10, 0.40, pi - 0.30, 0.0),
            (0.04, 0.04, 0.04, pi + 0.10, 0.80, pi + 0.30, 1.0),
            mask,
        )
        proprio = Quantiles(
            (0.10, -0.30, 0.00, pi - 0.20, 0.20, pi - 0.60, 0.0),
            (0.55, 0.30, 0.40, pi + 0.20, 1.00, pi + 0.60, 1.0),
            mask,
        )
        return cls(action, proprio)

    def normalise_state(
        self, state: NDArray[np.floating[Any]], zero_constant: bool = True
    ) -> tuple[NDArray[np.float32], bool]:
        """Map a state, [7], to -1..1 and say whether it had to be clipped.

        Angles are taken within half a turn of the middle of their range, so that +pi and -pi are the same. A dimension
        that never changed in the data becomes 0 and is never clipped, unless `zero_constant` is off.
        """
        low, high, mask = np.array(self.proprio.q01), np.array(self.proprio.q99), np.array(self.proprio.mask)
        values = np.asarray(state, np.float64).copy()
        middle = (low + high)[ANGLES] / 2
        values[ANGLES] = middle + np.remainder(values[ANGLES] - middle + np.pi, 2 * np.pi) - np.pi
        scaled = np.where(mask, 2 * (values - low) / (high - low + RANGE_EPS) - 1, values)
        if zero_constant:
            scaled[np.array(self.proprio.constant)] = 0
        clipped = scaled.clip(-1, 1)
        return clipped.astype(np.float32), bool(np.abs(scaled - clipped).max() > 1e-6)

    def normalise_actions(self, actions: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Map [n, 7], angles as their range has them, to -1..1, clipped; the inverse of `denormalise_action`."""
        low, high, mask = np.array(self.action.q01), np.array(self.action.q99), np.array(self.action.mask)
        scaled = np.where(mask, 2 * (actions - low) / (high - low + RANGE_EPS) - 1, actions)
        return scaled.clip(-1, 1).astype(np.float32)

    def denormalise_action(self, normalised: NDArray[np.floating[Any]]) -> Action:
        """Map actions, [n, 7], clipped to -1..1, to metres, radians and a gripper that is either 0 or 1.

        Angles come as their range has them, which may reach beyond pi.
        """
        low, high, mask = np.array(self.action.q01), np.array(self.action.q99), np.array(self.action.mask)
        values = np.asarray(normalised, np.float64).clip(-1, 1)
        scaled = np.where(mask, 0.5 * (values + 1) * (high - low) + low, values)
        return Action(scaled[:, :3], scaled[:, ANGLES], (values[:, 6] >= 0.5).astype(np.float64))
