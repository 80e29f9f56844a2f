"""Old spellings of commands name the new ones."""

from __future__ import annotations

import sys

from tristage_ros.start import NODES

TYPED = {  # by the module that `python -m` was given
    "tristage_ros.evaluation.arm": "tristage bench arm",
    "tristage_ros.evaluation.bench": "tristage bench, or python -m tristage_ros.bench.model",
    "tristage_ros.evaluation.masks": "python -m tristage_ros.studies.masks",
    "tristage_ros.nodes.recording_cost": "tristage bench recording",
    "tristage_ros.nodes.two_machines": "tristage bench two-machines",
    **{f"tristage_ros.nodes.{name}": f"python -m tristage_ros.nodes {name}" for name in NODES},
}


def tell() -> None:
    """End this process if what was typed is typed otherwise now; Python imports the packages above a module first."""
    for module in sys.orig_argv[1:4]:
        if module in TYPED:
            sys.exit(f"error: type: {TYPED[module]}")
