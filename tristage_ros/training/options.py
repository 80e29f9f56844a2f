"""The options of the command, without torch: `tristage` declares them whatever it is asked to do."""

from __future__ import annotations

import argparse
from pathlib import Path

from tristage_ros.resources import user_path


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("--recipe", type=user_path, help="YAML file (default: the shipped config/training.yaml)")
    parser.add_argument("--out", type=user_path, default=Path("runs/training"), help="folder (default: runs/training)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument("--workers", type=int, help="processes that run episodes (default: one per processor)")
    parser.add_argument(
        "--only", choices=("collect", "train", "check"), help="one part: train takes what demonstrations there are"
    )
    parser.add_argument(
        "settings",
        nargs="*",
        metavar="SECTION.NAME=VALUE",
        help="in place of the recipe's, such as optimisation.steps=100",
    )
