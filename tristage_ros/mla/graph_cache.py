"""Graphs of models for other runtimes, on the disk: made once, and looked through before they are used again."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"  # what a graph was made of, and the digests of its files


def cache_folder() -> Path:
    """Return where graphs lie: below $XDG_CACHE_HOME, or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tristage" / "graphs"


class GraphCache:
    """Keep the graphs of one model for one runtime, a folder for each shape.

    A folder is named after all that its graph depends on: weights, facts, and the code that describes the graph. It
    holds a manifest with a digest of every file. One that does not agree with its manifest is made again.
    """

    def __init__(self, engine: str, weights: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Work out what the graphs depend on."""
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
        digest.update(Path(__file__).with_name("exported.py").read_bytes())
        for name, weight in weights.items():
            digest.update(f"{name} {weight.dtype} {list(weight.shape)}".encode())
            digest.update(weight.contiguous().numpy())  # type: ignore[arg-type]
        self._name = f"{engine}-{digest.hexdigest()[:24]}"

    def path(self, tokens: int, make: Callable[[Path], None]) -> Path:
        """Return the folder of the graph for `tokens`; `make` writes it where there is none that is sound."""
        folder = cache_folder() / f"{self._name}-{tokens}"
        if folder.exists():
            if complaint := _complaint(folder):
                logger.warning("%s %s: it is made again", folder, complaint)
                shutil.rmtree(folder, ignore_errors=True)
            else:
                return folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".") as made:
            fresh = Path(made) / "graph"
            fresh.mkdir()
            make(fresh)
            digests = {file.name: _digest(file) for file in sorted(fresh.iterdir())}
            (fresh / MANIFEST).write_text(json.dumps(digests, indent=1))
            try:
                fresh.rename(folder)
            except OSError:  # somebody else was faster
                if not folder.exists():
                    raise
        return folder


def _complaint(folder: Path) -> str:
    """Return what is wrong with a graph's folder; nothing where it is sound."""
    try:
        digests = json.loads((folder / MANIFEST).read_text())
        wrong = [name for name, digest in digests.items() if _digest(folder / name) != digest]
    except (OSError, ValueError, AttributeError):
        return "has no manifest that could be read"
    return f"holds a damaged {wrong[0]}" if wrong else ""


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
