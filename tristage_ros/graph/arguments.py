"""The arguments of the graphs, as `ros2 launch` and `tristage run` take them, and what is said about wrong ones."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tristage_ros.graph.machines import ALL, MACHINES
from tristage_ros.resources import PathError, user_path
from tristage_ros.simulation.instructions import FIXED, INSTRUCTIONS, VIEWPOINTS

BOOLEAN = ("true", "false")
COLOR_FORMATS = ("jpeg", "png", "raw")
FOXGLOVE_PORT = 8765
CAMERA_DRIVERS = ("tristage", "realsense2")
OPENPI = "openpi:"  # in front of the address of a policy server


class GraphError(ValueError):
    """Say why a graph cannot be started; the message is one line for a person."""


@dataclass(frozen=True)
class Argument:
    """Describe one launch argument; where it is true or false, `True` and `TRUE` are as good."""

    name: str
    default: str
    description: str
    choices: tuple[str, ...] = ()
    path: bool = False
    prefix: str = ""  # what begins so is no choice, but as good

    def check(self, value: str) -> str:
        """Return `value`, a path without ~ and variables; raise GraphError when it is no path or no choice."""
        if self.path and value:
            try:
                return str(user_path(value))
            except PathError as error:
                raise GraphError(f"{self.name}:={error}") from error
        if self.prefix and value.startswith(self.prefix):
            return value
        value = value.lower() if self.choices == BOOLEAN else value
        if self.choices and value not in self.choices:
            others = f", or write {self.prefix}..." if self.prefix else ""
            raise GraphError(f"{self.name}:={value} is unknown; choose one of {', '.join(self.choices)}{others}")
        return value

    @property
    def help(self) -> str:
        """Return the description with the choices in it."""
        return f"{self.description} [{', '.join(self.choices)}]" if self.choices else self.description


NAMESPACE = Argument(
    "namespace",
    "",
    "ROS namespace of nodes, topics and services, so that several cells share a ROS domain; empty: none, or that which "
    "a launch file pushed",
)
PIPER_PICK = (
    Argument(
        "hardware",
        "sim",
        "sim: the simulated cell; piper: the arm on the CAN bus and two RealSense cameras",
        ("sim", "piper"),
    ),
    NAMESPACE,
    Argument(
        "machine",
        ALL,
        "what is started here; robot: cameras (or the simulation) and arm; host: point cloud and policy; all: both",
        MACHINES,
    ),
    Argument(
        "parameters",
        "",
        "parameter file of the nodes, the same on both machines; empty: config/piper_pick.yaml",
        path=True,
    ),
    Argument(
        "checkpoint",
        "",
        ".safetensors file or run directory; empty: the shipped mini for this control, random: no training; both for "
        "simulation only",
        path=True,
    ),
    Argument(
        "policy",
        "true",
        "false: cameras and arm alone, as for a person who leads it; openpi:ws://HOST:PORT: the policy of a server",
        BOOLEAN,
        prefix=OPENPI,
    ),
    Argument(
        "map",
        "tristage",
        "with policy:=openpi:..., what its numbers mean: a file in config/openpi, or the path of a YAML file",
        path=True,
    ),
    Argument("pruning", "robot", "pruning preset (a file in config/pruning) or the path of a YAML file", path=True),
    Argument("task", "banana", "what stands on the simulated table, and is to be done", tuple(INSTRUCTIONS)),
    Argument("varied", "false", "light, colours, clutter and the arm's start vary with the seed, too", BOOLEAN),
    Argument(
        "camera",
        FIXED,
        "fixed: as the cameras file says; anywhere: the seed draws where the simulated one is, and all are told",
        VIEWPOINTS,
    ),
    Argument("instruction", "", "what the policy is told to do; empty: the task's instruction"),
    Argument(
        "control",
        "keyframe",
        "keyframe: infer when the last action is reached; rate: at policy.rate_hz; frame: on every frame",
        ("keyframe", "rate", "frame"),
    ),
    Argument(
        "engine",
        "auto",
        "cached: the prefix is computed once per step; recompute: once per denoising pass; openvino, onnx: as cached, "
        "in that runtime; auto: the fastest of them that is installed",
        ("auto", "cached", "recompute", "openvino", "onnx"),
    ),
    Argument(
        "real_time",
        "false",
        "true: the simulation's time is the clock's, also where this computer cannot keep up; false: it passes more "
        "slowly there, but for lead:=true, policy:=false, episodes and two machines",
        BOOLEAN,
    ),
    Argument("seed", "0", "seed of the scene and of the policy's noise"),
    Argument(
        "lead",
        "false",
        "a second arm leads, and no policy is started; with hardware:=sim an emulated one, in a scripted hand",
        BOOLEAN,
    ),
    Argument("leader_can", "", "CAN channel of that arm; empty: can1 on hardware, the simulation's own otherwise"),
    Argument("can_channel", "", "CAN channel; empty: can0 on hardware, the simulation's own otherwise"),
    Argument("cameras_file", "", "cameras: serial numbers and mounts; empty: config/cameras.yaml", path=True),
    Argument(
        "site_file", "", "where the arm stands: boxes, table, limits, tool, speed; empty: config/site.yaml", path=True
    ),
    Argument(
        "camera_driver",
        "tristage",
        "with hardware:=piper, what reads the cameras: our node, or the C++ node of the same topics",
        CAMERA_DRIVERS,
    ),
    Argument("record", "false", "write an MCAP bag of the run", BOOLEAN),
    Argument("record_color", "jpeg", "colour images in the bag; png and raw lose nothing", COLOR_FORMATS),
    Argument("run_dir", "", "folder of the bag; empty: runs/<time> below the current folder", path=True),
    Argument("episodes", "", "folder into which episodes are recorded on request; empty: none are", path=True),
    Argument("rqt", "false", "start rqt beside the graph: rates, times, overlay, diagnostics", BOOLEAN),
    Argument("rviz", "false", "start RViz beside the graph: the arm, and the cloud by what was kept", BOOLEAN),
    Argument(
        "rerun", "false", "show the cell in the Rerun viewer, without a display as a page on this machine", BOOLEAN
    ),
    Argument("foxglove", "false", f"start foxglove_bridge beside the graph, on port {FOXGLOVE_PORT}", BOOLEAN),
)


REPLAY = (
    NAMESPACE,
    Argument("parameters", "", "parameter file of point cloud and policy; empty: config/piper_pick.yaml", path=True),
    Argument(
        "policy",
        "true",
        "true: ours; openpi:ws://HOST:PORT: a server's, as the parameter file says",
        ("true",),
        prefix=OPENPI,
    ),
    Argument("checkpoint", "", "see piper_pick; empty: that of the parameter file", path=True),
    Argument("pruning", "", "see piper_pick; empty: that of the parameter file", path=True),
    Argument(
        "control",
        "rate",
        "rate: infer at policy.rate_hz; keyframe: as the recorded arm reached its actions; frame: on every frame",
        ("keyframe", "rate", "frame"),
    ),
    Argument("image_transport", "compressed", "how the images of the bag come", ("raw", "compressed")),
)
# What launch and launch_ros themselves read of what is typed behind `ros2 launch`.
OF_LAUNCH = ("sigterm_timeout", "sigkill_timeout", "emulate_tty", "launch-prefix", "launch-prefix-filter",
             "ros_namespace")  # fmt: skip


def refuse_unknown(known: Iterable[Argument], given: Iterable[str]) -> None:
    """Raise GraphError when one of the names in `given` is not that of an argument; the message names those."""
    names = [argument.name for argument in known]
    for name in given:
        if name not in names:
            raise GraphError(f"no launch argument is called {name!r}; there are: {', '.join(names)}")


def typed(argv: Iterable[str]) -> list[str]:
    """Return the names in the `name:=value` texts typed behind `ros2 launch` that are meant for the launch file."""
    names = [text.partition(":=")[0] for text in argv if ":=" in text]
    return [name for name in names if name not in OF_LAUNCH]


def resolve(known: tuple[Argument, ...], given: Mapping[str, str]) -> dict[str, str]:
    """Return the value of every known argument; raise GraphError for a name or value that is unknown."""
    refuse_unknown(known, given)
    return {argument.name: argument.check(given.get(argument.name, argument.default)) for argument in known}


ARGUMENTS = {"piper_pick": PIPER_PICK, "replay": REPLAY}  # by graph


def parse_arguments(texts: Sequence[str]) -> dict[str, str]:
    """Return `name:=value` texts as a mapping; raise GraphError for a text of another form."""
    result = {}
    for text in texts:
        name, separator, value = text.partition(":=")
        if not separator or not name:
            raise GraphError(f"{text!r} is not of the form name:=value")
        if name in result:
            raise GraphError(f"{name} is given twice: {result[name]!r} and {value!r}")
        result[name] = value
    return result


def positive(text: str) -> float:
    """Return a positive number that was typed; raise argparse's error for anything else."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0.0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number
