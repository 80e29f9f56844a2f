"""What the actions have in common: the dataset that was asked for, and numbers of things."""

from __future__ import annotations

import argparse

from tristage_ros.datasets.bagged import BaggedDataset, open_dataset
from tristage_ros.datasets.sampling import Sampling


def dataset_of(options: argparse.Namespace, clouds: bool = False) -> BaggedDataset:
    """Return the dataset that was typed, with the model's cloud in its frames where `clouds` asks for it.

    Raises:
        DatasetError: there is none.
    """
    sampling = Sampling(0.0 if options.keyframes else options.rate, not options.untrimmed)
    return open_dataset(options.folder, sampling, options.cameras_file, options.failures, clouds)


def counted(number: int, what: str) -> str:
    """Return a number of things in words."""
    return f"{number} {what}{'' if number == 1 else 's'}"
