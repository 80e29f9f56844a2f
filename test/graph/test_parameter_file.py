"""Parameters reach their node wherever its cell is, and what was asked for at start wins over the file."""

import pytest
import rclpy
import yaml
from rclpy.node import Node

from tristage_ros.graph.graph import GraphError, build
from tristage_ros.graph.parameter_file import ParameterFile, ParameterFileError, write_parameters
from tristage_ros.resources import resource
from tristage_ros.ros.parameters import Parameter, declare


def parameters_of(path, node, namespace=""):
    return ParameterFile(path).of(node, namespace)


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "cell.yaml"
        path.write_text(text)
        return path

    return write


def section(name, value):
    return f"{name}: {{ros__parameters: {{threads: {value}}}}}\n"


@pytest.mark.parametrize("namespace", ["", "/cell1", "/line/cell1"])
@pytest.mark.parametrize("name", ["policy", "/policy", "/**", "/**/policy"])
def test_a_section_meets_its_node_in_every_namespace(file, name, namespace):
    assert parameters_of(file(section(name, 3)), "policy", namespace) == {"threads": 3}
    assert parameters_of(file(section(name, 3)), "policy_2", namespace) == ({"threads": 3} if name == "/**" else {})


@pytest.mark.parametrize(
    ("name", "met"),
    [
        ("/cell1/policy", {"/cell1"}),
        ("cell1/policy", {"/cell1"}),
        ("/*/policy", {"/cell1", "/cell2"}),
        ("/line/**/policy", {"/line/cell1"}),
    ],
)
def test_a_section_with_a_namespace_meets_the_nodes_there(file, name, met):
    for namespace in ("", "/cell1", "/cell2", "/line/cell1"):
        assert parameters_of(file(section(name, 3)), "policy", namespace) == (
            {"threads": 3} if namespace in met else {}
        )


def test_names_may_be_nested_as_ros_2_nests_them(file):
    path = file("cell1:\n  policy:\n    ros__parameters: {rgb_camera: {color_profile: 640x480x15}, a.b: 1}\n")
    assert parameters_of(path, "policy", "/cell1") == {"rgb_camera.color_profile": "640x480x15", "a.b": 1}


def test_of_sections_that_meet_a_node_the_later_wins(file):
    path = file(section("/**", 1) + section("policy", 2) + section("/cell2/policy", 3))
    assert parameters_of(path, "policy", "/cell1") == {"threads": 2}
    assert parameters_of(path, "policy", "/cell2") == {"threads": 3}


@pytest.mark.parametrize("order", [("/**", "policy"), ("policy", "/**")])
@pytest.mark.parametrize("namespace", ["", "cell1"])
def test_launch_arguments_win_over_every_section(file, order, namespace):
    text = "".join(f"{name}: {{ros__parameters: {{seed: 5, engine: cached}}}}\n" for name in order)
    given = {"parameters": str(file(text)), "seed": "7", "engine": "recompute", "namespace": namespace}
    policy = next(node for node in build("piper_pick", given).nodes if node.name == "policy")
    assert (policy.parameters["seed"], policy.parameters["engine"]) == (7, "recompute")


def test_the_shipped_file_says_the_same_in_a_namespace():
    path = resource("config", "piper_pick.yaml")
    content = yaml.safe_load(path.read_text())
    for node in ("simulation", "front", "point_cloud", "policy", "arm"):
        assert parameters_of(path, node, "/cell1") == parameters_of(path, node) == content[node]["ros__parameters"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("policy: [1", ["cell.yaml"]),
        ("- policy", ["cell.yaml", "list"]),
        ("policy:\n  threads: 3\n", ["policy", "ros__parameters"]),
        ("policy:\n", ["policy", "ros__parameters"]),
        ("policy: {ros__parameters: [1]}", ["policy", "[1]"]),
    ],
)
def test_a_file_that_does_not_do_is_named_in_one_line(file, text, words):
    path = file(text)
    with pytest.raises(ParameterFileError) as error:
        parameters_of(path, "policy")
    assert all(word in str(error.value) for word in words) and "\n" not in str(error.value)
    with pytest.raises(GraphError, match=r"cell\.yaml"):
        build("piper_pick", {"parameters": str(path)})


VALUES = {
    "empty": "",
    "apostrophe": "it's 0",
    "number": "0",
    "boolean": "true",
    "letter": "y",
    "colon": "to the left: the banana",
    "foreign": "Schlüssel 🔑",
    "long": "word " * 60,
    "list": ["front", "yes", "1"],
    "flag": True,
    "count": 3,
    "small": 1e-05,
    "large": 1e22,
    "whole": 15.0,
    "box": [0.05, -0.4, 1.0],
}


def test_ros_2_reads_every_value_as_it_was(tmp_path, ros_domain):
    write_parameters(tmp_path / "node.yaml", VALUES)
    rclpy.init(args=["--ros-args", "-r", "__ns:=/cell1", "--params-file", str(tmp_path / "node.yaml")])
    node = Node("policy")
    try:
        read = declare(node, [Parameter(name, value, "") for name, value in VALUES.items()])
        assert {name: getattr(read, name) for name in VALUES if not isinstance(VALUES[name], list)} == {
            name: value for name, value in VALUES.items() if not isinstance(value, list)
        }
        assert list(read.list) == VALUES["list"] and list(read.box) == VALUES["box"]
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


def test_a_file_is_read_as_ros_2_reads_it(file):
    text = "policy: {ros__parameters: {a: 1e-3, b: 2E4, c: 2026-01-01, d: .5, e: 1.5e+3, f: 0x10, g: 640x480x15}}"
    assert parameters_of(file(text), "policy") == {
        "a": 0.001, "b": 20000.0, "c": "2026-01-01", "d": 0.5, "e": 1500.0, "f": 16, "g": "640x480x15",
    }  # fmt: skip
