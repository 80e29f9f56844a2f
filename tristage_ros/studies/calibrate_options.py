"""What `tristage calibrate` can be told; importing this costs nothing."""

from __future__ import annotations

import argparse
from pathlib import Path

INSTRUCTION = "put the banana on the blue plate"
STEPS = 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--rate", type=float, required=True, help="share of visual tokens that the stages shall prune")
    parser.add_argument("--pruning", type=Path, help="preset to start from (default: config/pruning/robot.yaml)")
    parser.add_argument("--balance", type=float, default=0.5, help="2D among the single-modality patches (default: .5)")
    parser.add_argument("--checkpoint", default="", help="model (default: the shipped mini; random: RANDOM WEIGHTS)")
    parser.add_argument("--instruction", default=INSTRUCTION, help=f"default: {INSTRUCTION}")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--trace", type=Path, help="salience trace of an earlier calibration, instead of a run")
    source.add_argument("--bag", type=Path, help="MCAP bag with front images, clouds and joint states")
    parser.add_argument("--steps", type=int, default=STEPS, help="without either: steps in the simulated cell")
    parser.add_argument("--cameras-file", type=Path, help="extrinsics (default: config/cameras.yaml)")
    parser.add_argument("--out", type=Path, default=Path("calibration"), help="folder of what is written")
