"""`tristage dataset split`: parts of a folder, such as what is learnt from and what it is checked with."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence

from tristage_ros.commands.dataset.common import counted
from tristage_ros.datasets.division import divided, gathered, require_new, task_of
from tristage_ros.datasets.recorded import found, wanted
from tristage_ros.datasets.values import DatasetError
from tristage_ros.perception.extrinsics import NAME


def run(options: argparse.Namespace) -> int:
    """Make the folder; return the exit code.

    Raises:
        DatasetError: there are no episodes, or they cannot be parted so.
        OSError: the folder cannot be written.
    """
    shares = _shares(options.into)
    require_new(options.out)
    episodes = [(one, task_of(one)) for one in wanted(found(options.folder), options.failures)]
    parts = divided(episodes, shares, options.seed)
    gathered(parts, options.out)
    for name, ours in parts.items():
        print(f"{options.out / name}: {counted(len(ours), 'episode')}")
    return 0


def _shares(words: Sequence[str]) -> dict[str, float]:
    shares: dict[str, float] = {}
    for word in words:
        name, _, share = word.partition("=")
        try:
            number = float(share)
        except ValueError:
            number = math.nan
        if not NAME.fullmatch(name) or name in shares or not 0.0 < number < 1.0:
            raise DatasetError(f"--into {word}: write NAME=SHARE with different names, a share between 0 and 1")
        shares[name] = number
    if abs(sum(shares.values()) - 1.0) > 1e-6:
        raise DatasetError(f"--into {' '.join(words)}: shares make {sum(shares.values()):g}, not 1")
    return shares
