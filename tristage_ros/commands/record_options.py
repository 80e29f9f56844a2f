"""Command-line options of `tristage record`."""

from __future__ import annotations

import argparse
from pathlib import Path

from tristage_ros.graph.namespaces import add_node_options


def add_record_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `tristage record`; their defaults are those of the recorder node."""
    parser.add_argument("--out", type=Path, default=Path(), help="folder of the bag (default: runs/<time>)")
    parser.add_argument("--color", choices=("jpeg", "png", "raw"), default="jpeg", help="png and raw lose nothing")
    parser.add_argument("--cameras", nargs="+", default=["front", "wrist"], help="cameras to record")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="every n-th frame of a camera is recorded")
    add_node_options(parser)
