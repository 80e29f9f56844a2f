"""The `tristage` command: run a graph, run the demo, write a report, measure."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from tristage_ros import __version__
from tristage_ros.bench.options import add_bench_options, add_measurements
from tristage_ros.commands.dataset.options import add_dataset_options
from tristage_ros.commands.options import (
    add_calibrate_cameras_options,
    add_doctor_options,
    add_episodes_options,
    add_jog_options,
    add_preset_options,
    add_record_options,
    add_serve_options,
    add_teach_options,
    add_trial_options,
)
from tristage_ros.graph import middleware
from tristage_ros.graph.arguments import ARGUMENTS, GraphError, parse_arguments, positive
from tristage_ros.graph.load import load
from tristage_ros.graph.namespaces import NamespaceError, add_node_options, node_arguments
from tristage_ros.graph.prerequisites import complaint, require
from tristage_ros.reports.compare.options import add_compare_options, add_replay_options
from tristage_ros.resources import user_path
from tristage_ros.simulation import misspelt_backend, rendering_trouble
from tristage_ros.start import EXIT_INTERRUPTED, interruptible, unread
from tristage_ros.studies.options import add_calibrate_options, add_evaluate_options
from tristage_ros.training.options import add_training_options

EXIT_USAGE = 2
RENDER = ("bench", "studies", "training")  # rooms whose commands need the simulation
EXIT_UNREAD = 141  # as of a program that a closed pipe ended


class UsageError(ValueError):
    """Say what is wrong with what was typed; the message is one line for a person."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    try:
        options = _parser().parse_args(argv)
        if options.speaks:
            middleware.check(os.environ)  # now: some of it would end the import of rclpy
        return int(options.command(options))
    except (GraphError, NamespaceError, middleware.MiddlewareError, UsageError, OSError) as error:
        if isinstance(error, BrokenPipeError) and unread():  # as `head` leaves when it has seen enough
            return EXIT_UNREAD
        _complain(f"error: {error}")
        return EXIT_USAGE
    except ModuleNotFoundError as error:
        _complain(f"error: {complaint([error.name or str(error)], sys.executable)}")
        return EXIT_USAGE
    except KeyboardInterrupt:  # of a command that has nothing to put in order
        _complain("interrupted: what was not finished is not written")
        return EXIT_INTERRUPTED


