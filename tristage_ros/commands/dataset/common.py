"""What the actions have in common: the dataset that was asked for, and tables."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tristage_ros.datasets.bagged import BaggedDataset, open_dataset
from tristage_ros.datasets.sampling import Sampling

WIDE = 240  # characters, where it is no terminal


def dataset_of(options: argparse.Namespace) -> BaggedDataset:
    """Return the dataset that was typed.

    Raises:
        DatasetError: there is none.
    """
    sampling = Sampling(0.0 if options.keyframes else options.rate, not options.untrimmed)
    return open_dataset(options.folder, sampling, options.cameras_file, options.failures)


def print_table(names: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str] = ()) -> None:
    """Print rows under names; columns of `right` end at the right."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in names:
        table.add_column(name, justify="right" if name in right else "left", no_wrap=name in right)
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console()
    (console if console.is_terminal else Console(width=WIDE)).print(table)


def counted(number: int, what: str) -> str:
    """Return a number of things in words."""
    return f"{number} {what}{'' if number == 1 else 's'}"
