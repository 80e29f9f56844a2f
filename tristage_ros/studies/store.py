"""A folder of results: the finished episodes, one JSON line each, and the models that they belong to.

What is finished stays, so that an evaluation can be interrupted and continued, also on another machine: what a run adds
is packed when it ends, small enough for a repository.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from tristage_ros.bags.facts import describe_checkpoint
from tristage_ros.mla.downloads import complaint
from tristage_ros.mla.scales import load_scales
from tristage_ros.resources import find_checkpoint
from tristage_ros.studies.cell import MODES, Job, Mode
from tristage_ros.studies.record import Record


class Store:
    """Keep the finished episodes of a model per mode in a folder; a line that was cut off is forgotten.

    `episodes.jsonl` has those that were finished since it was last closed, `episodes.jsonl.gz` the others.
    """

    def __init__(self, folder: Path, models: Models) -> None:
        """Open the folder, or make it.

        Raises:
            StoreError: it is a file, or holds episodes of other models or a file that is damaged.
            OSError: the folder or a checkpoint cannot be read.
        """
        if folder.exists() and not folder.is_dir():
            raise StoreError(f"{folder} is a file: give --out a folder, a new one or an evaluation's to go on with")
        folder.mkdir(parents=True, exist_ok=True)
        self._path, self._packed = folder / "episodes.jsonl", folder / "episodes.jsonl.gz"
        model, mine = folder / "model.json", {mode: models.described(mode) for mode in MODES}
        if not model.exists():
            save_json(model, mine)
        elif (theirs := load_json(model)) != mine:
            named = " and ".join(dict.fromkeys(theirs.values()))
            here = " and ".join(dict.fromkeys(mine.values()))
            raise StoreError(f"{folder} holds episodes of {named}, not of {here}: choose another --out")
        self._records = {(record.cell, record.seed): record for record in (*self._unpacked(), *self._read())}
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
        """Close the file, and pack what is in it with the others; equal episodes give equal bytes."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._path.exists():
            lines = [json.dumps(self._records[key].to_dict()) + "\n" for key in sorted(self._records)]
            partial = self._packed.with_suffix(".partial")
            partial.write_bytes(gzip.compress("".join(lines).encode(), mtime=0))
            partial.replace(self._packed)
            self._path.unlink()

    def _unpacked(self) -> list[Record]:
        if not self._packed.exists():
            return []
        try:
            return _records(gzip.decompress(self._packed.read_bytes()).decode())
        except (OSError, EOFError, ValueError, TypeError, zlib.error) as error:
            raise StoreError(f"{self._packed} is damaged ({error}): remove it, or choose another --out") from None

    def _read(self) -> list[Record]:
        if not self._path.exists():
            return []
        text = self._path.read_text(encoding="utf-8")
        whole, cut, _ = text.rpartition("\n")
        if whole + cut != text:
            self._path.write_text(whole + cut, encoding="utf-8")
        try:
            return _records(whole)
        except (ValueError, TypeError) as error:
            raise StoreError(f"{self._path} is damaged ({error}): remove it, or choose another --out") from None


def _records(text: str) -> list[Record]:
    return [Record.from_dict(json.loads(line)) for line in text.splitlines()]


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

        The scale that is kept beside it is a part of that: what prunes in units of the model depends on it.

        Raises:
            OSError: it cannot be read.
        """
        path = self.of(mode)
        if path is None:
            return "RANDOM WEIGHTS"
        scale = "".join(f", {feature} scale {scale:.4g}" for feature, scale in load_scales(path).items())
        return f"{Path(path).name} ({fingerprint(path)}{scale})"


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
