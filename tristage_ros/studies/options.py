"""Options of `tristage evaluate` and `tristage calibrate`, without torch.

`tristage` declares them whatever it is asked to do.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tristage_ros.resources import user_path
from tristage_ros.studies.protocol import CHOOSING, FIRST_SEED, TRAINED

TASKS = TRAINED.tasks
METHODS = ("none", "random", "fastv", "vla_pruner", "dart", "sp_vla", "tristage")
TABLES = ("table1", "table2", "table3", "table4")
FIGURES = ("figure3", "figure5", "figure7", "figure8")
OTHERS = (
    "rates", "stages", "choosing", "controls", "robustness", "denoising", "continuous2", "continuous3", "looks",
    "families", "need", "governs", "oracle", "practice", "matrix",
)  # fmt: skip
CORE = ("table2", "table3")
MORE = (
    "rates", "choosing", "table1", "stages", "continuous2", "continuous3", "controls", "robustness", "denoising",
    "table4", *FIGURES,
)  # fmt: skip
EVERYTHING = (*CORE, *MORE)
EYES = ("families", "need", "governs", "oracle", "practice")  # of a model that knows the tasks in which height matters


def add_evaluate_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("--checkpoint", default="", help="model (default: the shipped minis; random: RANDOM WEIGHTS)")
    parser.add_argument("--tasks", help=f"comma-separated (default: those of the table, most often {','.join(TASKS)})")
    parser.add_argument("--methods", help=f"comma-separated, of {','.join(METHODS)} (default: the table's)")
    parser.add_argument("--rates", help="shares of visual tokens to prune, as 0.5,0.7 (default: the table's)")
    parser.add_argument("--episodes", type=int, help="of every task of a row (default: what the table asks for)")
    parser.add_argument("--seed", type=int, default=FIRST_SEED,
                        help=f"of the first episode, from {CHOOSING.stop} on (default: {FIRST_SEED})")  # fmt: skip
    parser.add_argument("--processes", type=int, default=2, help="that run episodes, a thread each (default: 2)")
    parser.add_argument(
        "--cluster", default="", metavar="KIND:ADDRESS", help="run them there: dask:tcp://HOST:8786 or ray:auto"
    )
    parser.add_argument("--out", type=user_path, default=Path("runs/evaluation"), help="folder of episodes and results")
    parser.add_argument(
        "--document", type=user_path, metavar="FILE", help="Markdown file to put the chapters into as well"
    )
    parser.add_argument("--table", type=int, choices=(1, 2, 3, 4), action="append", default=[], help="of the paper")
    parser.add_argument("--figure", type=int, choices=(3, 5, 7, 8), action="append", default=[], help="5: and 6")
    parser.add_argument("--part", choices=OTHERS, action="append", default=[],
                        help="what the paper does not have; matrix: the methods against the rates")  # fmt: skip
    parser.add_argument("--core", action="store_true", help="tables 2 and 3, from which everything is claimed")
    parser.add_argument("--more", action="store_true", help="every other table, figure and part")
    parser.add_argument("--all", action="store_true", help="both")
    parser.add_argument("--print-only", action="store_true", help="run nothing: print what is finished")


def parts_of(options: argparse.Namespace) -> tuple[str, ...]:
    """Return the names of the parts that are asked for, none where nothing is; methods or rates ask for the matrix."""
    if options.all or (options.core and options.more):
        return EVERYTHING
    if options.core or options.more:
        return CORE if options.core else MORE
    named = (*(f"table{n}" for n in options.table), *(f"figure{n}" for n in options.figure), *options.part)
    return named or (("matrix",) if options.methods or options.rates else ())


def choice(part: str) -> str:
    """Return the option that asks for a part."""
    kind = next((kind for kind in ("table", "figure") if part.startswith(kind)), "")
    return f"--{kind} {part.removeprefix(kind)}" if kind else f"--part {part}"


def command_line(options: argparse.Namespace, part: str) -> str:
    """Return the command that prints a part again."""
    words = ["tristage", "evaluate", *(["--checkpoint", options.checkpoint] if options.checkpoint else [])]
    words += [*(["--tasks", options.tasks] if options.tasks else []), choice(part)]
    words += ["--methods", options.methods] if options.methods else []
    words += ["--rates", options.rates] if options.rates else []
    words += ["--episodes", str(options.episodes)] if options.episodes else []
    return " ".join(words + (["--seed", str(options.seed)] if options.seed != FIRST_SEED else []))


# `tristage calibrate`.

CALIBRATE_INSTRUCTION = "put the banana on the blue plate"
CALIBRATE_EPISODES = 5  # of every task


def add_calibrate_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--checkpoint", default="", help="model (default: the shipped mini; random: RANDOM WEIGHTS)")
    parser.add_argument("--pruning", type=user_path, help="preset to start from (default: config/pruning/robot.yaml)")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--trace", type=user_path, help="salience trace of an earlier calibration, instead of a run")
    source.add_argument("--bag", type=user_path, help="MCAP bag with front images, clouds and joint states")
    source.add_argument(
        "--episodes",
        type=int,
        default=CALIBRATE_EPISODES,
        help=f"without either: of every task in the simulated cell (default: {CALIBRATE_EPISODES})",
    )
    parser.add_argument("--continuous", action="store_true", help="those for a model under continuous control")
    parser.add_argument("--instruction", default=CALIBRATE_INSTRUCTION, help=f"of a bag: {CALIBRATE_INSTRUCTION}")
    parser.add_argument("--cameras-file", type=user_path, help="extrinsics of a bag (default: config/cameras.yaml)")
    parser.add_argument("--rate", type=float, help="choose thresholds, too, by which the stages prune this share")
    parser.add_argument(
        "--balance", type=float, default=1.0, help="with --rate: 2D of one-modality patches (default: 1, the paper's)"
    )
    parser.add_argument("--out", type=user_path, default=Path("calibration"), help="folder of what is written")
