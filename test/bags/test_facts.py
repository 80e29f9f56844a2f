"""What a bag knows of its run: parameters, the content of the files they name, versions, the checkpoint's hash."""

import hashlib
import importlib.util
from dataclasses import replace

import pytest
from damage import SMALL_BAG

from tristage_ros.bags import facts
from tristage_ros.bags.facts import Facts, describe_checkpoint, differences, gather, read_facts
from tristage_ros.bags.reader import BagReader


@pytest.fixture
def run(tmp_path):
    preset = tmp_path / "mine.yaml"
    preset.write_text("tau_2d: 0.08\nbeta: 0.5\n")
    parameters = {"policy": {"pruning": str(preset), "seed": 0, "cameras_file": ""}, "point_cloud": {"points": 1024}}
    gathered, lost = gather(parameters, {"sha256": "ab"})
    assert not lost
    return gathered


def test_a_file_that_cannot_be_read_costs_nothing_else(tmp_path):
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text("tau_2d: 0.1\n")
    bad.write_bytes(b"\xff\xfe\x00")
    gathered, lost = gather({"policy": {"pruning": str(good)}, "theirs": {"map": str(bad)}}, {})
    assert gathered.files == {"policy.pruning": "tau_2d: 0.1\n"}
    assert len(lost) == 1 and lost[0].startswith(f"theirs.map = {bad}: ")


def test_facts_survive_being_written(run):
    assert Facts.parsed(run.dumped()) == run


def test_files_are_kept_with_their_content_and_defaults_are_found(run):
    assert run.pruning == {"tau_2d": 0.08, "beta": 0.5}
    assert "cameras:" in run.files["policy.cameras_file"]


def test_versions_are_those_of_this_installation(run):
    assert {"python", "numpy", "rosbags"} <= run.versions.keys()
    assert ("torch" in run.versions) == (importlib.util.find_spec("torch") is not None)


def test_differences_name_what_changed_and_nothing_else(run):
    assert differences(run, run) == []
    other = replace(
        run,
        files=run.files | {"policy.pruning": "tau_2d: 0.1\nbeta: 0.5\n"},
        parameters=run.parameters | {"point_cloud": {"points": 512, "use_sim_time": True}},
    )
    assert differences(run, other) == ["point_cloud.points: 1024 -> 512", "pruning.tau_2d: 0.08 -> 0.1"]
    assert differences(run, replace(run, checkpoint={})) == ["checkpoint: ab -> random weights"]
    assert differences(Facts(), run) == [], "what was not recorded is not a difference"


def test_the_checkpoint_is_hashed_file_or_folder(tmp_path):
    (tmp_path / "run").mkdir()
    for name in ("b.safetensors", "a.safetensors"):
        (tmp_path / "run" / name).write_bytes(name.encode())
    one = describe_checkpoint(str(tmp_path / "run" / "a.safetensors"))
    assert one["sha256"] == hashlib.sha256(b"a.safetensors").hexdigest() and one["bytes"] == 13
    assert describe_checkpoint(str(tmp_path / "run"))["sha256"] == (
        hashlib.sha256(b"a.safetensorsb.safetensors").hexdigest()
    )


@pytest.mark.parametrize("path", ["", "/nowhere/model.safetensors"])
def test_no_checkpoint_has_no_hash(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stray.safetensors").write_bytes(b"not ours")
    assert describe_checkpoint(path) == {}


def test_a_folder_without_weights_has_no_hash(tmp_path):
    assert describe_checkpoint(str(tmp_path)) == {}


def test_the_newest_facts_of_a_bag_count():
    with BagReader(SMALL_BAG) as bag:
        known = read_facts(bag)
    assert {"policy", "point_cloud", "arm", "simulation"} <= known.parameters.keys()
    assert known.pruning["target_rate"] == 0.7


def test_other_texts_are_refused():
    for text in ("no json", "[1]", '{"colour": 1}'):
        with pytest.raises(ValueError, match="facts of the run"):
            Facts.parsed(text)


def test_a_bag_without_facts_has_empty_ones(record):
    with BagReader(record()) as bag:
        assert read_facts(bag) == Facts()
    assert facts.TOPIC == "/tristage/run"


@pytest.mark.parametrize(
    "text",
    ["[" * 5000, "[]", '{"parameters": []}', '{"files": {"policy.pruning": "["}}', '{"files": {"policy.pruning": "3"}}',
     '{"\\u001b": 1}'],
)  # fmt: skip
def test_facts_of_another_kind_are_refused_in_one_line(text):
    with pytest.raises(ValueError, match="the facts of the run cannot be read") as refused:
        Facts.parsed(text)
    assert str(refused.value).isprintable()
