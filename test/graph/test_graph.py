"""The graph: what it contains, and what it says when it cannot be started."""

import os

import pytest
import yaml

from tristage_ros.graph import graph
from tristage_ros.resources import resource


def names(described):
    return [node.name for node in described.nodes if node.package != "tf2_ros"]  # which comes where it is installed


def parameters(described, name):
    return next(node.parameters for node in described.nodes if node.name == name)


def test_simulation_needs_no_argument():
    described = graph.build("piper_pick", {})
    assert names(described) == ["simulation", "point_cloud", "policy", "arm"]
    assert parameters(described, "policy")["allow_random_weights"] is True
    assert parameters(described, "arm")["can_channel"] == parameters(described, "simulation")["can_channel"]
    assert described.parameter_file.is_file()


def test_the_simulation_uses_the_shipped_mini_unless_told_otherwise():
    def used(**arguments):
        return parameters(graph.build("piper_pick", arguments), "policy")["checkpoint"]

    assert used().endswith("config/checkpoints/mini.safetensors") and used(checkpoint="random") == ""
    for control in ("rate", "frame"):
        assert used(control=control).endswith("config/checkpoints/mini_continuous.safetensors")


def test_the_task_chooses_scene_and_instruction():
    described = graph.build("piper_pick", {"task": "box", "varied": "true"})
    assert parameters(described, "simulation")["task"] == "box"
    assert parameters(described, "simulation")["varied"] is True
    assert parameters(described, "policy")["instruction"] == "close the box"
    told = graph.build("piper_pick", {"task": "box", "instruction": "leave it open"})
    assert parameters(told, "policy")["instruction"] == "leave it open"


def test_recorders_come_on_request(tmp_path):
    assert "recorder" in names(graph.build("piper_pick", {"record": "true", "run_dir": "x"}))
    assert "episodes" not in names(graph.build("piper_pick", {}))
    built = graph.build("piper_pick", {"episodes": str(tmp_path), "site_file": str(resource("config", "site.yaml"))})
    told = parameters(built, "episodes")
    assert told["folder"] == str(tmp_path) and told["cameras"] == ["front", "wrist"] and told["site_file"]


def test_who_leads_the_arm_needs_no_policy_and_no_checkpoint(monkeypatch):
    monkeypatch.setattr(graph, "_require_can", lambda channel: None)
    monkeypatch.setattr(graph, "_camera_nodes", lambda *cameras: [])  # none is plugged in
    real = graph.build("piper_pick", {"hardware": "piper", "policy": "false"})
    assert names(real) == ["arm"]
    robot = graph.build("piper_pick", {"policy": "false", "machine": "robot"})
    assert names(robot) == ["simulation", "arm"] and "link_timeout" not in parameters(robot, "arm")
    with pytest.raises(graph.GraphError, match="leaves nothing"):
        graph.build("piper_pick", {"policy": "false", "machine": "host"})


def test_a_policy_server_takes_the_place_of_our_policy_and_is_watched_like_one_on_another_machine(
    tmp_path, monkeypatch
):
    file = tmp_path / "own.yaml"
    file.write_text(yaml.safe_dump({"remote_policy": {"ros__parameters": {"answer_within": 0.5}}}))
    given = {"policy": "openpi:ws://gpu:8000", "map": "joints", "task": "box", "parameters": str(file)}
    described = graph.build("piper_pick", given)
    assert names(described) == ["simulation", "point_cloud", "policy", "arm"]
    assert described.executables == ["simulation", "point_cloud", "remote_policy", "arm"]
    assert parameters(described, "policy") == {
        "server": "ws://gpu:8000",
        "map": str(resource("config", "openpi", "joints.yaml")),
        "instruction": "close the box",
        "answer_within": 0.5,
    }
    assert parameters(described, "arm")["link_timeout"] == 1.0
    site = graph.build("piper_pick", given | {"site_file": str(resource("config", "sites", "raised_table.yaml"))})
    assert parameters(site, "policy")["site_file"].endswith("raised_table.yaml")
    monkeypatch.setattr(graph, "_require_can", lambda channel: None)
    monkeypatch.setattr(graph, "_camera_nodes", lambda *cameras: [])  # none is plugged in
    real = graph.build("piper_pick", given | {"hardware": "piper"})  # whose weights are, is the server's business
    assert parameters(real, "arm")["dry_run"] and parameters(real, "arm")["link_timeout"] == 1.0
    host = graph.build("piper_pick", given | {"machine": "host"})
    assert host.executables == ["point_cloud", "remote_policy"]


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "model.safetensors"
    path.touch()
    return str(path)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"hardwear": "sim"}, ["hardwear", "hardware", "checkpoint"]),
        ({"hardware": "ur5"}, ["ur5", "sim", "piper"]),
        ({"checkpoint": "/nowhere/m.safetensors"}, ["/nowhere/m.safetensors"]),
        ({"pruning": "papper"}, ["papper", "paper", "robot"]),
        ({"pruning": "/nowhere/p.yaml"}, ["/nowhere/p.yaml"]),
        ({"hardware": "piper"}, ["checkpoint is empty", "random weights", "checkpoint:="]),
        ({"hardware": "piper", "checkpoint": "random"}, ["checkpoint is random", "checkpoint:="]),
        ({"seed": "one"}, ["seed", "one"]),
        ({"record": "yes"}, ["yes", "true", "false"]),
        ({"task": "lamp"}, ["lamp", "banana", "umbrella"]),
        ({"policy": "pi0"}, ["pi0", "true", "false", "openpi:"]),
        ({"policy": "openpi:gpu"}, ["openpi:gpu", "ws://HOST:PORT"]),
        ({"policy": "openpi:ws://gpu:8000", "map": "pi0"}, ["map:=pi0", "aloha", "tristage"]),
        ({"policy": "openpi:ws://gpu:8000", "checkpoint": "random"}, ["checkpoint:=random", "our own policy"]),
    ],
)
def test_wrong_arguments_are_named_with_the_valid_ones(arguments, words):
    with pytest.raises(graph.GraphError) as error:
        graph.build("piper_pick", arguments)
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


