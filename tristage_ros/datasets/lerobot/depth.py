"""Depth in 12 bits, as LeRobotDataset keeps it: 4096 steps from a nearest to a farthest distance.

The format has no word for a pixel that was not measured: its own writer makes it the nearest distance. Here step 0 is
for these alone, and what was measured is in the steps above: whoever reads with other tools drops what is at
`nearest`, which no measured pixel is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tristage_ros.words import shown

STEPS = 4095
MILLIMETRES = 1000.0


@dataclass(frozen=True)
class DepthScale:
    """Say what a step means. Linear from 0.1 to 2 m a step is 0.46 mm, so whole millimetres come back as they were."""

    nearest: float = 0.1  # m
    farthest: float = 2.0  # m
    shift: float = 3.5  # m, of the logarithm
    logarithmic: bool = False

    def __post_init__(self) -> None:
        """Refuse distances that are no range.

        Raises:
            ValueError: the message names the values.
        """
        if not (
            all(map(math.isfinite, (self.nearest, self.farthest, self.shift)))
            and 0.0 <= self.nearest < self.farthest <= 1e3
            and (not self.logarithmic or self.nearest + self.shift > 0.0)
        ):
            raise ValueError(f"depth from {self.nearest:g} to {self.farthest:g} m, shifted {self.shift:g}, is no range")

    def steps(self, depth: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """Return the steps of depth in mm on a linear scale; what was not measured, or is out of it, becomes 0."""
        return self._of_millimetres[depth]

    @property
    def table(self) -> NDArray[np.uint16]:
        """Return the depth in mm of every step, 0 for step 0: not measured. uint16 [4096]."""
        share = np.arange(STEPS + 1) / STEPS
        if self.logarithmic:
            metres = np.exp(self._ends[0] + share * (self._ends[1] - self._ends[0])) - self.shift
        else:
            metres = self.nearest + share * (self.farthest - self.nearest)
        table = np.clip(np.rint(metres * MILLIMETRES), 1, 65535).astype(np.uint16)
        table[0] = 0
        return table

    def described(self) -> dict[str, Any]:
        """Return what `info.json` says of it."""
        return {"video.depth_min": self.nearest, "video.depth_max": self.farthest, "video.shift": self.shift,
                "video.use_log": self.logarithmic}  # fmt: skip

    @staticmethod
    def read(info: Mapping[str, Any]) -> DepthScale:
        """Return what a feature's info says; the format's own defaults are for what it leaves out.

        Raises:
            ValueError: a value cannot be; the message names it.
        """
        values = {}
        for key, default in (("depth_min", 0.01), ("depth_max", 10.0), ("shift", 3.5), ("use_log", True)):
            value = info.get(f"video.{key}", default)
            if isinstance(value, bool) != isinstance(default, bool) or not isinstance(value, (bool, int, float)):
                raise ValueError(f"video.{key} is {shown(value)}")
            values[key] = value
        return DepthScale(
            float(values["depth_min"]), float(values["depth_max"]), float(values["shift"]), bool(values["use_log"])
        )

    @cached_property
    def _of_millimetres(self) -> NDArray[np.uint16]:
        """Return the step of every whole millimetre, uint16 [65536]."""
        depth = np.arange(1 << 16)
        share = (depth / MILLIMETRES - self.nearest) / (self.farthest - self.nearest)
        steps = np.clip(np.rint(share * STEPS), 1, STEPS).astype(np.uint16)
        near, far = math.ceil(self.nearest * MILLIMETRES - 1e-6), math.floor(self.farthest * MILLIMETRES + 1e-6)
        steps[(depth == 0) | (depth < near) | (depth > far)] = 0
        return steps

    @property
    def _ends(self) -> tuple[float, float]:
        return math.log(self.nearest + self.shift), math.log(self.farthest + self.shift)
