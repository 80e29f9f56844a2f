"""The options of what is in this room, without rclpy and the SDKs.

`tristage` declares them whatever it is asked to do. Those of `replay` are with the options of `compare`, in reports.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tristage_ros.graph.arguments import positive
from tristage_ros.graph.namespaces import add_node_options
from tristage_ros.resources import user_path


def add_calibrate_cameras_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--list", action="store_true", help="list the RealSense cameras of this machine and end")
    parser.add_argument("--print", type=user_path, metavar="FILE.pdf", help="write the board, true to scale, and end")
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
    parser.add_argument("--cameras-file", type=user_path, help="mounts to start from (default: config/cameras.yaml)")
    parser.add_argument(
        "--out", type=user_path, default=Path("cameras.yaml"), help="file to write (default: cameras.yaml)"
    )
    add_node_options(parser)


def add_doctor_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--can", default="can0", metavar="CHANNEL", help="CAN channel of the arm (default: can0)")
    parser.add_argument("--leader-can", default="", metavar="CHANNEL", help="CAN channel of a second arm that leads")
    parser.add_argument("--interface", default="socketcan", help="python-can interface of these channels")
    parser.add_argument("--cameras", type=int, default=2, metavar="N", help="RealSense cameras to expect (default: 2)")
    parser.add_argument("--site", type=user_path, metavar="FILE", help="check a site file, print what it says, and end")
    parser.add_argument(
        "--cameras-file", type=user_path, help="where the wrist camera is (default: config/cameras.yaml)"
    )


def add_jog_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--speed", type=positive, default=0.05, metavar="M/S", help="of the tool (default: 0.05)")
    parser.add_argument("--turn", type=positive, default=0.3, metavar="RAD/S", help="of the tool (default: 0.3)")
    add_node_options(parser)


EPISODE_ACTIONS = {
    "list": "a line for each (default)",
    "mark": "N ... success|failure|discard: what became of it; a discarded one stays on the disk",
    "trim": "N: use it --from S --to S, without them all of it; the bag keeps everything",
    "show": "N: what is known of it, its verdict, and a strip of its images",
}


def add_episodes_options(parser: argparse.ArgumentParser) -> None:
    """Declare what can be done with a folder of episodes."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = "\n".join(f"{name:6} {told}" for name, told in EPISODE_ACTIONS.items())
    parser.add_argument(
        "words", nargs="*", metavar="[FOLDER] [ACTION N ...]", help="folder (default: episodes), and what to do"
    )
    parser.add_argument(
        "--from", dest="begin", type=float, default=0.0, metavar="S", help="of trim, s from the beginning"
    )
    parser.add_argument("--to", dest="end", type=float, metavar="S", help="of trim (default: the end)")
    parser.add_argument("--picture", type=user_path, metavar="FILE.png", help="of show (default: beside the bag)")


def add_preset_options(parser: argparse.ArgumentParser) -> None:
    """Declare what can be done with presets, and the options of each."""
    save = parser.add_subparsers(required=True, metavar="ACTION").add_parser(
        "save", help="write what the running policy's pruner is set to as a preset"
    )
    save.add_argument("file", type=Path, metavar="FILE.yaml", help="file to write")
    save.add_argument("--force", action="store_true", help="write over a file that is there")
    add_node_options(save)


