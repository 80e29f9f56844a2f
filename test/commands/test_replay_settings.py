"""With which settings a bag is replayed."""

from pathlib import Path

import pytest
import yaml

from tristage_ros.bags.changes import Change
from tristage_ros.bags.facts import Facts
from tristage_ros.commands.replay.settings import Settings, to_repeat
from tristage_ros.graph.graph import GraphError, build
from tristage_ros.openpi.mapping import map_file
from tristage_ros.perception.extrinsics import load_extrinsics
from tristage_ros.resources import resource

FACTS = Facts(
    {"policy": {"seed": 7, "engine": "recompute", "gone_since": 1}, "point_cloud": {"points": 512}},
    {"policy.pruning": "tau_2d: 0.05\n", "policy.cameras_file": "cameras: {}\n"},
)


def test_what_was_recorded_is_used_and_the_rest_is_as_shipped():
    settings = Settings.recorded_with(FACTS)
    assert settings.recorded
    assert settings.parameters["policy"]["seed"] == 7 and settings.parameters["point_cloud"]["points"] == 512
    assert "gone_since" not in settings.parameters["policy"]
    assert settings.pruning == {"tau_2d": 0.05} and settings.cameras == "cameras: {}\n"
    assert settings.parameters["policy"]["threads"] == 1, "as config/piper_pick.yaml has it"
    fresh = Settings.recorded_with(Facts())
    assert not fresh.recorded and fresh.pruning["target_rate"] == 0.7


def test_changes_are_made_one_after_the_other():
    changes = [
        "pruning.tau_2d=0.1",
        "policy.rate_hz=4",
        "policy.instruction=close the box",
        "point_cloud.cameras=[front]",
    ]
    settings = Settings.recorded_with(FACTS).changed(changes)
    assert settings.pruning["tau_2d"] == 0.1
    assert settings.parameters["policy"]["rate_hz"] == 4.0 and isinstance(
        settings.parameters["policy"]["rate_hz"], float
    )
    assert settings.parameters["policy"]["instruction"] == "close the box"
    assert settings.parameters["point_cloud"]["cameras"] == ["front"]


def test_a_preset_replaces_the_recorded_one_and_may_be_changed_further():
    settings = Settings.recorded_with(FACTS).changed(
        ["policy.pruning=paper", "pruning.tau_2d=0.25", "pruning.tau_3d=0.25"]
    )
    assert (settings.pruning["tau_2d"], settings.pruning["tau_3d"]) == (0.25, 0.25)
    assert settings.pruning.get("target_rate") is None


def test_the_scale_of_the_recorded_model_is_not_that_of_another():
    facts = Facts({"policy": {"own_scale.pre_norm": 38.5}})
    settings = Settings.recorded_with(facts)
    assert settings.parameters["policy"]["own_scale.pre_norm"] == 38.5
    other = settings.changed(["policy.checkpoint=other.safetensors"])
    assert other.parameters["policy"]["own_scale.pre_norm"] == 0.0


@pytest.mark.parametrize("spelling", ["pruning.", "policy.pruner."])
def test_the_pruner_is_set_by_either_spelling(spelling):
    changes = [f"{spelling}tau_2d=0.1", f"{spelling}target_rate=0.5"]
    assert Settings.recorded_with(FACTS).changed(changes).pruning == {"tau_2d": 0.1, "target_rate": 0.5}
    off = ["policy.pruner.target_rate=-1"] if "pruner" in spelling else ["pruning.target_rate=null"]
    assert Settings.recorded_with(FACTS).changed([*changes, *off]).pruning["target_rate"] is None


