"""Find packages of a sourced ROS 2 and their programs, without ROS 2 itself."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def prefixes() -> list[Path]:
    """Return the folders that ROS 2 packages are installed below, the first one wins."""
    sourced = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    return [Path(prefix) for prefix in (*sourced, sys.prefix) if prefix]


def is_installed(package: str) -> bool:
    """Tell whether the ament index of a prefix knows `package`."""
    index = Path("share", "ament_index", "resource_index", "packages")
    return any((prefix / index / package).exists() for prefix in prefixes())


def program(package: str, executable: str) -> Path | None:
    """Return the path of what `ros2 run` would start, None where there is none."""
    paths = (prefix / "lib" / package / executable for prefix in prefixes())
    return next((path for path in paths if os.access(path, os.X_OK) and path.is_file()), None)
