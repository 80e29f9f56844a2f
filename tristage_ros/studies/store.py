"""Finished episodes on disk, one JSON line each, so that an evaluation can be interrupted and continued."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

from tristage_ros import __version__
from tristage_ros.studies.cell import MODES, Job
from tristage_ros.studies.files import StoreError, load, save
from tristage_ros.studies.models import Models
from tristage_ros.studies.record import Record


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
            save(model, mine)
        elif (theirs := load(model)) != mine:
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
