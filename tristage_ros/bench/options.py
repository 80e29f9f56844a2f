"""The options of `tristage bench`, without torch and rclpy: `tristage` declares them whatever it is asked to do."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from tristage_ros.graph.arguments import positive
from tristage_ros.graph.load import load
from tristage_ros.resources import user_path

SIZES = ("tiny", "mini", "7b")
DTYPES = ("float32", "bfloat16")
SECTIONS = ("steps", "overhead", "ablation", "denoising", "weights", "pruning", "growth", "reference", "rivals")
PLACES = ("joint1", "joint2", "joint3", "table", "short")  # where something is in the arm's way
FUZZED = (  # what reads what is not ours
    "images/raw", "images/compressed", "images/depth", "images/rvl",
    "messages/camera_info", "messages/joint_states", "messages/arm_status", "messages/point_cloud", "can/frames",
    "files/parameters", "files/machines", "files/cameras", "files/site", "files/preset", "files/recipe",
    "models/checkpoint", "models/run_config", "models/run_dataset_statistics", "models/run_weights", "models/trace",
    "training/frames", "training/plan",
    "bags/mcap", "bags/sqlite3", "bags/metadata", "bags/facts",
    "datasets/lerobot_info", "datasets/lerobot_rows", "datasets/lerobot_episodes", "datasets/lerobot_video",
    "datasets/lerobot_mapping", "serving/message", "serving/socket",
)  # fmt: skip


def add_bench_options(parser: argparse.ArgumentParser) -> None:
    """Declare what measures the model, which is `tristage bench` by itself."""
    parser.add_argument("--size", choices=SIZES, default="mini", help="of the model (default: mini)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument("--dtype", choices=DTYPES, help="default: float32 on a CPU, bfloat16 on CUDA")
    parser.add_argument("--threads", type=int, default=1, help="of torch on the CPU (default: 1, as the policy node)")
    parser.add_argument("--only", choices=SECTIONS, action="append", help="measure this only; may be repeated")
    parser.add_argument("--quick", action="store_true", help="few rounds and one rate: a first look, not a result")
    parser.add_argument("--json", type=user_path, metavar="FILE", help="write all figures here")
    parser.add_argument(
        "--markdown", type=user_path, metavar="FILE", help="write the tables here, as a chapter of the file"
    )
    parser.add_argument(
        "--plot", type=user_path, metavar="FILE", help="draw control steps and growth here; needs matplotlib"
    )


def add_measurements(bench: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Declare what measures more than the model; yield the module whose `run` does it, and its parser."""
    measurements = bench.add_subparsers(metavar="[MEASUREMENT]", title="what else can be measured")

    def measurement(module: str, name: str, told: str) -> tuple[str, argparse.ArgumentParser]:
        return f"tristage_ros.bench.{module}", measurements.add_parser(name, help=told, description=told)

    yield measurement("arm.command", "arm", "the emulated arm: contact, faults, stops, streaming, long runs")
    _add_arm_measurements(measurements.choices["arm"])

    yield (each := measurement("cameras", "cameras", "what a subscriber gets of two emulated cameras"))
    each[1].add_argument("--seconds", type=positive, default=20.0, help="how long is measured (default: 20)")

    yield (
        each := measurement("agreement", "agreement", "cameras against joints: false alarms, what is told, how soon")
    )
    each[1].add_argument(
        "--looks", type=_count, default=3600, help="at an arm and cameras that are right (default: 3600)"
    )
    each[1].add_argument("--episodes", type=_count, default=100, help="for every error (default: 100)")
    each[1].add_argument("--first-seed", type=_count, default=70000, help="of every task (default: 70000)")
    each[1].add_argument("--processes", type=_count, default=1, help="that share the tasks (default: 1)")

    yield (each := measurement("episodes", "episodes", "many recorded episodes: is every frame there, every bag whole"))
    each[1].add_argument("--episodes", type=_count, default=5, help="default: 5")
    each[1].add_argument("--seconds", type=positive, default=10.0, help="of each (default: 10)")
    each[1].add_argument("--out", type=user_path, metavar="FOLDER", help="keep them here (default: nowhere)")
    each[1].add_argument("arguments", nargs="*", metavar="NAME:=VALUE", help="launch arguments of piper_pick")

    yield (
        each := measurement("fuzz.command", "fuzz", "inputs that nobody would write; fails where one is not refused")
    )
    each[1].add_argument("--inputs", type=_count, default=10_000, help="of every kind (default: 10000)")
    each[1].add_argument("--only", type=_fuzzed, metavar="KIND,...", help=f"of {', '.join(FUZZED)}, or all of a group")
    each[1].add_argument("--seed", type=_seed, default=1, help="of what is made up (default: 1)")
    each[1].add_argument("--out", type=user_path, default="runs/fuzz", help="where a finding goes (default: runs/fuzz)")
    each[1].add_argument(
        "--input", type=user_path, metavar="FILE", help="read this one again, of the kind that --only names"
    )

    yield (each := measurement("latency", "latency", "how old an observation is when it moves the simulated arm"))
    each[1].add_argument("--seconds", type=positive, default=60.0, help="how long is measured (default: 60)")
    each[1].add_argument("--json", type=user_path, metavar="FILE", help="write the figures here")
    each[1].add_argument("arguments", nargs="*", metavar="NAME:=VALUE", help="launch arguments of piper_pick")

    yield (each := measurement("recording_cost", "recording", "the simulated cell with a recorder and without"))
    each[1].add_argument("--seconds", type=positive, default=30.0, help="of each run (default: 30)")
    each[1].add_argument("arguments", nargs="*", metavar="NAME:=VALUE", help="launch arguments of piper_pick")

    yield (each := measurement("stop", "stop", "how long a graph takes to stop, at every moment of its life"))
    each[1].add_argument("--repetitions", type=_count, default=3, help="of every stop; the median counts (default: 3)")

    yield (each := measurement("two_machines", "two-machines", "a link that is slow, loses frames or is cut"))
    each[1].add_argument("--seconds", type=positive, default=20.0, help="of each state of the wire (default: 20)")
    each[1].add_argument("--partition", type=positive, default=5.0, help="s that the wire is cut (default: 5)")
    each[1].add_argument("--frame-rate", type=positive, default=15.0, help="of the cameras (default: 15)")


