"""Depth in 12 bits, as LeRobotDataset keeps it: 4096 steps from a nearest to a farthest distance.

The format has no word for a pixel that was not measured: its own writer makes it the nearest distance. Here that is 0,
and a step is a millimetre: what a camera says in whole ones is the step itself, and lerobot, too, reads 0 where nothing
was measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tristage_ros.datasets.distances import require_metres
from tristage_ros.words import shown

STEPS = 4095
MILLIMETRES = 1000.0


@dataclass(frozen=True)
class DepthScale:
    """Say what a step means; as it stands, a millimetre."""

    nearest: float = 0.0  # m
    farthest: float = STEPS / MILLIMETRES  # m
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

    @property
    def _ends(self) -> tuple[float, float]:
        return math.log(self.nearest + self.shift), math.log(self.farthest + self.shift)


OURS = DepthScale()
UNITS = {"mm": 1 / MILLIMETRES, "m": 1.0}  # m


def in_metres(info: Mapping[str, Any], is_video: bool) -> Callable[[NDArray[Any]], NDArray[np.float32]]:
    """Return what makes depth ([H, W] m, 0: not measured) of the images of a feature whose info this is.

    The scale of a video is in metres, whatever `depth_unit` says that it was recorded in. Images that are kept one by
    one are in that unit; what returns their depth raises ValueError where they cannot be.

    Raises:
        ValueError: the unit is none that is known, or the scale is none.
    """
    unit = info.get("depth_unit")
    if not (unit is None and is_video) and not (isinstance(unit, str) and unit in UNITS):
        raise ValueError(f"depth_unit is {shown(unit)}; {' and '.join(UNITS)} can be read")
    if is_video:
        table: NDArray[np.float32] = DepthScale.read(info).table.astype(np.float32) * np.float32(1 / MILLIMETRES)
        return partial(_looked_up, table=table)
    return partial(_scaled, unit=str(unit))


def _looked_up(image: NDArray[Any], table: NDArray[np.float32]) -> NDArray[np.float32]:
    depth: NDArray[np.float32] = table[np.minimum(image, STEPS)]
    return depth


def _scaled(image: NDArray[Any], unit: str) -> NDArray[np.float32]:
    if image.dtype not in (np.uint16, np.float32) or (image.dtype == np.uint16 and unit == "m"):
        raise ValueError(
            f"depth_unit is {unit}, and pixels are {image.dtype}; uint16 in mm, float32 in both can be read"
        )
    depth: NDArray[np.float32] = image.astype(np.float32) * np.float32(UNITS[unit])
    depth[~((depth > 0) & (depth < np.inf))] = 0
    require_metres(depth, "depth", f"depth_unit is {unit}")
    return depth


def steps(depth: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Return depth ([H, W] m, 0: not measured) in steps of `OURS`; what is beyond them becomes 0, not measured."""
    millimetres: NDArray[np.float32] = depth * np.float32(MILLIMETRES)
    np.rint(millimetres, out=millimetres)
    millimetres[~(millimetres <= STEPS)] = 0
    return millimetres.astype(np.uint16)
