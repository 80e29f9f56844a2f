"""From single looks to a finding: who disagrees, by how much, since when, and what a person does about it."""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import dataclass

import numpy as np

from tristage_ros.perception.agreement import ARM, FRONT, UNKNOWN, WRIST, Limits, Look

NEEDED, OUT_OF = 3, 5  # looks that have to disagree, of the last that could tell anything

SAID = {
    ARM: "the arm is not where its joints say",
    FRONT: "the front camera is not where its calibration says",
    WRIST: "the wrist camera is not where its calibration says",
}
REMEDY = {
    ARM: "stop it; its encoders are read anew only after a reset (hold the arm, /arm/recover)",
    FRONT: "fix the front camera and run tristage calibrate-cameras",
    WRIST: "fix the wrist camera and run tristage calibrate-cameras",
}
_UNITS = {
    "table": (1e3, "table {:.0f} mm off for the front camera"),
    "base": (1e3, "arm's base {:.0f} mm off for the front camera"),
    "tool": (1e3, "tool {:.0f} mm off for the front camera"),
    "missing": (100.0, "free space where {:.0f} % of the arm should be"),
    "height": (1e3, "table {:.0f} mm off for the wrist camera"),
    "tilt": (180.0 / math.pi, "table leaning by {:.1f} deg for the wrist camera"),
    "gripper": (1e3, "gripper {:.0f} mm off for the wrist camera"),
    "gripper_missing": (100.0, "{:.0f} % of the gripper not seen by the wrist camera"),
    "through": (100.0, "the front camera looks through {:.0f} % of what the wrist camera sees"),
}


@dataclass(frozen=True)
class Finding:
    """Say that something is not where it is said to be."""

    suspects: tuple[str, ...]  # one, or two that cannot be told apart
    since: float  # s, stamp of the first look that disagreed
    figures: dict[str, float]  # what is over its limit, as in `Look`; the median of the looks that disagreed

    def __str__(self) -> str:
        """Return it as a line for a person."""
        figures = ", ".join(
            text.format(self.figures[name] * unit) for name, (unit, text) in _UNITS.items() if name in self.figures
        )
        return f"{' or '.join(SAID[suspect] for suspect in self.suspects)}: {figures}"

    @property
    def remedy(self) -> str:
        """Return what a person does about it."""
        return "; or ".join(REMEDY[suspect] for suspect in self.suspects)


class Watch:
    """Take one look after the other; most of the last ones have to disagree before anything is said."""

    def __init__(self, limits: Limits) -> None:
        """Begin without a look."""
        self.limits = limits
        self.finding: Finding | None = None
        self.excess = UNKNOWN  # of the newest look: the figure farthest over its limit, 1 at the limit
        self._looks: deque[tuple[float, Look, float]] = deque(maxlen=OUT_OF)

    def add(self, stamp: float, look: Look) -> None:
        """Take a look (`stamp` in s); one that can tell nothing changes nothing."""
        excess = look.excess(self.limits)
        self.excess = max(excess.values(), default=UNKNOWN)
        if not excess:
            return
        self._looks.append((stamp, look, self.excess))
        over = [(when, one) for when, one, much in self._looks if much > 1.0]
        if len(over) >= NEEDED or (self.finding is not None and over):
            self.finding = self._found(over)
        elif not over:
            self.finding = None

    def _found(self, over: list[tuple[float, Look]]) -> Finding:
        suspects = Counter(one.suspects(self.limits) for _, one in over).most_common(1)[0][0]
        names = dict.fromkeys(name for _, one in over for name, much in one.excess(self.limits).items() if much > 1.0)
        figures = {name: float(np.nanmedian([getattr(one, name) for _, one in over])) for name in names}
        return Finding(suspects, self.finding.since if self.finding else over[0][0], figures)
