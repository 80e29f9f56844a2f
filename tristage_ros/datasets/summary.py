"""What states and actions of a dataset are like, of any number of frames, in memory that does not grow with them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

NAMES = ("x", "y", "z", "roll", "pitch", "yaw", "gripper")
UNITS = ("m", "m", "m", "rad", "rad", "rad", "")
TURN = 1.9 * np.pi  # rad; who goes so far has gone round
KEPT = 100_000  # rows that quantiles are taken of; of more, so many are drawn


@dataclass
class Summary:
    """Sum up rows [7]; all but the quantiles are exact (Welford's recurrence for the variance)."""

    count: int = 0
    least: Numbers = field(default_factory=lambda: np.full(7, np.inf))
    most: Numbers = field(default_factory=lambda: np.full(7, -np.inf))
    mean: Numbers = field(default_factory=lambda: np.zeros(7))
    _squares: Numbers = field(default_factory=lambda: np.zeros(7))
    _rows: list[Numbers] = field(default_factory=list)
    _rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def add(self, row: Numbers) -> None:
        """Take a row."""
        self.count += 1
        self.least, self.most = np.minimum(self.least, row), np.maximum(self.most, row)
        off = row - self.mean
        self.mean = self.mean + off / self.count
        self._squares = self._squares + off * (row - self.mean)
        if len(self._rows) < KEPT:
            self._rows.append(row)
        elif (place := int(self._rng.integers(self.count))) < KEPT:
            self._rows[place] = row

    @property
    def deviation(self) -> Numbers:
        """Return the standard deviation, [7]."""
        deviation: Numbers = np.sqrt(self._squares / max(self.count, 1))
        return deviation

    @property
    def wrapping(self) -> list[str]:
        """Return the names of the angles that are seen at both ends of a turn."""
        wide = self.most - self.least > TURN
        return [name for name, unit, is_wide in zip(NAMES, UNITS, wide, strict=True) if unit == "rad" and is_wide]

    def quantile(self, share: float) -> Numbers:
        """Return the quantile at `share`, [7]; of an empty summary NaN."""
        quantile: Numbers = np.quantile(self._rows, share, axis=0) if self._rows else np.full(7, np.nan)
        return quantile

    def columns(self) -> dict[str, Numbers]:
        """Return all of it by name, [7] each."""
        quantiles = {"q01": self.quantile(0.01), "q99": self.quantile(0.99)}
        return {"min": self.least, **quantiles, "max": self.most, "mean": self.mean, "std": self.deviation}
