"""What is kept of one finished episode."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tristage_ros.mla.values import StepReport

# Of every control step; those that are shares or ratios are rounded to four digits.
PRUNING = (
    "rate", "rate_2d", "rate_3d", "stage1_rate_2d", "stage1_rate_3d", "stage2_rate_2d", "stage2_rate_3d",
    "fused_rate_2d", "fused_rate_3d", "salience_2d_stage1", "salience_3d_stage1", "salience_2d_stage2",
    "salience_3d_stage2",
)  # fmt: skip
DIGITS = 4


@dataclass
class Record:
    """Hold one episode; `steps` has a list per quantity, with an entry per control step."""

    cell: str  # name of the cell
    seed: int
    success: bool = False
    refused: int = 0  # chunks that the arm did not accept
    fault: str = ""  # last reason for a refusal or a stop
    seconds: float = 0.0  # simulated
    steps: dict[str, list[Any]] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """Return the number of control steps."""
        return len(self.steps.get("ms", ()))

    def add(self, stage: str, report: StepReport) -> None:
        """Add a control step; `stage` is what the expert would have done."""
        pruning = report.pruning
        row: dict[str, Any] = {name: round(getattr(pruning, name), DIGITS) for name in PRUNING}
        row |= {"stage": stage, "ms": round(report.milliseconds["total"], 2)}
        row |= {"pruned": pruning.pruned, "passes": report.passes}
        for side in ("2d", "3d"):
            row[f"salience_{side}_by_set"] = [round(x, DIGITS) for x in getattr(pruning, f"salience_{side}_by_set")]
        row["set_sizes"] = list(pruning.set_sizes)
        for name, value in row.items():
            self.steps.setdefault(name, []).append(value)

    def see(self, what: str, patches: NDArray[np.bool_], report: StepReport) -> None:
        """Note which share of the tokens of `patches` the newest control step has kept; None where there are none."""
        kept_2d = report.masks.keep_2d.cpu().numpy()[patches]
        of_point = report.patch_of_point
        on_it = (of_point >= 0) & patches[of_point.clip(0)]
        kept_3d = report.masks.keep_3d.cpu().numpy()[on_it]
        for side, kept in (("2d", kept_2d), ("3d", kept_3d)):
            share = round(float(kept.mean()), DIGITS) if len(kept) else None
            self.steps.setdefault(f"{what}_kept_{side}", []).append(share)

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Record:
        """Read what `to_dict` gave. Raises TypeError for anything else."""
        if unknown := set(data) - {field.name for field in fields(cls)}:
            raise TypeError(f"an episode has no {', '.join(sorted(unknown))}")
        return cls(**data)
