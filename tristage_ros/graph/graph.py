"""The node graph, described once: the launch file and `tristage run` both read it.

`piper_pick` is the cell, `replay` what a bag is replayed through. The cameras' nodes follow from the cameras file.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from zlib import crc32

from tristage_ros.devices.arm.site import load_site
from tristage_ros.graph import middleware
from tristage_ros.graph.arguments import OPENPI, PIPER_PICK, REPLAY, GraphError, resolve
from tristage_ros.graph.machines import ALL, HOST, ON_HOST, ROBOT, Machines, MachinesError, read_machines
from tristage_ros.graph.namespaces import GLOBAL_NAMES, NamespaceError, absolute
from tristage_ros.graph.parameter_file import ParameterFile, ParameterFileError, write_parameters
from tristage_ros.graph.prerequisites import is_installed
from tristage_ros.graph.viewers import MODEL, VIEWS, NotInstalledError, view_nodes
from tristage_ros.openpi.address import address
from tristage_ros.openpi.mapping import MapError, map_file, read_map
from tristage_ros.perception.extrinsics import load_extrinsics, mount_of, save_extrinsics
from tristage_ros.resources import RANDOM, find_checkpoint, read_text, resource, user_path
from tristage_ros.simulation import misspelt_backend
from tristage_ros.simulation.instructions import ANYWHERE, INSTRUCTIONS
from tristage_ros.simulation.viewpoint import anywhere
from tristage_ros.yaml_text import parse

OURS = "tristage_ros"  # the package
REMOTE = "remote_policy"  # what asks a policy server, as the node `policy`
PUBLISH_IMAGES = ("camera", "realsense2_camera_node", "simulation")  # executables


@dataclass(frozen=True)
class NodeSpec:
    """Describe one process of the graph."""

    name: str
    executable: str  # console script
    parameters: dict[str, object] = field(default_factory=dict)
    package: str = OURS
    arguments: tuple[str, ...] = ()
    remappings: dict[str, str] = field(default_factory=dict)  # topics; names without a leading / are in the namespace
    of_file: str = ""  # section of the parameter file; empty: that of its name

    @property
    def section(self) -> str:
        """Return which section of the parameter file is its own."""
        return self.of_file or self.name

    @property
    def publishes_images(self) -> bool:
        """Return whether it takes shared memory for images."""
        return self.executable in PUBLISH_IMAGES


@dataclass(frozen=True)
class Graph:
    """Hold everything that is needed to start one graph."""

    name: str
    nodes: tuple[NodeSpec, ...]
    parameter_file: Path  # what the nodes' parameters were read from
    environment: dict[str, str]
    namespace: str = ""  # absolute, such as /cell1; empty: none

    def environment_of(self, node: NodeSpec) -> dict[str, str]:
        """Return the environment variables of one of the nodes."""
        return self.environment if node.publishes_images else middleware.without_images(self.environment)

    @property
    def executables(self) -> list[str]:
        """Return which programs of this package it runs."""
        return [node.executable for node in self.nodes if node.package == OURS]


SIMULATED_INTERFACE = "remote"  # python-can over a WebSocket; the server listens on this machine only
SIMULATED_PORTS = range(20000, 30000)  # below those that Linux gives to connections
SIMULATED_ARM = {"can_interface": SIMULATED_INTERFACE, "speed_scale": 0.5}
RERUN = "rerun_viewer"  # node and program
OF_THE_SITE = ("arm", "episodes", "simulation", "point_cloud", REMOTE, MODEL, RERUN)  # sections of who reads it
REAL_ARM = {"can_interface": "socketcan", "dry_run": True}  # until /arm/enable; slow until the operator raises it


def piper_pick(arguments: Mapping[str, str]) -> Graph:
    """Describe the pick cell: cameras (or the simulation), point cloud, policy, arm.

    Raises:
        GraphError: an argument is unknown or names something that does not exist.
    """
    given = resolve(PIPER_PICK, arguments)
    simulated, machine = given["hardware"] == "sim", given["machine"]
    if simulated and machine != HOST and (told := misspelt_backend()):
        raise GraphError(told)
    namespace = _namespace(given["namespace"])
    parameters = _parameter_file(given["parameters"])
    machines = _machines(parameters, namespace) if machine != ALL else None
    continuous = given["control"] != "keyframe"
    led, with_policy = given["lead"] == "true", given["policy"] != "false" and given["lead"] == "false"
    server = _server(given) if with_policy and given["policy"] != "true" else ""
    if not with_policy and machine == HOST:
        raise GraphError(f"{'lead:=true' if led else 'policy:=false'} leaves nothing for machine:=host")
    ours = with_policy and not server and machine != ROBOT
    checkpoint = _checkpoint(given["checkpoint"], simulated, continuous) if ours else ""
    channel = given["can_channel"] or (_simulated_channel(namespace) if simulated else "can0")
    seed = _integer("seed", given["seed"])
    cameras = _cameras_file(given["cameras_file"])
    elsewhere = given["camera"] == ANYWHERE
    if elsewhere:
        if not simulated:
            raise GraphError("camera:=anywhere is for hardware:=sim; a real camera is where cameras_file:=FILE says")
        cameras = _calibrated_anywhere(cameras, seed)
    site, table = _site(given["site_file"], cameras)
    instruction = {"instruction": given["instruction"] or INSTRUCTIONS[given["task"]]}
    nodes = [
        NodeSpec("point_cloud", "point_cloud"),
        _remote(server, given["map"], instruction)
        if server
        else NodeSpec(
            "policy",
            "policy",
            {
                "checkpoint": checkpoint,
                "allow_random_weights": simulated,
                "pruning": str(preset(given["pruning"])),
                "seed": seed,
                **instruction,
                "control": given["control"],
                "engine": given["engine"],
                "table_height": table,
            },
        ),
        NodeSpec("arm", "arm", {"can_channel": channel, **(SIMULATED_ARM if simulated else REAL_ARM)}),
    ]
    if simulated:
        scene = {"task": given["task"], "varied": given["varied"] == "true", "seed": seed}
        if not (server or _in_real_time(given, with_policy)):
            scene["real_time"] = False
            next(node for node in nodes if node.name == "policy").parameters["rehearse"] = True
        nodes.insert(0, NodeSpec("simulation", "simulation", {"can_channel": channel, **scene}))
    elif machine != HOST:
        _require_can(channel)
    if led:
        _lead(nodes, given["leader_can"] or (_simulated_channel(f"{namespace}/leader") if simulated else "can1"))
    if given["cameras_file"] or elsewhere:
        for node in nodes:
            node.parameters["cameras_file"] = str(cameras)
    if machines and with_policy:
        _divide(nodes, machine, machines)
    elif server:
        _watch(nodes, _machines(parameters, namespace))
    if not with_policy:
        nodes = [node for node in nodes if node.name not in ON_HOST]
    if machine != HOST:
        nodes += _camera_nodes(given["camera_driver"], cameras, simulated)
    if given["record"] == "true":
        if machine == HOST:
            raise GraphError(
                "record:=true on the host would draw every raw image over the network; give it on the robot"
            )
        settings = {"run_dir": given["run_dir"], "color": given["record_color"]}
        nodes.append(NodeSpec("recorder", "recorder", settings | {"cameras": _names_in(cameras)}))
    if given["episodes"]:
        if machine == HOST:
            raise GraphError("episodes:= on the host would draw every raw image over the network; give it on the robot")
        settings = {"folder": str(Path(given["episodes"]).resolve()), "color": given["record_color"]}
        files = {"cameras_file": str(cameras)} if given["cameras_file"] or elsewhere else {}
        nodes.append(NodeSpec("episodes", "episodes", settings | files | {"cameras": _names_in(cameras)}))
    nodes += _viewers([name for name in ("rqt", "rviz", "foxglove") if given[name] == "true"])
    if given["rerun"] == "true":
        files = {"cameras_file": str(cameras)} if given["cameras_file"] or elsewhere else {}
        nodes.append(NodeSpec(RERUN, RERUN, files | ({"image_transport": "compressed"} if machine == HOST else {})))
    if site:
        for node in nodes:
            if node.section in OF_THE_SITE:
                node.parameters["site_file"] = site
    _require_own_names(cameras)
    variables = environment(simulated) if machines is None else middleware.unless_set(machines.environment(machine))
    described = _with_parameters(nodes, parameters, namespace, _names_in(cameras))
    return Graph("piper_pick", described, parameters, variables, namespace)


def _in_real_time(given: Mapping[str, str], with_policy: bool) -> bool:
    """Tell whether simulated time is the clock's: where a person leads, and for what a real arm is to learn from."""
    alone = given["machine"] == ALL and with_policy
    return given["real_time"] == "true" or not alone or bool(given["episodes"])


