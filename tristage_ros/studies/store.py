"""A folder of results: the finished episodes, one JSON line each, and the models that they belong to.

What is finished stays, so that an evaluation can be interrupted and continued.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from tristage_ros import __version__
from tristage_ros.bags.facts import describe_checkpoint
from tristage_ros.mla.downloads import complaint
from tristage_ros.mla.values import StepReport
from tristage_ros.resources import find_checkpoint
from tristage_ros.studies.cell import MODES, Job, Mode


class Store:
    """Keep the finished episodes of a model per mode in a folder; a line that was cut off is forgotten."""

    def __init__(self, folder: Path, models: Models) -> None:
        """Open the folder, or make it.

        Raises:
            StoreError: it is a file, or holds episodes of other models or a file that is damaged.
            OSError: the folder or a checkpoint cannot be read.
        """
        if folder.exists() and not folder.is_dir():
            raise StoreError(f"{folder} is a file: give --out a folder, a new one or an evaluation's to go on with")
        folder.mkdir(parents=True, exist_ok=True)
        self._path, model = folder / "episodes.jsonl", folder / "model.json"
        mine = {mode: models.described(mode) for mode in MODES} | {"version": __version__}
        if not model.exists():
            save_json(model, mine)
        elif (theirs := load_json(model)) != mine:
            named = " and ".join(dict.fromkeys(theirs.values()))
            here = " and ".join(dict.fromkeys(mine.values()))
            raise StoreError(f"{folder} holds episodes of {named}, not of {here}: choose another --out")
        self._records = {(record.cell, record.seed): record for record in self._read()}
        self._file: TextIO | None = None

    def missing(self, jobs: Iterable[Job]) -> list[Job]:
        """Return the episodes that have not been run yet, in the same order."""
        return [job for job in dict.fromkeys(jobs) if (job.cell.name, job.seed) not in self._records]

    def add(self, record: Record) -> None:
        """Write an episode down at once."""
        if self._file is None:
            self._file = self._path.open("a", encoding="utf-8")
        self._file.write(json.dumps(record.to_dict()) + "\n")
        self._file.flush()
        self._records[record.cell, record.seed] = record

    def of(self, cell: str, seeds: Iterable[int]) -> dict[int, Record]:
        """Return the finished episodes of a cell by seed."""
        return {seed: self._records[cell, seed] for seed in seeds if (cell, seed) in self._records}

    def records(self) -> list[Record]:
        """Return all finished episodes."""
        return list(self._records.values())

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _read(self) -> list[Record]:
        if not self._path.exists():
            return []
        text = self._path.read_text(encoding="utf-8")
        whole, cut, _ = text.rpartition("\n")
        if whole + cut != text:
            self._path.write_text(whole + cut, encoding="utf-8")
        try:
            return [Record.from_dict(json.loads(line)) for line in whole.splitlines()]
        except (ValueError, TypeError) as error:
            raise StoreError(f"{self._path} is damaged ({error}): remove it, or choose another --out") from None


# What is kept of one finished episode.

# Of every control step; those that are shares or ratios are rounded to four digits.
PRUNING = (
    "rate", "rate_2d", "rate_3d", "stage1_rate_2d", "stage1_rate_3d", "stage2_rate_2d", "stage2_rate_3d",
    "fused_rate_2d", "fused_rate_3d", "salience_2d_stage1", "salience_3d_stage1", "salience_2d_stage2",
    "salience_3d_stage2",
    "stage1_only_2d", "stage1_both", "stage1_only_3d", "fused_only_2d", "fused_both", "fused_only_3d",
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
    took: float = field(default=0.0, compare=False)  # s, as it ran; 0: not noted
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


# Which weights act in which mode.


@dataclass(frozen=True)
class Models:
    """Name the checkpoints that act key frame by key frame and under continuous control; None: random weights."""

    key_frames: str | None
    continuous: str | None

    @staticmethod
    def called(name: str) -> Models:
        """Return what a `checkpoint` setting means: empty the two shipped minis, otherwise one for both modes.

        Raises:
            FileNotFoundError: there is nothing at the path.
            ValueError: the file there is not what was to be downloaded.
        """
        models = Models(find_checkpoint(name), find_checkpoint(name, continuous=True))
        for path in {models.key_frames, models.continuous} - {None}:
            if Path(str(path)).is_file() and (words := complaint(str(path))):
                raise ValueError(words)
        return models

    def of(self, mode: Mode) -> str | None:
        """Return the checkpoint of a mode."""
        return self.continuous if mode == "continuous" else self.key_frames

    def described(self, mode: Mode) -> str:
        """Return the name of a mode's checkpoint and what tells it from others, for print.

        Raises:
            OSError: it cannot be read.
        """
        path = self.of(mode)
        return "RANDOM WEIGHTS" if path is None else f"{Path(path).name} ({fingerprint(path)})"


def fingerprint(checkpoint: str) -> str:
    """Return a digest of a checkpoint, a file or a run directory."""
    return str(describe_checkpoint(checkpoint).get("sha256", "no weights")[:16])


# Small JSON files: whole or as they were, whatever happens while they are written.


class StoreError(ValueError):
    """Say why a folder's results cannot be continued."""


def load_json(path: Path) -> Any:
    """Return what a file holds. Raises StoreError where it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StoreError(f"{path} is damaged ({error}): remove it, or choose another --out") from None


def save_json(path: Path, data: Any) -> None:
    """Write a file, or leave what was there where that fails."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)
