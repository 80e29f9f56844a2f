"""What is missing is told before any process starts, in one line that says what to type."""

import os
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tristage_ros import cli
from tristage_ros.graph import prerequisites
from tristage_ros.graph.graph import GraphError
from tristage_ros.start import NODES

ROOT = Path(__file__).resolve().parents[2]
OPTIONAL = {"control_msgs", "realsense2_camera_msgs"}  # what is missing without them nobody can hear
WITH_RCLPY = {"builtin_interfaces", "rcl_interfaces", "std_msgs", "std_srvs", "sensor_msgs", "geometry_msgs",
              "trajectory_msgs", "diagnostic_msgs"}  # fmt: skip


@pytest.fixture(scope="module")
def imports():
    grimp = pytest.importorskip("grimp")  # of import-linter
    graph = grimp.build_graph("tristage_ros", include_external_packages=True, exclude_type_checking_imports=True)

    def of(node):
        found = {name.split(".")[0] for name in graph.find_upstream_modules(NODES[node])}
        return found - {"tristage_ros"} - set(sys.stdlib_module_names) - OPTIONAL - WITH_RCLPY

    return of


@pytest.mark.parametrize("node", prerequisites.OF_NODE)
def test_everything_that_a_node_imports_is_looked_for(node, imports):
    known = {*prerequisites.OF_NODE[node], *prerequisites.OF_EVERY_NODE}
    assert imports(node) <= known
    assert set(prerequisites.OF_NODE[node]) <= imports(node), "nobody needs that any more"


def test_every_node_that_is_installed_is_known():
    text = (ROOT / "setup.py").read_text()
    installed = eval(text.split("NODES = ")[1].partition(")")[0] + ")")
    assert set(installed) == set(prerequisites.OF_NODE)


@pytest.fixture
def bare(tmp_path):
    """Return an interpreter without any package but those given."""

    def make(*packages):
        for name in packages:
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / "__init__.py").write_text("raise SystemExit('it was imported')")
        python = tmp_path / "python3"
        python.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path} exec {sys.executable} -S "$@"\n')
        python.chmod(0o755)
        return str(python)

    return make


def test_one_line_names_what_is_missing_and_what_to_type(bare):
    python = bare("numpy", "yaml", "rclpy", "cv2", "scipy")
    with pytest.raises(GraphError) as error:
        prerequisites.require(["policy", "arm"], python)
    text = str(error.value)
    assert "\n" not in text and text.startswith(python)
    assert "torch" in text and "piper_sdk" in text and "pip install -r locks/$ROS_DISTRO.txt" in text
    assert "tristage_msgs: ln -s tristage_ros/msg src/tristage_msgs in the workspace, colcon build" in text
    assert "cv2" not in text and "mujoco" not in text and "rosdep" not in text


@pytest.mark.parametrize(
    ("module", "way"),
    [
        ("torch", "virtual environment"),
        ("tristage_msgs", "install/setup.bash"),
        ("rclpy", "/opt/ros"),
        ("scipy", "rosdep"),
    ],
)
def test_each_kind_of_module_has_its_way(module, way):
    told = prerequisites.complaint([module], "python3")
    assert f"{module}: " in told and way in told and "; " not in told


def test_with_everything_there_nothing_is_said_nor_imported(bare):
    wanted = {*prerequisites.OF_EVERY_NODE, *prerequisites.OF_NODE["policy"]}
    prerequisites.require(["policy"], bare(*wanted))


@pytest.mark.parametrize(
    ("line", "interpreter"),
    [
        ("#!/usr/bin/python3", "/usr/bin/python3"),
        ("#!/usr/bin/env python3", None),
        ("#! /usr/bin/env python3 -u", None),
        ("#!/usr/bin/env -S --block-signal=INT python3", None),
    ],
)
def test_the_interpreter_of_a_script_is_that_of_its_first_line(tmp_path, monkeypatch, line, interpreter):
    python = tmp_path / "bin" / "python3"
    python.parent.mkdir()
    python.touch(0o755)
    monkeypatch.setenv("PATH", f"{python.parent}{os.pathsep}{os.environ['PATH']}")
    script = tmp_path / "policy"
    script.write_text(f"{line}\nimport sys\n")
    assert prerequisites.interpreter(script) == (interpreter or str(python))


def test_without_the_environment_the_command_says_one_line(monkeypatch, capsys):
    monkeypatch.setattr(prerequisites, "missing", lambda *wanted: ["torch"])
    assert cli.main(["run", "piper_pick"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "torch" in error and "Traceback" not in error


def test_the_command_needs_nothing_but_python_to_say_so(tmp_path):
    """As in a terminal in which only ROS 2 is sourced: `honcho`, `numpy` and the like are nowhere."""
    for typed in (["run", "piper_pick"], ["monitor", "--once"], ["record"], ["demo"]):
        process = subprocess.run(
            [sys.executable, "-S", "-m", "tristage_ros", *typed],
            capture_output=True, text=True, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert process.returncode == 2 and "Traceback" not in process.stderr, process.stderr
        assert process.stderr.count("\n") == 1 and "does not find" in process.stderr


def test_modules_and_packages_are_called_as_in_the_requirements():
    """So that the one line helps: what it says to install brings what is missing."""
    text = (ROOT / "requirements.txt").read_text().lower().replace("-", "_")
    distributions = packages_distributions()
    for module in {m for modules in prerequisites.OF_NODE.values() for m in modules}:
        if module not in (*prerequisites.MESSAGES, *prerequisites.SYSTEM, *prerequisites.ROS):
            names = [name.lower().replace("-", "_") for name in distributions.get(module, [module])]
            assert any(name in text for name in names), f"{module} ({names}) is not in requirements.txt"
