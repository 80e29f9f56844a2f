"""A bag in ten lines, without ROS: what the policy decided, and how much it had pruned."""

from __future__ import annotations

import sys

from tristage_ros.bags.reader import BagReader


def main(path: str) -> int:
    """Print every control step of the bag at `path`; return how many there are."""
    with BagReader(path) as bag:
        rates = {m.header_stamp: m.value.rate for m in bag.messages("/tristage/pruning")}
        actions = list(bag.messages("/tristage/action"))
    for action in actions:
        move = action.value.translation[0]
        rate = rates.get(action.header_stamp, 0.0)
        print(f"{action.header_stamp / 1e9:.3f} s: {move.x:+.3f} {move.y:+.3f} {move.z:+.3f} m, {rate:.0%} pruned")
    return len(actions)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "test/data/small_bag")
