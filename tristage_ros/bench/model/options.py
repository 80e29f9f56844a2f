"""The options of the command, without torch: `tristage` declares them whatever it is asked to do."""

from __future__ import annotations

import argparse
from pathlib import Path

SIZES = ("tiny", "mini", "7b")
DTYPES = ("float32", "bfloat16")
SECTIONS = ("steps", "overhead", "ablation", "denoising", "weights", "pruning", "growth", "reference")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("--size", choices=SIZES, default="mini", help="of the model (default: mini)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument("--dtype", choices=DTYPES, help="default: float32 on a CPU, bfloat16 on CUDA")
    parser.add_argument("--threads", type=int, default=1, help="of torch on the CPU (default: 1, as the policy node)")
    parser.add_argument("--only", choices=SECTIONS, action="append", help="measure this only; may be repeated")
    parser.add_argument("--quick", action="store_true", help="few rounds and one rate: a first look, not a result")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures here")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables here, as a chapter of the file")
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw control steps and growth here; needs matplotlib"
    )


def command_line(options: argparse.Namespace) -> str:
    """Return the command that runs the same measurement."""
    words = ["tristage", "bench", "--size", options.size, "--device", options.device]
    words += ["--dtype", options.dtype] if options.dtype else []
    words += ["--threads", str(options.threads)] if options.device == "cpu" else []
    words += [word for section in options.only or () for word in ("--only", section)]
    return " ".join(words + ["--quick"] * options.quick)
