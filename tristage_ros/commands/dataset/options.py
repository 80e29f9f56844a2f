"""The options of `tristage dataset`, without what its actions need: `tristage` declares them whatever it is to do."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from tristage_ros.graph.arguments import positive
from tristage_ros.resources import user_path
from tristage_ros.simulation.instructions import INSTRUCTIONS, TABLE

MODULE = "tristage_ros.commands.dataset"


def add_dataset_options(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Declare the actions; yield the module whose `run` does each, and its parser."""
    actions = parser.add_subparsers(required=True, metavar="ACTION")

    def action(module: str, name: str, told: str) -> tuple[str, argparse.ArgumentParser]:
        return f"{MODULE}.{module}", actions.add_parser(name, help=told, description=told)

    yield (each := action("listing", "list", "a line for each episode: what it is, and why it is not used"))
    _add_folder(each[1])

    yield (
        each := action("showing", "show", "what one episode becomes: frames, calibration, who led, what was trimmed")
    )
    _add_folder(each[1])
    each[1].add_argument("number", type=int, help="of the episode in its folder")
    _add_sampling(each[1])

    yield (each := action("stats", "stats", "range, mean and deviation of states and actions"))
    _add_folder(each[1])
    _add_sampling(each[1])
    each[1].add_argument("--json", type=user_path, metavar="FILE", help="write the figures here")

    yield (each := action("checking", "check", "read every frame; name each episode that cannot be used, and why"))
    _add_folder(each[1])
    _add_sampling(each[1])

    yield (each := action("splitting", "split", "part a folder: of every task the same shares, linked, not copied"))
    _add_folder(each[1])
    each[1].add_argument(
        "--into", nargs="+", default=["train=0.9", "check=0.1"], metavar="NAME=SHARE", help="(default: %(default)s)"
    )
    each[1].add_argument("--seed", type=int, default=0, help="of the draw (default: 0)")
    _add_out(each[1], "folder to make, with one for each part")

    yield (each := action("merging", "merge", "one folder of several, numbered anew, linked, not copied"))
    each[1].add_argument("folders", nargs="+", type=user_path, metavar="FOLDER", help="of episodes, runs or bags")
    _add_out(each[1], "folder to make")

    yield (each := action("making", "make", "record the experts of the simulated cell, faster than real time"))
    each[1].add_argument("--tasks", nargs="+", choices=tuple(INSTRUCTIONS), default=list(TABLE), metavar="TASK",
                         help=f"out of {', '.join(INSTRUCTIONS)} (default: the first {len(TABLE)})")  # fmt: skip
    each[1].add_argument("--episodes", type=_count, default=10, metavar="N", help="of each task (default: 10)")
    each[1].add_argument(
        "--control", choices=("rate", "keyframe"), default="rate", help="how the expert leads (default: rate)"
    )
    each[1].add_argument("--rate", type=positive, default=10.0, metavar="HZ", help="of the cameras (default: 10)")
    each[1].add_argument("--color", choices=("jpeg", "png", "raw"), default="jpeg", help="png and raw lose nothing")
    each[1].add_argument("--seed", type=int, metavar="N", help="of the first scene (default: one that was not used)")
    each[1].add_argument("--workers", type=_count, help="processes (default: one per processor)")
    _add_out(each[1], "folder of the episodes; new ones come behind those that it has")

    yield (each := action("exporting", "export", "write the frames in another format: LeRobotDataset v3.0, or arrays"))
    _add_folder(each[1])
    _add_sampling(each[1])
    each[1].add_argument("--format", choices=("lerobot", "arrays"), default="lerobot",
                         help="arrays: an .npz per episode, by step, as RLDS (default: lerobot)")  # fmt: skip
    _add_writing(each[1])

    yield (each := action("importing", "import", "read a LeRobotDataset, v3.0 or v2.1, and write it as one of ours"))
    each[1].add_argument("folder", type=user_path, help="with meta, data and videos in it")
    each[1].add_argument(
        "--mapping", type=user_path, metavar="FILE", help="what its columns are, and in which units: docs/lerobot.md"
    )
    _add_writing(each[1])


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=user_path, help="of `tristage teach`, of runs with a bag, or a bag")
    parser.add_argument("--failures", action="store_true", help="use episodes that failed as well")


def _add_sampling(parser: argparse.ArgumentParser) -> None:
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--rate", type=positive, default=10.0, metavar="HZ", help="of the frames (default: 10)")
    how.add_argument(
        "--keyframes", action="store_true", help="frames where the tool paused, the gripper acted, the direction broke"
    )
    parser.add_argument("--untrimmed", action="store_true", help="keep idle ends")
    parser.add_argument("--cameras-file", type=user_path, help="calibration in the place of the one that was recorded")


def _add_out(parser: argparse.ArgumentParser, told: str) -> None:
    parser.add_argument("--out", type=user_path, required=True, metavar="FOLDER", help=told)


def _add_writing(parser: argparse.ArgumentParser) -> None:
    _add_out(parser, "folder to make")
    parser.add_argument("--no-depth", action="store_true", help="leave depth out")
    parser.add_argument("--resume", action="store_true", help="go on behind the episodes that --out has")


def _count(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive whole number")
    return number
