"""The options of `tristage doctor`."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--can", default="can0", metavar="CHANNEL", help="CAN channel of the arm (default: can0)")
    parser.add_argument("--interface", default="socketcan", help="python-can interface of that channel")
    parser.add_argument("--cameras", type=int, default=2, metavar="N", help="RealSense cameras to expect (default: 2)")
