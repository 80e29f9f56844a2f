"""`tristage dataset export`: recorded episodes as a LeRobotDataset v3.0."""

from __future__ import annotations

import argparse

from tristage_ros.commands.dataset.common import dataset_of
from tristage_ros.commands.dataset.writing import write


def run(options: argparse.Namespace) -> int:
    """Write the dataset; return the exit code.

    Raises:
        DatasetError: an episode cannot be used; those before it are whole.
        OSError: the folder cannot be written.
    """
    return write(dataset_of(options), options)
