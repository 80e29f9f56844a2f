"""What `tristage calibrate-cameras` can be told; importing this costs nothing."""

from __future__ import annotations

import argparse
from pathlib import Path

from tristage_ros.graph.namespaces import add_node_options


def add_calibrate_cameras_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--list", action="store_true", help="list the RealSense cameras of this machine and end")
    parser.add_argument("--print", type=Path, metavar="FILE.pdf", help="write the board, true to scale, and end")
    parser.add_argument("--cameras", nargs="+", help="cameras to calibrate (default: all of the cameras file)")
    parser.add_argument("--board", default="5x4", metavar="COLUMNSxROWS", help="squares of the board (default: 5x4)")
    parser.add_argument("--square", type=float, default=48.0, metavar="MM", help="edge of a square (default: 48)")
    parser.add_argument("--marker", type=float, default=36.0, metavar="MM", help="edge of a marker (default: 36)")
    parser.add_argument(
        "--board-on",
        choices=("base_link", "flange"),
        default="base_link",
        help="base_link: the board lies still while the arm moves; flange: the gripper holds it (default: base_link)",
    )
    parser.add_argument("--cameras-file", type=Path, help="mounts to start from (default: config/cameras.yaml)")
    parser.add_argument("--out", type=Path, default=Path("cameras.yaml"), help="file to write (default: cameras.yaml)")
    add_node_options(parser)
