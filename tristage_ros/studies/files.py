"""Small JSON files of a folder of results: whole or as they were, whatever happens while they are written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class StoreError(ValueError):
    """Say why a folder's results cannot be continued."""


def load(path: Path) -> Any:
    """Return what a file holds. Raises StoreError where it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StoreError(f"{path} is damaged ({error}): remove it, or choose another --out") from None


def save(path: Path, data: Any) -> None:
    """Write a file, or leave what was there where that fails."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)
