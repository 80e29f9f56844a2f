"""`tristage dataset export`: recorded episodes as a LeRobotDataset v3.0, or as arrays."""

from __future__ import annotations

import argparse

from tristage_ros.commands.dataset.common import counted, dataset_of
from tristage_ros.commands.dataset.writing import Told, with_bar, write
from tristage_ros.datasets.arrays import write_arrays


def run(options: argparse.Namespace) -> int:
    """Write the dataset; return the exit code.

    Raises:
        DatasetError: an episode cannot be used; those before it are whole.
        OSError: the folder cannot be written.
    """
    if options.format == "lerobot":
        return write(dataset_of(options), options)
    dataset = dataset_of(options, clouds=True)

    def act(told: Told) -> str:
        episodes, _ = write_arrays(dataset, options.out, depth=not options.no_depth, resume=options.resume, told=told)
        return f"{counted(episodes, 'episode')} in {options.out}"

    return with_bar(dataset, options.out, act)