def _add_arm_measurements(parser: argparse.ArgumentParser) -> None:
    arm = parser.add_subparsers(dest="measurement", required=True, metavar="WHAT")
    reactions = arm.add_parser("reactions", help="provoke every fault and print how fast it is answered")
    reactions.add_argument("--repetitions", type=_count, default=3, help="of each; the median counts (default: 3)")
    contact = arm.add_parser("contact", help="something is in the way: how soon it is noticed, how far let go of")
    contact.add_argument("--repetitions", type=_count, default=3, help="of each row (default: 3)")
    contact.add_argument("--hold", type=positive, default=60.0, help="s that sinking is watched (default: 60)")
    contact.add_argument("--where", choices=PLACES, action="append", help="this place only; may be repeated")
    stop = arm.add_parser("stop", help="how soon a stop reaches the set-points, whatever else the arm is asked")
    stop.add_argument("--repetitions", type=_count, default=20, help="of each row (default: 20)")
    stalls = arm.add_parser("stalls", help="the arm node's process stands still: what the arm does meanwhile and after")
    stalls.add_argument("--repetitions", type=_count, default=3, help="of each row (default: 3)")
    alarms = arm.add_parser("alarms", help="the experts of all tasks drive the arm; fails on a fault")
    alarms.add_argument("--minutes", type=positive, default=60.0, help="default: 60; at least one episode")
    alarms.add_argument("--seed", type=_seed, default=0, help="of the first episode; the others follow (default: 0)")
    lead = arm.add_parser("lead", help="an emulated leader in a hand: how closely the arm follows, and how late")
    lead.add_argument("--seconds", type=positive, default=20.0, help="of each row (default: 20)")
    box = arm.add_parser("black-box", help="what the record of the last minute costs, and to write it")
    box.add_argument("--times", type=_count, default=5, help="that it is written (default: 5)")
    for each in (reactions, contact, stop, stalls, alarms, lead, box):
        each.add_argument("--load", type=load, default=0, metavar="N", help="busy processes beside it (default: 0)")
    for each in (reactions, contact):
        each.add_argument("--slow", action="store_true", help="feedback at 20 Hz and 80 ms late; its own limits")

    streaming = arm.add_parser("stream", help="stream joint targets: tracking, jitter, processor")
    streaming.add_argument("--seconds", type=positive, default=30.0, help="default: 30")
    streaming.add_argument("--rate", type=float, default=50.0, help="set-points per second, 20 to 200 (default: 50)")
    soaking = arm.add_parser("soak", help="move for a long time; fails when memory, threads or files grow")
    soaking.add_argument("--seconds", type=positive, default=600.0, help="default: 600")
    attack = arm.add_parser(
        "attack", help="random operations on a real arm node, judged at the bus; fails on a finding"
    )
    attack.add_argument("--seed", type=int, default=1, help="of what is done (default: 1)")
    attack.add_argument("--minutes", type=positive, default=10.0, help="default: 10")


def _fuzzed(text: str) -> list[str]:
    known = {*FUZZED, *(name.split("/")[0] for name in FUZZED)}
    if wrong := [name for name in text.split(",") if name not in known]:
        raise argparse.ArgumentTypeError(f"{wrong[0]!r} is no kind; there are: {', '.join(FUZZED)}")
    return text.split(",")


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**31:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 0 to {2**31 - 1}")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return int(text)


def command_line(options: argparse.Namespace) -> str:
    """Return the command that runs the same measurement."""
    words = ["tristage", "bench", "--size", options.size, "--device", options.device]
    words += ["--dtype", options.dtype] if options.dtype else []
    words += ["--threads", str(options.threads)] if options.device == "cpu" else []
    words += [word for section in options.only or () for word in ("--only", section)]
    return " ".join(words + ["--quick"] * options.quick)