def _server(given: Mapping[str, str]) -> str:
    """Return the address of the policy server in `policy`; nothing beside it may be meant for our own policy."""
    defaults = {argument.name: argument.default for argument in PIPER_PICK}
    for name in ("checkpoint", "pruning", "control", "engine"):
        if given[name] != defaults[name]:
            raise GraphError(f"{name}:={given[name]} is for our own policy, not for policy:={given['policy']}")
    try:
        return address(given["policy"].removeprefix(OPENPI))
    except ValueError as error:
        raise GraphError(f"policy:={given['policy']}: {error}") from error


def _remote(server: str, name: str, instruction: dict[str, str]) -> NodeSpec:
    """Return the node that asks a policy server, by the map called `name`, in the place of the policy."""
    try:
        path = map_file(name)
        read_map(path)
    except MapError as error:
        raise GraphError(f"map:={name}: {error}") from error
    parameters = {"server": server, "map": str(path), **instruction}
    return NodeSpec("policy", REMOTE, dict(parameters), of_file=REMOTE)


def _watch(nodes: Iterable[NodeSpec], machines: Machines) -> None:
    """Have the arm hold when the policy falls silent, which is on another machine, or as good as that."""
    for node in nodes:
        if node.name == "arm":
            node.parameters["link_timeout"] = machines.link_timeout


