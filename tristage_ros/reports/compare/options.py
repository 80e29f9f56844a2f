"""Command-line options of `tristage replay` and `tristage compare`, without what these need to run."""

from __future__ import annotations

import argparse
import math

from tristage_ros.graph.arguments import positive
from tristage_ros.resources import user_path

LIMITS = {
    "position_mm": "largest difference of a translation along an axis, mm",
    "rotation_deg": "largest difference of an orientation about an axis, degrees",
    "gripper_percent": "largest difference of the gripper's opening, percent",
    "rate": "largest difference of a pruning rate, 0..1",
    "masks": "smallest share of tokens that are kept or pruned in both, 0..1",
    "unmatched": "steps that only one of the runs has",
    "slower_ms": "by how much the median control step of the second run takes longer, ms",
}
LEAST = ("masks",)  # limits from below


def add_compare_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `tristage compare`."""
    parser.add_argument("first", type=user_path, help="bag of a run, recorded or replayed")
    parser.add_argument("second", type=user_path, help="bag of the run to compare with it")
    parser.add_argument(
        "--out", type=user_path, help="folder of comparison.json and .png (default: beside the second bag)"
    )
    _add_limits(parser)


def add_replay_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `tristage replay`."""
    parser.add_argument("bag", type=user_path, help="a bag, of any storage that rosbag2 knows")
    parser.add_argument("--lockstep", action="store_true", help="show each frame once the action on the last has come")
    parser.add_argument("--every-frame", action="store_true", help="in lockstep: also frames nobody acted on")
    parser.add_argument("--factor", type=positive, default=1.0, help="times real time (default: 1)")
    parser.add_argument("--set", action="append", default=[], metavar="NODE.NAME=VALUE", dest="changes",
                        help="change a setting of the recorded run: pruning.tau_2d=0.1")  # fmt: skip
    parser.add_argument("--remap", action="append", default=[], metavar="FROM:=TO", type=_remapping,
                        help="rename topics of the bag by their beginning: /camera/camera:=/front")  # fmt: skip
    parser.add_argument("--out", type=user_path, help="folder of what comes of it (default: runs/<time>-replay)")
    parser.add_argument("--against", type=user_path, help="compare with this bag instead of the replayed one")
    parser.add_argument("--timeout", type=positive, default=60.0, help="s to wait for an action in lockstep")
    _add_limits(parser)


def _add_limits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", action="append", default=[], metavar="NAME=VALUE", type=_limit,
                        help="exit with 1 when the runs are further apart; NAME is one of: " + "; ".join(
                            f"{name}: {meaning}" for name, meaning in LIMITS.items()))  # fmt: skip
    parser.add_argument("--identical", action="store_true", help="exit with 1 unless masks and actions are bit-equal")


def _limit(text: str) -> tuple[str, float]:
    name, _, written = text.partition("=")
    if name not in LIMITS:
        raise argparse.ArgumentTypeError(f"there is no measure {name!r}; there are: {', '.join(LIMITS)}")
    try:
        value = float(written)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text}: {written!r} is not a number")
    return name, value


def _remapping(text: str) -> tuple[str, str]:
    old, separator, new = text.partition(":=")
    if not separator or not old.startswith("/") or not new.startswith("/"):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form /FROM:=/TO")
    return old, new
