"""Under which conditions the arm is measured, how a figure is held against its limit, and how a table says so."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tristage_ros.bench.arm.rig import Rig
from tristage_ros.devices.arm.controller import ControllerConfig

HANGS = 0.0025  # rad per N m, as an arm does that hangs 10 to 30 mrad below its targets under load
EVERY, LATENCY = 10, 0.08  # of 200 Hz: 20 Hz feedback; s by which it is late
_HEARD = 1.5  # s until feedback that comes seldom has been heard for long enough
_SETTLES = 0.6  # s after which an arm hangs as it does
MANY = 100  # values from which on a 99th percentile says more than the largest


def hanging(speed_scale: float, payload: float, slow: bool, **scene: Any) -> Rig:
    """Return an enabled arm whose servos hang under what they carry.

    Args:
        speed_scale: 0..1 of the velocity limits.
        payload: kg in the gripper.
        slow: feedback at 20 Hz and 80 ms late.
        scene: see `Rig`.

    Raises:
        PiperError, RuntimeError: the arm does not answer, or refuses; the message says why.
    """
    rig = Rig(ControllerConfig(speed_scale=speed_scale), **scene)
    try:
        rig.plant.compliance, rig.plant.payload = HANGS, payload
        make_slow(rig, slow)
        rig.enable()
    except Exception:
        rig.close()
        raise
    time.sleep(_SETTLES)
    return rig


def make_slow(rig: Rig, slow: bool = True) -> None:
    """Let feedback come at 20 Hz and 80 ms late, if `slow`, and wait until that is heard."""
    if slow:
        rig.arm.wire.slow(EVERY, LATENCY)
        time.sleep(_HEARD)


@dataclass(frozen=True)
class Figure:
    """Hold what was measured of one thing, and what it may be at most."""

    values: Sequence[float]  # inf: it did not happen in time
    limit: float = math.nan  # NaN: nothing is asked

    @property
    def counts(self) -> float:
        """Return what is held against the limit: the 99th percentile of many values, the largest of few; NaN if none.

        Percentiles are not interpolated: some value was at least that.
        """
        ordered = sorted(value for value in self.values if not math.isnan(value))
        if not ordered:
            return math.nan
        return ordered[math.ceil(0.99 * len(ordered)) - 1] if len(ordered) >= MANY else ordered[-1]

    @property
    def median(self) -> float:
        """Return the median, NaN if nothing was measured."""
        known = [value for value in self.values if not math.isnan(value)]
        return float(np.median(known)) if known else math.nan

    @property
    def missed(self) -> bool:
        """Tell whether there is a limit and it was not kept, or nothing was measured that could keep it."""
        return not math.isnan(self.limit) and not self.counts <= self.limit

    def told(self, unit: str, scale: float = 1.0, digits: int = 0) -> str:
        """Return what counts and its limit, such as "12 of 20 ms"; times `scale` to be in `unit`."""
        value = number(self.counts, scale, digits)
        if math.isnan(self.limit):
            return f"{value} {unit}".rstrip() if math.isfinite(self.counts) else value
        return f"{value} of {number(self.limit, scale, digits)} {unit}".rstrip()


def number(value: float, scale: float = 1.0, digits: int = 0) -> str:
    """Return a number as a table has it; "-": not measured, "not in time": it was waited for."""
    if math.isnan(value):
        return "-"
    return f"{scale * value:.{digits}f}" if math.isfinite(value) else "not in time"


def verdict(*figures: Figure) -> str:
    """Return "kept" or "missed", "-" where nothing is asked."""
    asked = [figure for figure in figures if not math.isnan(figure.limit)]
    if not asked:
        return "-"
    return "missed" if any(figure.missed for figure in asked) else "kept"


@dataclass
class Account:
    """Count verdicts, and say in the end what they come to."""

    kept: int = 0
    missed: int = 0
    trouble: int = 0  # times that nothing could be measured, as on a machine that is too busy

    def take(self, verdict: str) -> str:
        """Count a verdict; return it."""
        self.kept += verdict == "kept"
        self.missed += verdict == "missed"
        return verdict

    def line(self) -> str:
        """Put it in words."""
        lost = f", {self.trouble} times not measured" if self.trouble else ""
        return f"limits kept in {self.kept} rows, missed in {self.missed}{lost}"

    def exit_code(self, load: int) -> int:
        """Return 1 when a limit was missed; on a machine that was kept busy limits are told, not asked."""
        return 1 if self.missed and not load else 0
