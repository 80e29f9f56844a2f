"""A cell in a namespace: its graph, its names, and the options of the commands that look at it."""

import argparse
import re
from pathlib import Path

import pytest

import tristage_ros
from tristage_ros.graph import graph, supervisor
from tristage_ros.graph.namespaces import (
    NamespaceError,
    absolute,
    add_node_options,
    below,
    node_arguments,
    plain,
    program_arguments,
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "namespace"),
    [("", ""), ("/", ""), ("cell1", "/cell1"), ("/cell1", "/cell1"), ("/line/cell_1/", "/line/cell_1")],
)
def test_a_namespace_is_absolute(text, namespace):
    assert absolute(text) == namespace


@pytest.mark.parametrize("text", ["cell-1", "1cell", "a//b", "cell 1", "~", "zelle/ä"])
def test_what_is_no_namespace_is_named(text):
    with pytest.raises(NamespaceError):
        absolute(text)
    with pytest.raises(graph.GraphError) as error:
        graph.build("piper_pick", {"namespace": text})
    assert f"namespace:={text}" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("pushed", "asked", "namespace"),
    [
        ("", "", ""),
        ("", "cell1", "/cell1"),
        ("/cell1", "", "/cell1"),
        ("/cell1", "left", "/cell1/left"),
        ("/cell1", "/cell2", "/cell2"),
        ("/cell1", "cell1", "/cell1"),  # the parent's own argument, which the include sees
        ("/line/cell1", "cell1", "/line/cell1"),
        ("/xcell1", "cell1", "/xcell1/cell1"),
        ("/cell1", "/", ""),
    ],
)
def test_a_namespace_is_below_the_one_that_a_launch_file_pushed(pushed, asked, namespace):
    assert absolute(below(pushed, asked)) == namespace


@pytest.mark.parametrize(
    ("name", "namespace", "seen"),
    [
        ("/cell1/tristage/action", "/cell1", "/tristage/action"),
        ("/cell2/tristage/action", "/cell1", ""),
        ("/cell10/tristage/action", "/cell1", ""),
        ("/clock", "/cell1", ""),
        ("/tristage/action", "/", "/tristage/action"),
        ("/cell1/policy", "/", "/cell1/policy"),
    ],
)
def test_names_are_seen_from_a_namespace(name, namespace, seen):
    assert plain(name, namespace) == seen


def command(namespace, node):
    described = graph.build("piper_pick", {"namespace": namespace})
    return supervisor._command(next(n for n in described.nodes if n.name == node), described, None)


def test_every_node_is_started_in_the_namespace():
    for node in graph.build("piper_pick", {"namespace": "cell1"}).nodes:
        assert "__ns:=/cell1" in command("cell1", node.name)
    assert "__ns:=/" in command("", "arm")


def test_two_simulated_cells_have_a_bus_each_and_one_cell_the_same_every_time(monkeypatch):
    def channel(namespace, domain):
        monkeypatch.setenv("ROS_DOMAIN_ID", domain)
        nodes = {n.name: n.parameters for n in graph.build("piper_pick", {"namespace": namespace}).nodes}
        assert nodes["arm"]["can_channel"] == nodes["simulation"]["can_channel"]
        return nodes["arm"]["can_channel"]

    cells = [("", "0"), ("cell1", "0"), ("cell2", "0"), ("cell1", "1"), ("", "1")]
    assert len({channel(*cell) for cell in cells}) == len(cells)
    assert channel("cell1", "0") == channel("/cell1/", "0")
    own = graph.build("piper_pick", {"namespace": "cell1", "can_channel": "127.0.0.1:4000"})
    assert {n.parameters["can_channel"] for n in own.nodes if n.name in ("arm", "simulation")} == {"127.0.0.1:4000"}


def test_a_replay_keeps_its_answers_to_itself_in_its_namespace():
    described = graph.build("replay", {"namespace": "cell1"})
    assert described.namespace == "/cell1"
    policy = next(node for node in described.nodes if node.name == "policy")
    assert policy.remappings["tristage/action"] == "replay/action"  # both below the namespace


def test_programs_of_other_packages_say_nothing_outside_of_the_namespace():
    given = program_arguments("/cell1")
    assert given[:3] == ["--ros-args", "-r", "__ns:=/cell1"]
    assert "/tf:=tf" in given and "/tf_static:=tf_static" in given and "/diagnostics:=diagnostics" in given


def options(*typed):
    parser = argparse.ArgumentParser()
    add_node_options(parser)
    return parser.parse_args(typed)


def test_commands_take_a_namespace_in_their_own_way_and_in_that_of_ros():
    assert node_arguments(options()) == ["--ros-args"]
    assert node_arguments(options("--namespace", "cell1")) == ["--ros-args", "-r", "__ns:=/cell1"]
    assert node_arguments(options("--ros-args", "-r", "__ns:=/cell1")) == ["--ros-args", "-r", "__ns:=/cell1"]
    with pytest.raises(NamespaceError, match="--namespace cell-1"):
        node_arguments(options("--namespace", "cell-1"))


def test_no_node_names_a_topic_or_a_service_outside_of_its_namespace():
    names = "create_(?:publisher|subscription|client|service)|ImagePublisher|subscribe_image"
    makes = re.compile(rf"({names}|(?:inputs|subscriptions|commands)\.add)\((.*)")
    outside = {"/clock", "/parameter_events"}
    found = []
    rooms = Path(tristage_ros.__file__).parent
    for path in (*(rooms / "nodes").rglob("*.py"), *(rooms / "ros").rglob("*.py")):
        for made in makes.finditer(path.read_text()):
            found += [f"{path.name}: {name}" for name in re.findall(r'"(/\w[^"]*)"', made[2]) if name not in outside]
    assert not found