def test_unknown_graph_is_named():
    with pytest.raises(graph.GraphError, match=r"piper_push.*piper_pick"):
        graph.build("piper_push", {})


def test_a_real_arm_begins_as_a_dry_run_and_a_simulated_one_does_not(checkpoint, monkeypatch):
    monkeypatch.setattr(graph, "_require_can", lambda channel: None)
    monkeypatch.setattr(graph, "_camera_nodes", lambda *cameras: [])  # none is plugged in
    real = parameters(graph.build("piper_pick", {"hardware": "piper", "checkpoint": checkpoint}), "arm")
    assert real["dry_run"] is True and real["speed_scale"] == 0.1  # of the parameter file
    assert "dry_run" not in parameters(graph.build("piper_pick", {}), "arm")


@pytest.mark.skipif(os.path.exists("/sys/class/net/can7"), reason="this machine has a can7")
def test_missing_can_interface_says_how_to_bring_it_up(checkpoint):
    with pytest.raises(graph.GraphError, match="sudo ip link set can7 up type can bitrate 1000000"):
        graph.build("piper_pick", {"hardware": "piper", "checkpoint": checkpoint, "can_channel": "can7"})


def test_every_camera_of_the_file_is_recorded(tmp_path):
    cameras = tmp_path / "cameras.yaml"
    text = resource("config", "cameras.yaml").read_text()
    mounts = yaml.safe_load(text)
    mounts["cameras"]["side"] = mounts["cameras"]["front"]
    cameras.write_text(yaml.safe_dump(mounts, sort_keys=False))
    built = graph.build("piper_pick", {"record": "true", "cameras_file": str(cameras)})
    assert parameters(built, "recorder")["cameras"] == ["front", "wrist", "side"]


def test_two_machines_share_the_graph_and_the_robot_keeps_what_guards_the_arm(monkeypatch):
    monkeypatch.delenv("ROS_AUTOMATIC_DISCOVERY_RANGE", raising=False)
    monkeypatch.delenv("FASTDDS_DEFAULT_PROFILES_FILE", raising=False)
    robot, host = (graph.build("piper_pick", {"machine": machine}) for machine in ("robot", "host"))
    assert names(robot) == ["simulation", "arm"] and names(host) == ["point_cloud", "policy"]
    assert robot.parameter_file == host.parameter_file
    assert parameters(robot, "arm")["link_timeout"] == 1.0
    assert "link_timeout" not in parameters(graph.build("piper_pick", {}), "arm")
    assert {node.parameters["image_transport"] for node in host.nodes} == {"compressed"}
    assert robot.environment == host.environment
    assert robot.environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "SUBNET"


def test_the_host_of_a_real_robot_needs_no_bus_and_the_robot_no_checkpoint(checkpoint, monkeypatch):
    monkeypatch.setattr(graph, "_require_can", lambda channel: None)
    monkeypatch.setattr(graph, "_camera_nodes", lambda *cameras: [])
    assert names(graph.build("piper_pick", {"hardware": "piper", "machine": "robot"})) == ["arm"]
    monkeypatch.setattr(graph, "_require_can", lambda channel: pytest.fail("the bus is the robot's"))
    host = graph.build("piper_pick", {"hardware": "piper", "machine": "host", "checkpoint": checkpoint})
    assert names(host) == ["point_cloud", "policy"]


@pytest.fixture
def machines(tmp_path):
    def write(**section):
        path = tmp_path / "cell.yaml"
        path.write_text(yaml.safe_dump({"machines": {"ros__parameters": section}}))
        return str(path)

    return write