def add_record_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `tristage record`; their defaults are those of the recorder node."""
    parser.add_argument("--out", type=user_path, default=Path(), help="folder of the bag (default: runs/<time>)")
    parser.add_argument("--color", choices=("jpeg", "png", "raw"), default="jpeg", help="png and raw lose nothing")
    parser.add_argument("--cameras", nargs="+", default=["front", "wrist"], help="cameras to record")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="every n-th frame of a camera is recorded")
    add_node_options(parser)


def add_serve_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `tristage serve`."""
    parser.description = "Serve the policy over OpenPI's websocket protocol, without ROS: docs/serve.md."
    parser.add_argument(
        "--checkpoint", default="", metavar="PATH", help="file or run directory; random (default: the shipped mini)"
    )
    parser.add_argument("--pruning", default="robot", metavar="PRESET", help="name or YAML file (default: robot)")
    parser.add_argument("--engine", choices=("cached", "recompute"), default="cached", help="default: cached")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ... (default: cpu)")
    parser.add_argument("--dtype", default="stored", help="of the weights: docs/model.md (default: stored)")
    parser.add_argument("--dataset", help="whose statistics of a run directory to use (default: the only one)")
    parser.add_argument("--tokenizer", metavar="FILE", help="of a released model (default: beside the checkpoint)")
    parser.add_argument("--threads", type=int, default=2, help="of the model on a CPU (default: 2)")
    parser.add_argument("--seed", type=int, default=0, help="of the noise, which every reset starts anew (default: 0)")
    parser.add_argument(
        "--table-height", type=float, default=0.0, metavar="M", help="of the table in the base frame (default: 0)"
    )
    parser.add_argument(
        "--workspace",
        type=float,
        nargs=6,
        default=(0.05, -0.40, -0.02, 0.65, 0.40, 0.60),
        metavar="M",
        help="lower and upper corner, base frame, of clouds made of depth (default: 0.05 -0.4 -0.02 0.65 0.4 0.6)",
    )
    parser.add_argument("--names", type=user_path, metavar="FILE", help="under which names observations come")
    network = parser.add_argument_group("network")
    network.add_argument("--host", default="127.0.0.1", help="to listen on; beyond this machine needs a key")
    network.add_argument("--port", type=int, default=8000, help="default: 8000; 0: one that is free")
    network.add_argument(
        "--api-key", metavar="KEY", help="that clients must have (default: what TRISTAGE_API_KEY holds, none)"
    )
    network.add_argument("--clients", type=int, default=8, metavar="N", help="at once (default: 8)")
    network.add_argument("--max-bytes", type=int, default=16 << 20, help="of a message (default: 16777216)")
    network.add_argument(
        "--max-rate", type=positive, default=100.0, metavar="HZ", help="of a client's messages; more wait"
    )
    network.add_argument(
        "--idle", type=positive, default=600.0, metavar="S", help="without a message that end a connection"
    )
    network.add_argument(
        "--handshake", type=positive, default=10.0, metavar="S", help="that a client has to say what it wants"
    )


def add_teach_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `tristage teach`."""
    parser.add_argument("--task", required=True, metavar="SENTENCE", help="what is shown, as the policy will be told")
    parser.add_argument("--operator", default="", metavar="NAME", help="who shows it")
    parser.add_argument(
        "--source", choices=("leader", "joints", "twist", "hand"), help="what leads the arm (default: as it is set)"
    )
    parser.add_argument(
        "--episodes", type=int, default=0, metavar="N", help="end when so many are marked (default: q ends)"
    )
    parser.add_argument(
        "--out", type=user_path, metavar="FOLDER", help="of the episodes (default: the recorder's, or episodes)"
    )
    parser.add_argument(
        "--max-seconds",
        type=float,
        default=0.0,
        metavar="S",
        help="an episode ends by itself then (default: it does not)",
    )
    own = parser.add_argument_group("where the graph that runs records no episodes (piper_pick episodes:=FOLDER does)")
    own.add_argument("--color", choices=("jpeg", "png", "raw"), default="jpeg", help="png and raw lose nothing")
    own.add_argument("--cameras", nargs="+", default=["front", "wrist"], help="cameras to record")
    own.add_argument("--cameras-file", type=user_path, help="calibration to keep (default: config/cameras.yaml)")
    own.add_argument("--site", type=user_path, metavar="FILE", help="site file to keep (default: config/site.yaml)")
    add_node_options(parser)


def add_trial_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `tristage trial`."""
    told = 'launch arguments of piper_pick, as "pruning:=unpruned", or a YAML file with them'
    parser.add_argument("--a", required=True, metavar="RUN", help=told)
    parser.add_argument("--b", required=True, metavar="RUN", help="the same of what is compared with it")
    parser.add_argument("-n", type=int, required=True, metavar="PAIRS", help="how many; fixed from now on")
    parser.add_argument(
        "--out", type=user_path, default=Path("trial"), metavar="FOLDER",
        help="of the trial; the same command again goes on with it (default: trial)",
    )  # fmt: skip
    parser.add_argument("--unattended", action="store_true", help="the simulated cell judges, and nobody presses a key")
    parser.add_argument(
        "--max-seconds", type=positive, default=60.0, metavar="S", help="a run ends by itself then (default: 60)"
    )
    parser.add_argument(
        "--seed", type=int, metavar="N", help="of the order; pair p has the scene N + p (default: nobody chooses it)"
    )