def _lead(nodes: list[NodeSpec], channel: str) -> None:
    """Let a second arm on `channel` lead instead of a policy."""
    for node in nodes:
        if node.name == "arm":
            node.parameters.update(command_source="leader", leader_can=channel)
        elif node.name == "simulation":
            node.parameters["leader_channel"] = channel


def _namespace(text: str) -> str:
    try:
        return absolute(text)
    except NamespaceError as error:
        raise GraphError(f"namespace:={text}: {error}") from error


def _simulated_channel(namespace: str) -> str:
    """Return where a cell's simulated bus is: two cells do not meet, and a cell that is started twice is noticed."""
    cell = f"{os.environ.get('ROS_DOMAIN_ID') or 0}{namespace}"
    return f"127.0.0.1:{SIMULATED_PORTS[crc32(cell.encode()) % len(SIMULATED_PORTS)]}"


# Nodes that a parameter file may have a section for, by name, whatever the graph runs of them, and their programs.
SECTIONS: dict[str, str | None] = {
    **{
        n: n
        for n in (
            "arm",
            "episodes",
            "machines",
            "point_cloud",
            "policy",
            "recorder",
            REMOTE,
            MODEL,
            RERUN,
            "simulation",
        )
    },
    **{f"{name}_viewer": "viewer" for name in VIEWS},
}


def _with_parameters(
    nodes: Iterable[NodeSpec], path: Path, namespace: str, cameras: Iterable[str] = ()
) -> tuple[NodeSpec, ...]:
    """Give every node what the parameter file says of it, once it has been checked; what it has already wins.

    `cameras`: those of the cameras file. They, those of the package and those that the cloud is made of have sections,
    also where nothing reads them.
    """
    nodes = tuple(nodes)
    try:
        file = ParameterFile(path)
        cameras = (*cameras, *_names_in(resource("config", "cameras.yaml")), *file.of("point_cloud").get("cameras", ()))
        file.check(dict.fromkeys(cameras) | SECTIONS | {node.section: _program(node) for node in nodes})
        return tuple(replace(n, parameters=file.of(n.section, namespace, _program(n)) | n.parameters) for n in nodes)
    except ParameterFileError as error:
        raise GraphError(str(error)) from error


def _program(node: NodeSpec) -> str | None:
    """Return the program of a node whose parameters we know."""
    return node.executable if node.package == OURS else None


def _site(path: str, cameras: Path) -> tuple[str, float]:
    """Return the absolute path of a site file, "" for the package's own, and how high its table is, m."""
    try:
        table = load_site(path, cameras).table_height
    except (OSError, ValueError) as error:
        raise GraphError(str(error)) from error
    return str(Path(path).resolve()) if path else "", table


def _names_in(cameras: Path) -> list[str]:
    try:
        return list(load_extrinsics(cameras))
    except (OSError, ValueError) as error:
        raise GraphError(str(error)) from error


def _require_own_names(cameras: Path) -> None:
    """Refuse a cameras file without the policy's camera, or with one that is called as another node."""
    names = _names_in(cameras)
    if "front" not in names:
        raise GraphError(f"{cameras}: no camera is called front, through which the policy looks")
    for name in names:
        if name in SECTIONS:
            raise GraphError(f"{cameras}: a camera is called {name} as another node is; give it another name")


