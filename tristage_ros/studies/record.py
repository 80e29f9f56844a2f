"""What is kept of one finished episode, and how it is noted while it runs."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tristage_ros.mla.values import StepReport

# Means over the control steps that were carried out; those of zero are not written down.
SHARES = ("only_2d", "both", "only_3d")  # of the patches with 3D tokens: what is left of them
REPORTED = ("rate", "rate_2d", "rate_3d", "salience_2d_stage1", *(f"stage1_{share}" for share in SHARES))
PRUNING = (*REPORTED, *(f"kept_{share}" for share in SHARES))
# Step by step, where a cell asks for it; the first of them have no mean.
COURSE = ("stage", "fused_rate_2d", "fused_rate_3d", "pruned", "rate", "rate_2d", "rate_3d", "ms")
DIGITS = 4


@dataclass
class Record:
    """Hold one episode. Looks before its first action are none of its control steps."""

    cell: str  # name of the cell
    seed: int
    success: bool = False
    refused: int = 0  # chunks that the arm did not accept
    fault: str = ""  # last reason for a refusal or a stop
    seconds: float = 0.0  # simulated, until success or the end
    path: float = 0.0  # m, of the tool
    jerk: float | None = None  # rad/s^3, RMS, under continuous control
    reversals: float | None = None  # 0..1, likewise
    looks: int = 0  # before the first control step
    looked: int = 0  # after it: on arrival at key frames or on the way to them
    length: int = 0  # control steps
    took: float = field(default=0.0, compare=False)  # s, as it ran; 0: not noted
    ms: float = field(default=0.0, compare=False)  # of a control step, mean, as it ran beside others
    means: dict[str, float] = field(default_factory=dict)  # of PRUNING, "pruned" (share of the steps), "passes", ...
    course: dict[str, list[Any]] = field(default_factory=dict)  # COURSE step by step, where the cell asks for it

    def mean(self, name: str) -> float:
        """Return the mean of a quantity over the control steps."""
        return self.means.get(name, 0.0)

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold, without what is as it is by default."""
        plain = {field.name: field.default for field in fields(self)}
        return {name: value for name, value in vars(self).items() if value != plain[name] and value != {}}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Record:
        """Read what `to_dict` gave. Raises TypeError for anything else."""
        if unknown := set(data) - {field.name for field in fields(cls)}:
            raise TypeError(f"an episode has no {', '.join(sorted(unknown))}")
        return cls(**data)


class Log:
    """Note the control steps of an episode that is running."""

    def __init__(self) -> None:
        """Begin with none."""
        self.steps: dict[str, list[Any]] = {}
        self.refused, self.fault, self.looks = 0, "", 0

    def add(self, stage: str, report: StepReport) -> None:
        """Add a control step; `stage` is what the expert would have done."""
        names = (*REPORTED, "fused_rate_2d", "fused_rate_3d")
        row: dict[str, Any] = {name: getattr(report.pruning, name) for name in names} | _kept(report)
        row |= {"stage": stage, "ms": report.milliseconds["total"]}
        row |= {"pruned": report.pruning.pruned, "passes": report.passes}
        for name, value in row.items():
            self.steps.setdefault(name, []).append(value)

    def see(self, what: str, patches: NDArray[np.bool_], report: StepReport) -> None:
        """Note which share of the tokens of `patches` the newest control step has kept, where there are any."""
        kept_2d = report.masks.keep_2d.cpu().numpy()[patches]
        of_point = report.patch_of_point
        on_it = (of_point >= 0) & patches[of_point.clip(0)]
        kept_3d = report.masks.keep_3d.cpu().numpy()[on_it]
        for side, kept in (("2d", kept_2d), ("3d", kept_3d)):
            if len(kept):
                self.steps.setdefault(f"{what}_kept_{side}", []).append(float(kept.mean()))

    def close(self, record: Record, course: bool) -> None:
        """Put into a record what its steps came to, and with `course` all that COURSE names of them."""
        record.refused, record.fault, record.looked = self.refused, self.fault, self.looks
        record.length = len(self.steps.get("ms", ()))
        means = {name: round(fmean(values), DIGITS) for name, values in self.steps.items() if name not in COURSE[:3]}
        record.ms = round(means.pop("ms", 0.0), 1)
        record.means = {name: value for name, value in means.items() if value or name not in PRUNING}
        if course:
            record.course = {name: [_rounded(value) for value in self.steps.get(name, ())] for name in COURSE}


def _kept(report: StepReport) -> dict[str, float]:
    """Return which shares of the patches with 3D tokens a step kept one modality of, and both."""
    of_point, keep_3d = report.patch_of_point, report.masks.keep_3d.cpu().numpy()
    left_2d = report.masks.keep_2d.cpu().numpy()
    bearing, left_3d = np.zeros_like(left_2d), np.zeros_like(left_2d)
    bearing[of_point[of_point >= 0]] = True
    left_3d[of_point[(of_point >= 0) & keep_3d]] = True
    kinds = (left_2d & ~left_3d, left_2d & left_3d, left_3d & ~left_2d)
    total = max(int(bearing.sum()), 1)
    return {f"kept_{share}": float((kind & bearing).sum()) / total for share, kind in zip(SHARES, kinds, strict=True)}


def _rounded(value: Any) -> Any:
    return round(value, DIGITS) if isinstance(value, float) else value
