"""The robot's half of the cell where everything that the graph looks for is installed, as on a machine with ROS 2."""

import sys
import time

import pretended_ros
import pytest
import yaml
from cell_process import CellProcess, spin_until

from tristage_ros.resources import resource
from tristage_ros.ros.operator import Operator

pytestmark = [pytest.mark.serial, pytest.mark.timeout(300)]
VIEWERS = {"rqt": "true", "rviz": "True", "foxglove": "TRUE"}


@pytest.fixture
def prefix(tmp_path, monkeypatch):
    prefix = pretended_ros.install(tmp_path / "ros")
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(prefix))
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    return prefix


@pytest.fixture
def cell(prefix, free_port, tmp_path, ros_domain):
    cell = CellProcess(free_port, tmp_path / "log.txt", machine="robot", **VIEWERS)
    yield cell
    cell.kill()


def test_the_robots_half_starts_with_transforms_model_and_every_viewer(prefix, cell, ros_context):
    operator = Operator()
    spin_until(operator, lambda: operator.arm is not None and operator.arm.firmware, what="the arm's firmware")
    programs = [package for package, name in pretended_ros.PROGRAMS.items() if name and package != "realsense2_camera"]
    end = time.monotonic() + 60
    while not all(pretended_ros.started(prefix, package) for package in programs):
        assert time.monotonic() < end, f"not started: {[p for p in programs if not pretended_ros.started(prefix, p)]}"
        time.sleep(0.2)
    operator.destroy_node()
    cameras = yaml.safe_load(resource("config", "cameras.yaml").read_text())["cameras"]
    transforms = pretended_ros.started(prefix, "tf2_ros")
    assert {start[start.index("--child-frame-id") + 1] for start in transforms} == {
        f"{name}_color_optical_frame" for name in cameras
    }
    assert cell.interrupt(30.0) == 0
    assert "Traceback" not in cell.log.read_text()


def test_versions_are_told_in_a_line(capfd):
    assert pretended_ros.versions().startswith(f"Python {sys.version_info[0]}.{sys.version_info[1]}")
    assert "\n" not in pretended_ros.versions()