def _complain(text: str) -> None:
    with suppress(OSError):  # nobody reads
        print(text, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tristage", description="Real-robot inference for VLA models that see in 2D and 3D."
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.set_defaults(speaks=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="run a graph of nodes without a launch system",
        description=_describe_graphs(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument("graph", help=f"one of: {', '.join(ARGUMENTS)}")
    run.add_argument("arguments", nargs="*", metavar="NAME:=VALUE", help="launch arguments")
    run.set_defaults(command=_run)
    demo = commands.add_parser("demo", help="run the simulated pick cell, show it live, write a report and a bag")
    demo.add_argument("--seconds", type=positive, default=60.0, help="of simulated time (default: 60)")
    demo.add_argument("--out", type=user_path, help="folder of the report (default: runs/<time>)")
    demo.add_argument("--lead", action="store_true", help="a scripted hand leads the arm by a second one: lead:=true")
    demo.add_argument("--show", action="store_true", help="in the Rerun viewer, without a display a page: rerun:=true")
    demo.add_argument("--compare", action="store_true", help="the same scene unpruned as well, both side by side")
    demo.add_argument("--load", type=load, default=0, metavar="N", help="busy processes beside it (default: 0)")
    demo.add_argument("--no-browser", action="store_true", help="do not show the page, also where there is a display")
    demo.add_argument("arguments", nargs="*", metavar="NAME:=VALUE", help="launch arguments of piper_pick")
    demo.set_defaults(command=_demo)
    monitor = commands.add_parser("monitor", help="show a run live in this terminal")
    monitor.add_argument("--once", action="store_true", help="print one picture and end; 1: nothing is published")
    add_node_options(monitor)
    monitor.set_defaults(speaks=True, command=_monitor)
    jog = commands.add_parser("jog", help="lead the arm's tool by keys")
    add_jog_options(jog)
    jog.set_defaults(speaks=True, command=_run_of("tristage_ros.commands.jog"))
    stop = commands.add_parser("stop", help="slow the arm down and hold it, until it is enabled again")
    add_node_options(stop)
    stop.set_defaults(command=_stop)
    preset = commands.add_parser("preset", help="keep what the pruner of a running policy is set to")
    add_preset_options(preset)
    preset.set_defaults(speaks=True, command=_run_of("tristage_ros.commands.preset"))
    record = commands.add_parser("record", help="record a running graph into an MCAP bag until Ctrl-C")
    add_record_options(record)
    record.set_defaults(speaks=True, command=_record)
    teach = commands.add_parser("teach", help="lead the arm and record episodes, one bag each")
    add_teach_options(teach)
    teach.set_defaults(speaks=True, command=_run_of("tristage_ros.commands.teach.teach"))
    episodes = commands.add_parser("episodes", help="list, mark, trim and show episodes")
    add_episodes_options(episodes)
    episodes.set_defaults(command=_run_of("tristage_ros.commands.episodes"))
    trial = commands.add_parser(
        "trial", help="compare two ways to run in pairs of trials, blind, and say how sure it is"
    )
    add_trial_options(trial)
    trial.set_defaults(speaks=True, command=_run_of("tristage_ros.commands.trial.trial"))
    dataset = commands.add_parser(
        "dataset", help="what a policy learns from episodes: look at it, check, part, make it"
    )
    for module, action in add_dataset_options(dataset):
        action.set_defaults(command=_run_of(module))
    replay = commands.add_parser("replay", help="replay a bag through point cloud and policy, and compare")
    add_replay_options(replay)
    replay.set_defaults(speaks=True, command=_run_of("tristage_ros.commands.replay.replay"))
    compare = commands.add_parser("compare", help="compare the actions, masks, rates and times of two runs")
    add_compare_options(compare)
    compare.set_defaults(command=_run_of("tristage_ros.reports.compare.command"))
    serve = commands.add_parser("serve", help="serve the policy to any robot over a websocket, without ROS")
    add_serve_options(serve)
    serve.set_defaults(command=_run_of("tristage_ros.commands.serve"))
    report = commands.add_parser("report", help="write the report of a recorded run, a trial, or a fault")
    report.add_argument(
        "bag", type=user_path, metavar="BAG|RUN", help="a bag, a run's folder, a trial's, or an arm's black box"
    )
    report.add_argument("--out", type=user_path, help="folder of the report (default: the run's; a black box's own)")
    report.add_argument(
        "--format",
        choices=("html", "rrd"),
        default="html",
        help="rrd: a recording for the Rerun viewer (default: html)",
    )
    report.set_defaults(command=_report)
    show = commands.add_parser("show", help="show a recorded run in the Rerun viewer, without a display as a page")
    show.add_argument("bag", type=user_path, metavar="BAG|RUN|FILE.rrd", help="a bag, a run's folder, or a recording")
    show.set_defaults(command=_run_of("tristage_ros.commands.show"))
    calibrate = commands.add_parser("calibrate", help="choose the thresholds of stage 1 from a recorded run")
    add_calibrate_options(calibrate)
    calibrate.set_defaults(command=_run_of("tristage_ros.studies.calibrate"))
    cameras = commands.add_parser("calibrate-cameras", help="find out where the cameras are mounted, with a board")
    add_calibrate_cameras_options(cameras)
    cameras.set_defaults(speaks=True, command=_run_of("tristage_ros.commands.calibrate_cameras"))
    bench = commands.add_parser("bench", help="measure how long control steps take, and why")
    add_bench_options(bench)
    bench.set_defaults(command=_run_of("tristage_ros.bench.model.command"))
    for module, measurement in add_measurements(bench):
        measurement.set_defaults(speaks=True, command=_run_of(module))
    train = commands.add_parser("train", help="train the mini model on demonstrations of the simulated cell")
    add_training_options(train)
    train.set_defaults(command=_run_of("tristage_ros.training.command"))
    doctor = commands.add_parser("doctor", help="check this machine and the robot before the first motion")
    add_doctor_options(doctor)
    doctor.set_defaults(command=_run_of("tristage_ros.commands.doctor.doctor"))
    evaluate = commands.add_parser("evaluate", help="run simulated episodes: the paper's tables and figures")
    add_evaluate_options(evaluate)
    evaluate.set_defaults(command=_run_of("tristage_ros.studies.command"))
    return parser


def _describe_graphs() -> str:
    lines = []
    for name, arguments in ARGUMENTS.items():
        lines += [f"{name}:", *(f"  {a.name + ':=' + a.default:46} {a.description}" for a in arguments)]
    return "\n".join(lines)


def _run_of(module: str) -> Callable[[argparse.Namespace], int]:
    """Return the command that a module's `run` carries out; torch, rclpy and the SDKs are imported when it does."""

    def command(options: argparse.Namespace) -> int:
        if module.split(".")[1] in RENDER and (told := misspelt_backend()):
            raise UsageError(told)
        try:
            run = importlib.import_module(module).run
        except (AttributeError, ImportError, OSError) as error:  # as the import of mujoco ends without its libraries
            told = "" if isinstance(error, ModuleNotFoundError) else rendering_trouble()
            if not told:
                raise
            raise UsageError(told) from error
        interruptible()
        try:
            return int(run(options))
        except ValueError as error:
            raise UsageError(str(error)) from error

    return command


def _run(options: argparse.Namespace) -> int:
    from tristage_ros.graph import graph  # and what it takes to describe one, only where that is asked for

    described = graph.build(options.graph, parse_arguments(options.arguments))
    require(described.executables, sys.executable, "honcho")
    from tristage_ros.graph.supervisor import run

    return run(described)


def _demo(options: argparse.Namespace) -> int:
    from tristage_ros.commands.demo import demo  # rclpy only where it is needed

    interruptible()
    short = {"lead": options.lead, "rerun": options.show}
    given = {name: "true" for name, is_wanted in short.items() if is_wanted}
    arguments = given | parse_arguments(options.arguments)
    return demo(options.seconds, options.out, arguments, options.compare, options.load, not options.no_browser)


def _monitor(options: argparse.Namespace) -> int:
    from tristage_ros.commands.monitor import monitor

    interruptible()
    return monitor(options.once, node_arguments(options))


def _stop(options: argparse.Namespace) -> int:
    os.environ.setdefault("ROS_LOG_DIR", tempfile.gettempdir())  # an arm is stopped without a place for a log, too
    middleware.check(os.environ)
    from tristage_ros.commands.stop import stop

    return stop(node_arguments(options))


def _record(options: argparse.Namespace) -> int:
    from tristage_ros.commands.record import record

    interruptible()
    return record(options)


def _report(options: argparse.Namespace) -> int:
    from tristage_ros.bags.reader import BagError
    from tristage_ros.reports.report import report
    from tristage_ros.reports.trial.file import TrialError

    interruptible()
    try:
        if options.format == "rrd":
            print(_recording(options.bag, options.out))
        else:
            print(report(options.bag, options.out, {}).html)
    except (BagError, TrialError) as error:
        raise UsageError(str(error)) from error
    return 0


def _recording(bag: Path, folder: Path | None) -> Path:
    from tristage_ros.reports.black_box.record import is_black_box
    from tristage_ros.reports.run import bag_of
    from tristage_ros.viewing.bag import write_recording
    from tristage_ros.viewing.environment import Environment, ViewerError

    if is_black_box(bag_of(bag)):
        raise UsageError(f"{bag} is a black box of the arm, which has no pictures; its report is --format html")
    out = (folder or (bag if (bag / "bag").exists() else bag.parent)) / "report.rrd"
    environment = Environment()
    try:
        environment.make(_complain)
        for line in write_recording(bag, out, environment):
            _complain(line)
    except ViewerError as error:
        raise UsageError(str(error)) from error
    return out
