"""Find the files that ship beside the code: configuration, launch files, message definitions."""

from __future__ import annotations

from pathlib import Path


def resource(*parts: str) -> Path:
    """Return the path of a shipped file, such as `resource("config", "cameras.yaml")`.

    A checkout is looked at first, then `share/tristage_ros` of every prefix above the installed package.

    Raises:
        FileNotFoundError: it is in none of them.
    """
    parents = Path(__file__).resolve().parents
    roots = [parents[1], *(parent / "share" / "tristage_ros" for parent in parents)]
    for root in roots:
        path = root.joinpath(*parts)
        if path.exists():
            return path
    raise FileNotFoundError(
        f"{Path(*parts)} is not installed; looked below {parents[1]} and share/tristage_ros of every prefix above it"
    )
