"""`tristage dataset merge`: one folder of several."""

from __future__ import annotations

import argparse

from tristage_ros.commands.dataset.common import counted
from tristage_ros.datasets.division import gathered, require_new
from tristage_ros.datasets.recorded import found


def run(options: argparse.Namespace) -> int:
    """Make the folder, of all episodes that are whole; return the exit code.

    Raises:
        DatasetError: a folder has no episodes, or the one to make is there already.
        OSError: it cannot be written.
    """
    require_new(options.out)
    episodes = [one for folder in options.folders for one in found(folder)]
    gathered({"": episodes}, options.out)
    print(f"{options.out}: {counted(len(episodes), 'episode')}")
    return 0
