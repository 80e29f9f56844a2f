"""The cameras' nodes: drivers by serial number, the C++ driver by one argument, static transforms for tf2."""

import numpy as np
import pytest
import yaml

from tristage_ros.graph import graph, supervisor
from tristage_ros.nodes.camera.node import PARAMETERS
from tristage_ros.perception.extrinsics import load_extrinsics
from tristage_ros.resources import resource


@pytest.fixture
def cameras_file(tmp_path):
    content = yaml.safe_load(resource("config", "cameras.yaml").read_text())
    for name, serial in (("front", "042222070680"), ("wrist", "_831612073525")):
        content["cameras"][name]["serial_no"] = serial
    path = tmp_path / "cameras.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture
def hardware(cameras_file, tmp_path, monkeypatch):
    """Return the arguments of a graph on hardware, on a machine with a CAN bus."""
    monkeypatch.setattr(graph, "_require_can", lambda channel: None)
    checkpoint = tmp_path / "model.safetensors"
    checkpoint.touch()
    return {"hardware": "piper", "checkpoint": str(checkpoint), "cameras_file": str(cameras_file)}


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Return what puts a ROS 2 package with one program on this machine."""

    def install(package, executable):
        index = tmp_path / "ros" / "share" / "ament_index" / "resource_index" / "packages"
        program = tmp_path / "ros" / "lib" / package / executable
        index.mkdir(parents=True, exist_ok=True)
        program.parent.mkdir(parents=True)
        (index / package).touch()
        program.touch(mode=0o755)
        monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path / "ros"))
        return str(program)

    return install


def nodes(arguments, package="tristage_ros"):
    return {node.name: node for node in graph.build("piper_pick", arguments).nodes if node.package == package}


def test_hardware_starts_a_driver_for_every_camera_by_serial_number(hardware):
    found = nodes(hardware)
    assert found["front"].executable == found["wrist"].executable == "camera"
    assert found["front"].parameters.items() >= {"camera_name": "front", "serial_no": "_042222070680"}.items()
    assert found["wrist"].parameters.items() >= {"camera_name": "wrist", "serial_no": "_831612073525"}.items()
    for reader in ("point_cloud", "policy", "arm"):
        assert found[reader].parameters["cameras_file"] == hardware["cameras_file"]


def test_the_simulation_starts_none(cameras_file):
    found = nodes({"cameras_file": str(cameras_file)})
    assert "front" not in found
    assert found["simulation"].parameters["cameras_file"] == str(cameras_file)


def test_the_parameter_file_speaks_of_both_drivers_cameras():
    known = {parameter.name for parameter in PARAMETERS}
    content = yaml.safe_load(resource("config", "piper_pick.yaml").read_text())
    for name in ("front", "wrist"):
        given = content[name]["ros__parameters"]
        assert set(given) <= known  # which are named as those of realsense2_camera
        assert given["rgb_camera.color_profile"] == "640x480x15"


def test_one_argument_puts_the_c_plus_plus_node_in_the_same_place(hardware, installed):
    program = installed("realsense2_camera", "realsense2_camera_node")
    ours, theirs = nodes(hardware), nodes(hardware | {"camera_driver": "realsense2"}, "realsense2_camera")
    assert set(theirs) == {"front", "wrist"}
    for name, node in theirs.items():
        assert node.parameters.items() >= ours[name].parameters.items()
        assert node.parameters["align_depth.enable"] is True and node.parameters["publish_tf"] is False
    assert "front" not in nodes(hardware | {"camera_driver": "realsense2"})
    described = graph.build("piper_pick", hardware | {"camera_driver": "realsense2"})
    command = supervisor._command(theirs["front"], described, None)
    assert command[0] == program and "__node:=front" in command and "/diagnostics:=diagnostics" in command


def test_the_c_plus_plus_node_must_be_installed(hardware, monkeypatch):
    monkeypatch.setenv("AMENT_PREFIX_PATH", "/nowhere")
    with pytest.raises(graph.GraphError, match="realsense2-camera"):
        graph.build("piper_pick", hardware | {"camera_driver": "realsense2"})


def test_static_transforms_are_those_of_the_cameras_file(cameras_file, installed):
    installed("tf2_ros", "static_transform_publisher")
    mounts = load_extrinsics(cameras_file)
    for node in nodes({"cameras_file": str(cameras_file)}, "tf2_ros").values():
        given = dict(zip(node.arguments[::2], node.arguments[1::2], strict=True))
        mount = mounts[node.name.removesuffix("_mount")]
        assert given["--frame-id"] == mount.parent
        assert given["--child-frame-id"] == f"{mount.name}_color_optical_frame"
        np.testing.assert_allclose([float(given[f"--{axis}"]) for axis in "xyz"], mount.pose[:3, 3], atol=1e-8)
        x, y, z, w = (float(given[f"--q{axis}"]) for axis in "xyzw")
        forward = [2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)]
        np.testing.assert_allclose(forward, mount.pose[:3, 2], atol=1e-7)


def test_without_tf2_there_is_nobody_to_tell(cameras_file, monkeypatch):
    monkeypatch.setattr(graph, "is_installed", lambda package: False)
    assert graph.mount_nodes(cameras_file) == []


@pytest.mark.parametrize(
    ("serials", "words"),
    [
        (("", "831612073525"), ["front", "''", "--list"]),
        ((831612073525, "1"), ["front", "831612073525", "quotes"]),
        (("1", "1"), ["wrist", "another camera"]),
    ],
)
def test_serial_numbers_that_do_not_do_are_named(hardware, cameras_file, serials, words):
    content = yaml.safe_load(cameras_file.read_text())
    for name, serial in zip(("front", "wrist"), serials, strict=True):
        content["cameras"][name]["serial_no"] = serial
    cameras_file.write_text(yaml.safe_dump(content))
    with pytest.raises(graph.GraphError) as error:
        graph.build("piper_pick", hardware)
    assert all(word in str(error.value) for word in (str(cameras_file), *words)) and "\n" not in str(error.value)


def test_a_cameras_file_that_does_not_do_is_named(hardware, cameras_file):
    with pytest.raises(graph.GraphError, match=r"no cameras file at /nowhere/mine\.yaml"):
        graph.build("piper_pick", {"cameras_file": "/nowhere/mine.yaml"})
    cameras_file.write_text("cameras: []")
    with pytest.raises(graph.GraphError, match=r"cameras\.yaml: cameras is \[\]"):
        graph.build("piper_pick", hardware)
