"""Pruning rates and actions of the small bag's replay, as they were when somebody last looked at them.

`python test/replay_golden.py` replays the bag and writes them anew.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from tristage_ros.reports.compare.compare import read_steps

SMALL_BAG = Path(__file__).parent / "data" / "small_bag"
GOLDEN = SMALL_BAG.with_suffix(".json")
# Other processors round differently: now and then a token is pruned or kept instead of another.
RATE, MEAN_RATE = 0.08, 0.02
POSITION, MEAN_POSITION = 10.0, 3.0  # mm


def summary(bag):
    """Return rates [n, 3] and translations [n, 3] (mm) of a replay's control steps."""
    steps = read_steps(bag).steps
    rates = [[s.pruning.rate, s.pruning.rate_2d, s.pruning.rate_3d] for s in steps]
    moves = [[1e3 * getattr(s.action.translation[0], axis) for axis in "xyz"] for s in steps]
    return {"rates": np.round(np.array(rates, float), 4).tolist(), "translations": np.round(moves, 3).tolist()}


def main():
    with tempfile.TemporaryDirectory() as folder:
        command = ["replay", str(SMALL_BAG), "--lockstep", "--every-frame", "--out", folder]
        subprocess.run([sys.executable, "-m", "tristage_ros", *command], check=True)
        found = summary(Path(folder) / "bag")
    GOLDEN.write_text(json.dumps(found) + "\n")
    print(f"{len(found['rates'])} steps, mean rates {np.mean(found['rates'], axis=0).round(3)}: {GOLDEN}")


if __name__ == "__main__":
    main()