def _divide(nodes: list[NodeSpec], machine: str, machines: Machines) -> None:
    """Leave the nodes of `machine` in `nodes`, the way between the machines watched and its images compressed."""
    nodes[:] = [node for node in nodes if (node.name in ON_HOST) == (machine == HOST)]
    for node in nodes:
        if machine == HOST:
            node.parameters["image_transport"] = "compressed"
    if machine != HOST:
        _watch(nodes, machines)


def _parameter_file(path: str) -> Path:
    parameters = Path(path) if path else resource("config", "piper_pick.yaml")
    if not parameters.is_file():
        raise GraphError(f"no parameter file at {parameters}; begin with a copy of config/piper_pick.yaml")
    return parameters.resolve()


def _machines(parameters: Path, namespace: str) -> Machines:
    try:
        return read_machines(parameters, namespace)
    except MachinesError as error:
        raise GraphError(str(error)) from error


# Nothing that a replayed run says is heard by an arm, nor taken for what was recorded.
REPLAYED = {f"tristage/{name}": f"replay/{name}" for name in ("cloud", "kept_cloud", "action", "pruning", "timings",
                                                             "overlay", "disagreement")}  # fmt: skip


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
    asks = NodeSpec("policy", "policy", policy, remappings=REPLAYED)
    if given["policy"] != "true":
        told = {
            "server": given["policy"].removeprefix(OPENPI),
            "control": "frame" if given["control"] == "frame" else "map",
        }
        asks = NodeSpec("policy", REMOTE, common | told, remappings=REPLAYED, of_file=REMOTE)
    nodes = (NodeSpec("point_cloud", "point_cloud", common, remappings=REPLAYED), asks)
    namespace = _namespace(given["namespace"])
    described = _with_parameters(nodes, parameters, namespace)
    return Graph("replay", described, parameters, environment(simulated=True), namespace)


def parameter_files(nodes: Iterable[NodeSpec]) -> dict[str, Path]:
    """Return, by node, the files with their parameters; they are there for as long as this process is."""
    folder = _folder("parameters")
    files = {node.name: folder / f"{node.name}.yaml" for node in nodes if node.parameters}
    for node in nodes:
        if node.name in files:
            write_parameters(files[node.name], node.parameters)
    return files


GRAPHS: dict[str, Callable[[Mapping[str, str]], Graph]] = {"piper_pick": piper_pick, "replay": replay}


def build(name: str, arguments: Mapping[str, str]) -> Graph:
    """Return the graph called `name` with its arguments filled in; raise GraphError when it cannot be started."""
    if name not in GRAPHS:
        raise GraphError(f"no graph is called {name!r}; there are: {', '.join(GRAPHS)}")
    try:
        middleware.check(os.environ)
        described = GRAPHS[name](arguments)
        middleware.check_shared_memory((node.publishes_images for node in described.nodes), os.environ)
    except middleware.MiddlewareError as error:
        raise GraphError(str(error)) from error
    return described


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
    folder = resource("config", "pruning")
    presets = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
    if Path(name).suffix in (".yaml", ".yml"):
        path = user_path(name)
        if not path.is_file():
            raise GraphError(f"no pruning preset at {path}; give the path of one, or a name: {presets}")
        return path.resolve()
    if not (folder / f"{name}.yaml").is_file():
        raise GraphError(f"no pruning preset is called {name!r}; there are: {presets}, or the path of a YAML file")
    return folder / f"{name}.yaml"


def _cameras_file(path: str) -> Path:
    if path and not Path(path).is_file():
        raise GraphError(f"no cameras file at {path}; tristage calibrate-cameras writes one")
    return Path(path).resolve() if path else resource("config", "cameras.yaml")


def _calibrated_anywhere(path: Path, seed: int) -> Path:
    """Return a cameras file like `path` whose front camera is where `seed` draws it; see `parameter_files`."""
    try:
        front = anywhere(mount_of("front", path), seed)
    except (OSError, ValueError) as error:
        raise GraphError(str(error)) from error
    drawn = _folder("cameras") / "cameras.yaml"
    save_extrinsics(drawn, path, {"front": front}, {"front": {"drawn_by_seed": seed}})
    return drawn


