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


# What is checked before anything is started.


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (section("polcy", 3), "no node is called 'polcy'; did you mean policy?"),
        (section("/cell1/polcy", 3), "no node is called 'polcy'; did you mean policy?"),
        (section("poli(cy", 3), "no node is called 'poli(cy'; did you mean policy?"),
        (section("frnt", 3), "no node is called 'frnt'; did you mean front?"),
        ("policy: {ros__parameters: {thread: 3}}", "policy has no parameter 'thread'; did you mean threads?"),
        ("/**: {ros__parameters: {thread: 3}}", "** has no parameter 'thread'; did you mean threads?"),
        ("recorder: {ros__parameters: {colour: png}}", "recorder has no parameter 'colour'; did you mean color?"),
        ("machines: {ros__parameters: {link_time: 1}}", "machines has no parameter 'link_time'"),
        (section("policy", "two"), "policy: threads: write a whole number from 1 to 64, not 'two'"),
        (section("policy", 10**400), "policy: threads: write a number that a computer holds, not 1000"),
        (section("policy", 1.5), "policy: threads: write a whole number from 1 to 64, not 1.5"),
        (section("policy", 65), "policy: threads: write a whole number from 1 to 64, not 65"),
        (section("policy", "yes"), "policy: threads: write a whole number from 1 to 64, not True"),
        (section("policy", ""), "policy: threads: write a whole number from 1 to 64, not None"),
        ("point_cloud: {ros__parameters: {workspace_min: [0, a, 1]}}", "of [0, 'a', 1]: write a number, not 'a'"),
        ("point_cloud: {ros__parameters: {cameras: front}}", "write a list such as ['front', 'wrist'], not 'front'"),
        ("point_cloud: {ros__parameters: {disagreement: off}}", "write one of off, warn, stop, in quotes, not False"),
        ("arm: {ros__parameters: {black_box_dir: ~nobody.at.all/x}}", "nobody is called ~nobody.at.all"),
        (section("policy", 1) + section("policy", 2), "policy is there twice, again in line 2"),
    ],
)
def test_what_no_node_would_take_is_named_with_what_would_do(file, text, words):
    with pytest.raises(GraphError) as error:
        build("piper_pick", {"parameters": str(file(text))})
    assert words in str(error.value) and "cell.yaml: " in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("shipped", "kind"),
    [
        ("cameras.yaml", "a cameras file, for cameras_file:=FILE"),
        ("site.yaml", "a site file, for site_file:=FILE"),
        ("pruning/paper.yaml", "a pruning preset, for pruning:=FILE"),
        ("tristage.rviz", "a configuration of RViz"),
        ("training.yaml", "a recipe, for tristage train --recipe FILE"),
    ],
)
def test_a_file_of_another_kind_is_called_by_its_kind(shipped, kind):
    with pytest.raises(GraphError, match=f"holds no parameters of nodes: it is {kind}"):
        build("piper_pick", {"parameters": str(resource("config", *shipped.split("/")))})


def parameters_in(path, node, **given):
    graph = build("piper_pick", {"parameters": str(path), **given})
    return next(each.parameters for each in graph.nodes if each.name == node)


def test_whole_numbers_are_numbers(file):
    path = file("point_cloud: {ros__parameters: {workspace_min: [0, -1, 0.5], camera_rate: 15, max_age: 5e-1}}")
    values = parameters_in(path, "point_cloud")
    assert (values["workspace_min"], values["camera_rate"], values["max_age"]) == ([0.0, -1.0, 0.5], 15.0, 0.5)
    assert all(type(value) is float for value in (*values["workspace_min"], values["camera_rate"]))


def test_a_home_is_expanded(file, monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("RUNS", "/data")
    path = file("arm: {ros__parameters: {black_box_dir: ~/boxes}}\nrecorder: {ros__parameters: {run_dir: $RUNS/x}}")
    assert parameters_in(path, "arm")["black_box_dir"] == "/home/somebody/boxes"
    assert parameters_of(path, "recorder")["run_dir"] == "$RUNS/x"  # as it is there
    assert parameters_in(path, "recorder", record="true", run_dir="~/runs")["run_dir"] == "/home/somebody/runs"


def test_of_a_wildcard_a_node_takes_what_it_has(file):
    path = file("/cell1/**: {ros__parameters: {threads: 3, camera_rate: 20, use_sim_time: true}}")
    for node, names in {"policy": {"threads", "camera_rate"}, "point_cloud": {"camera_rate"}, "arm": set()}.items():
        values = parameters_in(path, node, namespace="cell1")
        assert {"threads", "camera_rate", "use_sim_time"} & values.keys() == names | {"use_sim_time"}


@pytest.mark.parametrize("name", ["machines", "/machines", "/cell1/machines", "/*/machines"])
def test_the_machines_are_found_as_nodes_are(file, name):
    path = file(f"{name}: {{ros__parameters: {{link_timeout: 2}}}}\n/**: {{ros__parameters: {{threads: 3}}}}\n")
    assert parameters_in(path, "arm", machine="robot", namespace="cell1")["link_timeout"] == 2.0


def test_sections_of_cameras_that_nothing_reads_here_are_left_alone(file):
    text = "left: {ros__parameters: {rgb_camera.enable_auto_exposure: true}}\n"
    build("piper_pick", {"parameters": str(file("point_cloud: {ros__parameters: {cameras: [front, left]}}\n" + text))})
    with pytest.raises(GraphError, match="'left'"):
        build("piper_pick", {"parameters": str(file(text))})
