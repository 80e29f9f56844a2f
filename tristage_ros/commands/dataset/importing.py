"""`tristage dataset import`: a LeRobotDataset, v3.0 or v2.1, as one of ours."""

from __future__ import annotations

import argparse

from tristage_ros.commands.dataset.writing import write
from tristage_ros.datasets.lerobot.dataset import open_lerobot


def run(options: argparse.Namespace) -> int:
    """Read the dataset by its mapping, and write it; return the exit code.

    Raises:
        LerobotError: it is damaged, or its numbers are not those that the mapping says; the episodes before are whole.
        OSError: the folder cannot be written.
    """
    return write(open_lerobot(options.folder, options.mapping), options)
