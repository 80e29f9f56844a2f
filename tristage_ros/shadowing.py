"""Whether another numpy stands in front of the one that the system's packages were compiled for.

A virtual environment beside ROS 2 sees apt's packages behind its own. With numpy 2 in it, apt's scipy, matplotlib,
OpenCV and the messages of ROS 2 are still found, and end as they are imported.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import Distribution, distributions
from pathlib import Path


def complaint(path: Sequence[str] | None = None) -> str:
    """Return what breaks in an interpreter that searches `path` (default: this one), and what to type; "": nothing."""
    found = list(distributions(name="numpy", path=list(sys.path if path is None else path)))
    for behind in found[1:]:
        if _major(behind) < _major(found[0]):
            return (
                f"numpy {found[0].version} in {_folder(found[0])} stands in front of {behind.version} in "
                f"{_folder(behind)}, for which the system's scipy, matplotlib, OpenCV and ROS messages were compiled: "
                f"{_remedy(behind)}"
            )
    return ""


def _major(numpy: Distribution) -> int:
    return int(numpy.version.partition(".")[0])


def _folder(numpy: Distribution) -> Path:
    return Path(str(numpy.locate_file("")))


def _remedy(behind: Distribution) -> str:
    if sys.prefix != sys.base_prefix:
        return f"pip install numpy=={behind.version}"
    return "python3 -m pip uninstall numpy"


if __name__ == "__main__":
    sys.exit(complaint() or 0)