def test_what_was_set_meanwhile_is_set_again_save_what_is_tried_instead():
    values = {"pruner.tau_2d": 0.1, "pruner.beta": 0.5, "rate_hz": 2.0, "instruction": "close the box", "pruning": "x"}
    changes = [Change(10, 1, 5, values, {}), Change(20, 9, None, values, {})]

    def repeated(*instead):
        return [list(change.values) for change in to_repeat(changes, instead)]

    assert repeated() == [["pruner.tau_2d", "pruner.beta", "rate_hz"]]
    assert repeated("policy.engine=recompute", "pruning.tau_2d=0.2") == [["pruner.beta", "rate_hz"]]
    assert repeated("policy.pruner.beta=0.2", "policy.rate_hz=3") == [["pruner.tau_2d"]]
    assert repeated("policy.pruning=paper") == [["rate_hz"]]
    after = Settings.recorded_with(FACTS).after(to_repeat(changes, ()))
    assert after.pruning == {"tau_2d": 0.1, "beta": 0.5} and after.parameters["policy"]["rate_hz"] == 2.0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("pruning.tau_2d=2", "tau_2d"),
        ("policy.image_transport=raw", "there is no policy.image_transport"),
        ("policy.seed=1.5", "write a whole number from 0 to 2147483647, not 1.5"),
        ("policy.seed=[1", "cannot be read"),
        ("seed=1", "NODE.NAME=VALUE"),
    ],
)
def test_wrong_changes_are_named_in_one_line(change, words):
    with pytest.raises(GraphError) as error:
        Settings.recorded_with(FACTS).changed([change])
    assert words in str(error.value) and f"--set {change}" in str(error.value) and "\n" not in str(error.value)


def test_the_parameter_file_names_files_beside_it_and_starts_a_graph(tmp_path):
    path = Settings.recorded_with(FACTS).write(tmp_path)
    written = yaml.safe_load(path.read_text())
    assert written["policy"]["ros__parameters"]["pruning"] == str(tmp_path / "pruning.yaml")
    assert written["point_cloud"]["ros__parameters"]["cameras_file"] == str(tmp_path / "cameras.yaml")
    assert (tmp_path / "cameras.yaml").read_text() == "cameras: {}\n"
    graph = build("replay", {"parameters": str(path)})
    assert graph.parameter_file == path and [node.name for node in graph.nodes] == ["point_cloud", "policy"]
    assert all(node.parameters["use_sim_time"] for node in graph.nodes)
    assert all(node.remappings["tristage/action"] == "replay/action" for node in graph.nodes)


def test_a_replay_sees_through_the_lens_of_the_recorded_cameras_file(tmp_path):
    shipped = resource("config", "cameras.yaml").read_text()
    cameras = shipped.replace("parent: base_link", "parent: base_link\n    lens: inverse_brown_conrady")
    Settings.recorded_with(Facts(FACTS.parameters, {"policy.cameras_file": cameras})).write(tmp_path)
    for node in yaml.safe_load((tmp_path / "parameters.yaml").read_text()).values():
        mounts = load_extrinsics(node["ros__parameters"]["cameras_file"])
        assert (mounts["front"].lens, mounts["wrist"].lens) == ("inverse_brown_conrady", "")


def test_a_number_may_be_written_as_people_write_them():
    settings = Settings.recorded_with(FACTS).changed(["pruning.tau_2d=5e-2", "policy.rate_hz=5"])
    assert (settings.pruning["tau_2d"], settings.parameters["policy"]["rate_hz"]) == (0.05, 5.0)


def test_a_run_of_a_policy_server_is_asked_of_it_again_by_the_map_that_it_had(tmp_path):
    told = {"server": "ws://gpu:8000", "map": "/gone/own.yaml", "instruction": "close the box", "control": "map"}
    text = map_file("joints").read_text()
    settings = Settings.recorded_with(Facts({"policy": told, "arm": {}}, {"policy.map": text}))
    assert settings.pictures == ("front", "wrist")
    content = yaml.safe_load(settings.changed(("policy.server=ws://other:9000",)).write(tmp_path).read_text())
    asked = content["remote_policy"]["ros__parameters"]
    assert asked["server"] == "ws://other:9000" and asked["instruction"] == "close the box" and "policy" not in content
    assert Path(asked["map"]).read_text() == text
    described = build("replay", {"parameters": str(tmp_path / "parameters.yaml"), "policy": "openpi:ws://other:9000"})
    (policy,) = (node for node in described.nodes if node.name == "policy")
    assert policy.executable == "remote_policy" and policy.parameters["map"] == asked["map"]
    assert policy.parameters["control"] == "map" and policy.parameters["use_sim_time"]
    with pytest.raises(GraphError, match=r"there is no policy\.engine; there are: .*server"):
        settings.changed(("policy.engine=recompute",))
