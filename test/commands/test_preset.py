"""What the pruner of a running policy is set to, as a preset: written once, and read back as it was."""

import subprocess
import sys

import pytest
from node_setting import NodeSetting, made_by
from rclpy.parameter import Parameter

from tristage_ros import cli
from tristage_ros.commands import preset
from tristage_ros.nodes.policy.node import PolicyNode
from tristage_ros.nodes.policy.tuning import Tuning


class Idle(NodeSetting):
    """A policy that does nothing but have parameters, and the command beside it."""

    def __init__(self):
        super().__init__(PolicyNode, ["autostart:=false"])

    def save(self, path, *options):
        command = [sys.executable, "-m", "tristage_ros", "preset", "save", path, *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.until(lambda: process.poll() is not None)
        return process.returncode, process.stdout.read()


@pytest.fixture
def policy(ros_domain):
    with made_by(Idle) as make:
        yield make()


def test_what_is_set_is_a_preset_that_is_not_written_over(policy, tmp_path):
    path = tmp_path / "mine.yaml"
    values = {"pruning": "paper", "pruner.tau_2d": 0.15, "pruner.max_age": 20, "pruner.stages": [1, 3]}
    assert policy.node.set_parameters_atomically([Parameter(n, value=v) for n, v in values.items()]).successful
    assert policy.save(path) == (0, f"{path}: pruning:={path} uses it\n")
    assert Tuning.of(str(path)).config == policy.node.tuning.config
    assert path.read_text().startswith("# Token pruning") and "target_rate: null" in path.read_text()
    policy.node.set_parameters([Parameter("pruning", value="robot")])
    code, said = policy.save(path)
    assert code == 2 and said == f"error: {path} exists already; --force writes over it\n"
    assert Tuning.of(str(path)).config.max_age == 20
    assert policy.save(path, "--force")[0] == 0 and Tuning.of(str(path)).config == Tuning.of("robot").config


def test_without_a_policy_or_a_name_for_a_preset_nothing_is_written(ros_domain, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(preset, "PATIENCE", 0.5)
    for name, words in (("mine.yaml", f"no policy answers on policy/get_parameters in ROS domain {ros_domain}"),
                        ("mine.txt", "ends in .yaml or .yml")):  # fmt: skip
        assert cli.main(["preset", "save", str(tmp_path / name)]) == 2
        assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