def _folder(what: str) -> Path:
    """Return a new folder that is there for as long as this process is."""
    folder = Path(tempfile.mkdtemp(prefix=f"tristage-{what}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _camera_nodes(driver: str, path: Path, simulated: bool) -> list[NodeSpec]:
    try:
        drivers = [] if simulated else driver_nodes(driver, path)
        return [NodeSpec(**node) for node in drivers + mount_nodes(path)]
    except CameraGraphError as error:
        raise GraphError(str(error)) from error


def _viewers(names: list[str]) -> list[NodeSpec]:
    try:
        return [NodeSpec(*node) for node in view_nodes(names)]
    except NotInstalledError as error:
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
    return middleware.unless_set(middleware.one_machine(simulated))


# The nodes of the cameras, as the cameras file describes them: drivers, and static transforms for users of tf2.

# What our node always does, and realsense2_camera must be told. Its own transforms would give the frames two parents.
LIKE_OURS = {"align_depth.enable": True, "enable_sync": True, "publish_tf": False}


class CameraGraphError(ValueError):
    """Say why the cameras cannot be started; the message is one line for a person."""


def driver_nodes(driver: str, path: Path) -> list[dict[str, Any]]:
    """Return one node per camera of the file `path`, as the fields of a NodeSpec; `driver` is one of `CAMERA_DRIVERS`.

    Raises:
        CameraGraphError: the file is wrong or lacks a serial number, or the driver is not installed.
    """
    serials = serial_numbers(path)
    if driver == "realsense2":
        if not is_installed("realsense2_camera"):
            raise CameraGraphError(
                "camera_driver:=realsense2 needs realsense2_camera, not installed or not sourced here: "
                "sudo apt install ros-$ROS_DISTRO-realsense2-camera; camera_driver:=tristage needs nothing more"
            )
        program = {
            "package": "realsense2_camera",
            "executable": "realsense2_camera_node",
            "remappings": GLOBAL_NAMES,
        }
        return [{"name": n, **program, "parameters": {**_named(n, s), **LIKE_OURS}} for n, s in serials.items()]
    return [{"name": n, "executable": "camera", "parameters": _named(n, s)} for n, s in serials.items()]


def mount_nodes(path: Path) -> list[dict[str, Any]]:
    """Return one static transform per camera of the file `path`, as the fields of a NodeSpec; none without tf2.

    Raises:
        CameraGraphError: the file is wrong.
    """
    if not is_installed("tf2_ros"):
        return []
    nodes = []
    for name, mount in _mounts(path).items():
        x, y, z = mount.pose[:3, 3]
        qx, qy, qz, qw = mount.quaternion
        numbers = {"x": x, "y": y, "z": z, "qx": qx, "qy": qy, "qz": qz, "qw": qw}
        frames = {"frame-id": mount.parent, "child-frame-id": f"{name}_color_optical_frame"}
        words = [f"{value:.9f}" for value in numbers.values()] + list(frames.values())
        arguments = tuple(
            part for key, word in zip((*numbers, *frames), words, strict=True) for part in (f"--{key}", word)
        )
        program = {
            "package": "tf2_ros",
            "executable": "static_transform_publisher",
            "remappings": GLOBAL_NAMES,
        }
        nodes.append({"name": f"{name}_mount", **program, "arguments": arguments})
    return nodes


def serial_numbers(path: Path) -> dict[str, str]:
    """Return the serial number of every camera of a cameras file, by name.

    Raises:
        CameraGraphError: the file is wrong, or a camera has none or shares one.
    """
    names = list(_mounts(path))
    cameras = parse(read_text(path))["cameras"]
    serials: dict[str, str] = {}
    for name in names:
        serial = cameras[name].get("serial_no")
        if not isinstance(serial, str) or not serial.removeprefix("_"):
            raise CameraGraphError(
                f"{path}: camera {name!r}: serial_no is {serial!r}; write it in quotes, as `tristage calibrate-cameras "
                "--list` tells it, and give the file by cameras_file:=FILE"
            )
        if serial in serials.values():
            raise CameraGraphError(f"{path}: camera {name!r}: serial_no {serial} is that of another camera, too")
        serials[name] = serial
    return serials


def _named(name: str, serial: str) -> dict[str, object]:
    # Without the underscore, a parameter file or a launch system takes the number for a number.
    return {"camera_name": name, "serial_no": f"_{serial.removeprefix('_')}"}


def _mounts(path: Path) -> dict[str, Any]:
    try:
        return load_extrinsics(path)
    except (OSError, ValueError) as error:
        raise CameraGraphError(str(error)) from error
