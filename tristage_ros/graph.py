"""The node graph, described once: the launch file and `tristage run` both read it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tristage_ros import camera_graph, views
from tristage_ros.machines import ALL, HOST, MACHINES, ON_HOST, ROBOT, Machines, MachinesError, read_machines
from tristage_ros.middleware import alone, profile
from tristage_ros.perception.extrinsics import load_extrinsics
from tristage_ros.resources import RANDOM, find_checkpoint, resource
from tristage_ros.simulation.instructions import INSTRUCTIONS


class GraphError(ValueError):
    """Say why a graph cannot be started; the message is one line for a person."""


@dataclass(frozen=True)
class Argument:
    """Describe one launch argument."""

    name: str
    default: str
    description: str
    choices: tuple[str, ...] = ()

    def check(self, value: str) -> str:
        """Return `value`, or raise GraphError when it is none of the choices."""
        if self.choices and value not in self.choices:
            raise GraphError(f"{self.name}:={value} is unknown; choose one of {', '.join(self.choices)}")
        return value


@dataclass(frozen=True)
class NodeSpec:
    """Describe one process of the graph."""

    name: str
    executable: str  # console script, and module below tristage_ros.nodes
    parameters: dict[str, object] = field(default_factory=dict)  # override those of the parameter file
    package: str = "tristage_ros"
    arguments: tuple[str, ...] = ()
    remappings: dict[str, str] = field(default_factory=dict)  # topics


@dataclass(frozen=True)
class Graph:
    """Hold everything that is needed to start one graph."""

    name: str
    nodes: tuple[NodeSpec, ...]
    parameter_file: Path
    environment: dict[str, str]


BOOLEAN = ("true", "false")
COLOR_FORMATS = ("jpeg", "png", "raw")
SIMULATED_INTERFACE = "remote"  # python-can over a WebSocket; the server listens on this machine only
SIMULATED_CHANNEL = "127.0.0.1:54701"
SIMULATED_ARM = {"can_interface": SIMULATED_INTERFACE, "speed_scale": 0.5}
REAL_ARM = {"can_interface": "socketcan", "dry_run": True}  # until /arm/enable; slow until the operator raises it
PIPER_PICK = (
    Argument(
        "hardware",
        "sim",
        "sim: the simulated cell; piper: the arm on the CAN bus and two RealSense cameras",
        ("sim", "piper"),
    ),
    Argument(
        "machine",
        ALL,
        "what is started here; robot: cameras (or the simulation) and arm; host: point cloud and policy; all: both",
        MACHINES,
    ),
    Argument("parameters", "", "parameter file of the nodes, the same on both machines; empty: config/piper_pick.yaml"),
    Argument(
        "checkpoint",
        "",
        ".safetensors file or run directory; empty: the shipped mini for this control, random: no training; both for "
        "simulation only",
    ),
    Argument("pruning", "robot", "pruning preset (a file in config/pruning) or the path of a YAML file"),
    Argument("task", "banana", "what stands on the simulated table, and is to be done", tuple(INSTRUCTIONS)),
    Argument("varied", "false", "light, colours, clutter and the arm's start vary with the seed, too", BOOLEAN),
    Argument("instruction", "", "what the policy is told to do; empty: the task's instruction"),
    Argument(
        "control",
        "keyframe",
        "keyframe: infer when the last action is reached; rate: at policy.rate_hz; frame: on every frame",
        ("keyframe", "rate", "frame"),
    ),
    Argument(
        "engine",
        "cached",
        "cached: the prefix is computed once per step; recompute: once per denoising pass",
        ("cached", "recompute"),
    ),
    Argument("seed", "0", "seed of the scene and of the policy's noise"),
    Argument("can_channel", "", "CAN channel; empty: can0 on hardware, the simulation's own otherwise"),
    Argument("cameras_file", "", "cameras: serial numbers and mounts; empty: config/cameras.yaml"),
    Argument(
        "camera_driver",
        "tristage",
        "with hardware:=piper, what reads the cameras: our node, or the C++ node of the same topics",
        camera_graph.DRIVERS,
    ),
    Argument("record", "false", "write an MCAP bag of the run", BOOLEAN),
    Argument("record_color", "jpeg", "colour images in the bag; png and raw lose nothing", COLOR_FORMATS),
    Argument("run_dir", "", "folder of the bag; empty: runs/<time> below the current folder"),
    Argument("rqt", "false", "start rqt beside the graph: rates, times, overlay, diagnostics", BOOLEAN),
    Argument("rviz", "false", "start RViz beside the graph: the arm, and the cloud by what was kept", BOOLEAN),
    Argument("foxglove", "false", f"start foxglove_bridge beside the graph, on port {views.FOXGLOVE_PORT}", BOOLEAN),
)


def piper_pick(arguments: Mapping[str, str]) -> Graph:
    """Describe the pick cell: cameras (or the simulation), point cloud, policy, arm.

    Raises:
        GraphError: an argument is unknown or names something that does not exist.
    """
    given = resolve(PIPER_PICK, arguments)
    simulated, machine = given["hardware"] == "sim", given["machine"]
    parameters = _parameter_file(given["parameters"])
    machines = _machines(parameters) if machine != ALL else None
    continuous = given["control"] != "keyframe"
    checkpoint = _checkpoint(given["checkpoint"], simulated, continuous) if machine != ROBOT else ""
    channel = given["can_channel"] or (SIMULATED_CHANNEL if simulated else "can0")
    seed = _integer("seed", given["seed"])
    cameras = _cameras_file(given["cameras_file"])
    nodes = [
        NodeSpec("point_cloud", "point_cloud"),
        NodeSpec(
            "policy",
            "policy",
            {
                "checkpoint": checkpoint,
                "allow_random_weights": simulated,
                "pruning": str(preset(given["pruning"])),
                "seed": seed,
                "instruction": given["instruction"] or INSTRUCTIONS[given["task"]],
                "control": given["control"],
                "engine": given["engine"],
            },
        ),
        NodeSpec("arm", "arm", {"can_channel": channel, **(SIMULATED_ARM if simulated else REAL_ARM)}),
    ]
    if simulated:
        scene = {"task": given["task"], "varied": given["varied"] == "true", "seed": seed}
        nodes.insert(0, NodeSpec("simulation", "simulation", {"can_channel": channel, **scene}))
    elif machine != HOST:
        _require_can(channel)
    if given["cameras_file"]:
        for node in nodes:
            node.parameters["cameras_file"] = str(cameras)
    if machines:
        _divide(nodes, machine, machines)
    if machine != HOST:
        nodes += _camera_nodes(given["camera_driver"], cameras, simulated)
    if given["record"] == "true":
        if machine == HOST:
            raise GraphError(
                "record:=true on the host would draw every raw image over the network; give it on the robot"
            )
        settings = {"run_dir": given["run_dir"], "color": given["record_color"]}
        nodes.append(NodeSpec("recorder", "recorder", settings | {"cameras": _names_in(cameras)}))
    nodes += _viewers([name for name in ("rqt", "rviz", "foxglove") if given[name] == "true"])
    variables = environment(simulated) if machines is None else _unless_set(machines.environment(machine))
    return Graph("piper_pick", tuple(nodes), parameters, variables)


def _names_in(cameras: Path) -> list[str]:
    try:
        return list(load_extrinsics(cameras))
    except (OSError, ValueError) as error:
        raise GraphError(str(error)) from error


def _divide(nodes: list[NodeSpec], machine: str, machines: Machines) -> None:
    """Leave the nodes of `machine` in `nodes`, the way between the machines watched and its images compressed."""
    nodes[:] = [node for node in nodes if (node.name in ON_HOST) == (machine == HOST)]
    for node in nodes:
        if machine == HOST:
            node.parameters["image_transport"] = "compressed"
        elif node.name == "arm":
            node.parameters["link_timeout"] = machines.link_timeout


def _parameter_file(path: str) -> Path:
    parameters = Path(path) if path else resource("config", "piper_pick.yaml")
    if not parameters.is_file():
        raise GraphError(f"no parameter file at {parameters}")
    return parameters.resolve()


def _machines(parameters: Path) -> Machines:
    try:
        return read_machines(parameters)
    except MachinesError as error:
        raise GraphError(str(error)) from error


REPLAY = (
    Argument("parameters", "", "parameter file of point cloud and policy; empty: config/piper_pick.yaml"),
    Argument("checkpoint", "", "see piper_pick; empty: that of the parameter file"),
    Argument("pruning", "", "see piper_pick; empty: that of the parameter file"),
    Argument(
        "control",
        "rate",
        "rate: infer at policy.rate_hz; keyframe: as the recorded arm reached its actions; frame: on every frame",
        ("keyframe", "rate", "frame"),
    ),
    Argument("image_transport", "compressed", "how the images of the bag come", ("raw", "compressed")),
)
# Nothing that a replayed run says is heard by an arm, nor taken for what was recorded.
REPLAYED = {f"/tristage/{name}": f"/replay/{name}" for name in ("cloud", "kept_cloud", "action", "pruning", "timings",
                                                               "overlay")}  # fmt: skip


def replay(arguments: Mapping[str, str]) -> Graph:
    """Describe what a bag is replayed through: point cloud and policy on the bag's clock, no arm.

    Raises:
        GraphError: an argument is unknown or names something that does not exist.
    """
    given = resolve(REPLAY, arguments)
    parameters = _parameter_file(given["parameters"])
    common: dict[str, object] = {"use_sim_time": True, "image_transport": given["image_transport"]}
    policy = common | {"allow_random_weights": True, "control": given["control"]}
    if given["checkpoint"]:
        policy["checkpoint"] = _checkpoint(given["checkpoint"], simulated=True)
    if given["pruning"]:
        policy["pruning"] = str(preset(given["pruning"]))
    nodes = (
        NodeSpec("point_cloud", "point_cloud", common, remappings=REPLAYED),
        NodeSpec("policy", "policy", policy, remappings=REPLAYED),
    )
    return Graph("replay", nodes, parameters, environment(simulated=True))


GRAPHS: dict[str, tuple[tuple[Argument, ...], Callable[[Mapping[str, str]], Graph]]] = {
    "piper_pick": (PIPER_PICK, piper_pick),
    "replay": (REPLAY, replay),
}


def build(name: str, arguments: Mapping[str, str]) -> Graph:
    """Return the graph called `name` with its arguments filled in; raise GraphError when it cannot be started."""
    if name not in GRAPHS:
        raise GraphError(f"no graph is called {name!r}; there are: {', '.join(GRAPHS)}")
    return GRAPHS[name][1](arguments)


def resolve(known: tuple[Argument, ...], given: Mapping[str, str]) -> dict[str, str]:
    """Return the value of every known argument; raise GraphError for a name or value that is unknown."""
    names = [argument.name for argument in known]
    for name in given:
        if name not in names:
            raise GraphError(f"no launch argument is called {name!r}; there are: {', '.join(names)}")
    return {argument.name: argument.check(given.get(argument.name, argument.default)) for argument in known}


def _checkpoint(path: str, simulated: bool, continuous: bool = False) -> str:
    if path in ("", RANDOM) and not simulated:
        raise GraphError(
            f"checkpoint is {path or 'empty'}: a real arm is driven neither by random weights nor by what has seen a "
            "simulation only; give checkpoint:=FILE.safetensors"
        )
    try:
        return find_checkpoint(path, continuous) or ""
    except FileNotFoundError as error:
        raise GraphError(str(error)) from error


def preset(name: str) -> Path:
    """Return the file of a pruning preset given by its name or its path; raise GraphError when there is none."""
    if Path(name).suffix in (".yaml", ".yml"):
        if not Path(name).is_file():
            raise GraphError(f"no pruning preset at {name}")
        return Path(name).resolve()
    folder = resource("config", "pruning")
    if not (folder / f"{name}.yaml").is_file():
        presets = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
        raise GraphError(f"no pruning preset is called {name!r}; there are: {presets}, or the path of a YAML file")
    return folder / f"{name}.yaml"


def _cameras_file(path: str) -> Path:
    if path and not Path(path).is_file():
        raise GraphError(f"no cameras file at {path}; tristage calibrate-cameras writes one")
    return Path(path).resolve() if path else resource("config", "cameras.yaml")


def _camera_nodes(driver: str, path: Path, simulated: bool) -> list[NodeSpec]:
    try:
        drivers = [] if simulated else camera_graph.driver_nodes(driver, path)
        return [NodeSpec(**node) for node in drivers + camera_graph.mount_nodes(path)]
    except camera_graph.CameraGraphError as error:
        raise GraphError(str(error)) from error


def _viewers(names: list[str]) -> list[NodeSpec]:
    try:
        return [NodeSpec(*node) for node in views.view_nodes(names)]
    except views.NotInstalledError as error:
        raise GraphError(str(error)) from error


def _integer(name: str, value: str) -> int:
    if not value.isdecimal() or int(value) >= 2**31:
        raise GraphError(f"{name}:={value} is not a whole number from 0 to {2**31 - 1}")
    return int(value)


def _require_can(channel: str) -> None:
    state = Path("/sys/class/net", channel, "operstate")
    if not state.exists():
        raise GraphError(
            f"there is no CAN interface {channel}; plug the adapter in and type: "
            f"sudo ip link set {channel} up type can bitrate 1000000"
        )
    if state.read_text().strip() == "down":
        raise GraphError(
            f"the CAN interface {channel} is down; type: sudo ip link set {channel} up type can bitrate 1000000"
        )


def environment(simulated: bool = False) -> dict[str, str]:
    """Return the environment variables that the nodes need; those of the user win."""
    # Without the profile FastDDS drops images; a simulated arm stays off the network that a real one may be on.
    return _unless_set(profile("fastdds.xml") | (alone() if simulated else {}))


def _unless_set(wanted: dict[str, str]) -> dict[str, str]:
    return {name: os.environ.get(name, value) for name, value in wanted.items()}