def test_each_machine_looks_for_the_other(machines, monkeypatch):
    monkeypatch.delenv("ROS_STATIC_PEERS", raising=False)
    file = machines(robot="192.168.1.10", host="192.168.1.20", link_timeout=0.5)
    robot, host = (graph.build("piper_pick", {"machine": m, "parameters": file}) for m in ("robot", "host"))
    assert str(robot.parameter_file) == file
    assert (robot.environment["ROS_STATIC_PEERS"], host.environment["ROS_STATIC_PEERS"]) == (
        "192.168.1.20",
        "192.168.1.10",
    )
    assert parameters(robot, "arm")["link_timeout"] == 0.5


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"robot": "robbi"}, ["machines", "robbi"]),
        ({"link_timeout": 0.0}, ["link_timeout", "0.0"]),
        ({"gpu": "192.168.1.20"}, ["gpu"]),
    ],
)
def test_wrong_machines_are_named(machines, section, words):
    with pytest.raises(graph.GraphError) as error:
        graph.build("piper_pick", {"machine": "robot", "parameters": machines(**section)})
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"machine": "gpu"}, ["gpu", "robot", "host"]),
        ({"parameters": "/nowhere/cell.yaml"}, ["/nowhere/cell.yaml"]),
        ({"machine": "host", "record": "true"}, ["record", "on the robot"]),
    ],
)
def test_what_two_machines_cannot_do_is_refused(arguments, words):
    with pytest.raises(graph.GraphError) as error:
        graph.build("piper_pick", arguments)
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize(("old", "new", "words"), [("front:", "face:", "front"), ("wrist:", "policy:", "policy")])
def test_a_cameras_file_that_the_nodes_cannot_use_starts_nothing(tmp_path, old, new, words):
    file = tmp_path / "cameras.yaml"
    file.write_text(resource("config", "cameras.yaml").read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(graph.GraphError, match=f"{file}: .*camera is called {words}"):
        graph.build("piper_pick", {"cameras_file": str(file)})


def test_a_site_reaches_the_nodes_by_its_absolute_path(tmp_path, monkeypatch):
    file = tmp_path / "site.yaml"
    file.write_text(resource("config", "site.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    built = graph.build("piper_pick", {"site_file": "site.yaml"})
    assert {node.name for node in built.nodes if "site_file" in node.parameters} == {"arm", "simulation", "point_cloud"}
    assert parameters(built, "arm")["site_file"] == str(file)
    assert "site_file" not in parameters(graph.build("piper_pick", {}), "arm")
    raised = graph.build("piper_pick", {"site_file": str(resource("config", "sites", "raised_table.yaml"))})
    assert parameters(raised, "policy")["table_height"] == 0.05


@pytest.mark.parametrize(("old", "new"), [("tool_speed: 0.25", "tool_speed: 9"), ("box:", "bax:")])
def test_a_wrong_site_starts_nothing(tmp_path, old, new):
    file = tmp_path / "site.yaml"
    file.write_text(resource("config", "site.yaml").read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(graph.GraphError, match=f"{file}: ") as error:
        graph.build("piper_pick", {"site_file": str(file)})
    assert "\n" not in str(error.value)


def test_a_second_arm_leads_without_a_policy_in_the_simulation_and_on_hardware(monkeypatch):
    described = graph.build("piper_pick", {"lead": "true"})
    assert {"simulation", "arm"} <= set(names(described)) and "policy" not in names(described)
    arm, simulation = parameters(described, "arm"), parameters(described, "simulation")
    assert arm["command_source"] == "leader" and arm["leader_can"] == simulation["leader_channel"]
    assert arm["leader_can"] != arm["can_channel"]
    monkeypatch.setattr(graph, "_require_can", lambda channel: None)
    monkeypatch.setattr(graph, "_camera_nodes", lambda *cameras: [])  # none is plugged in
    real = parameters(graph.build("piper_pick", {"lead": "true", "hardware": "piper"}), "arm")
    assert real["leader_can"] == "can1" and real["dry_run"]


@pytest.mark.parametrize(
    ("arguments", "slows"),
    [
        ({}, True),
        ({"control": "rate", "record": "true"}, True),
        ({"real_time": "true"}, False),
        ({"lead": "true"}, False),
        ({"policy": "false"}, False),
        ({"machine": "robot"}, False),
        ({"episodes": "somewhere"}, False),  # from which a real arm learns
    ],
)
def test_simulated_time_is_slowed_where_nobody_needs_it_real(arguments, slows):
    described = graph.build("piper_pick", arguments)
    assert parameters(described, "simulation").get("real_time", True) is not slows
    if "policy" in names(described):
        assert parameters(described, "policy").get("rehearse", False) is slows
