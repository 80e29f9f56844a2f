"""Every parameter of every node as `config/parameters.yaml` lists them: `python -m tristage_ros.nodes.parameters`.

What reads a parameter file before anything is started has neither rclpy nor torch, so it does not read the lists here.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import yaml

from tristage_ros.nodes import point_cloud, simulation
from tristage_ros.nodes.arm import node as arm
from tristage_ros.nodes.camera import node as camera
from tristage_ros.nodes.policy import parameters as policy
from tristage_ros.nodes.recorder import episodes
from tristage_ros.nodes.recorder import node as recorder
from tristage_ros.nodes.remote import parameters as remote
from tristage_ros.nodes.viewers import rerun_viewer, robot_model, viewer
from tristage_ros.ros.parameters import Parameter

LISTS: dict[str, Sequence[Parameter]] = {
    "arm": arm.PARAMETERS,
    "camera": camera.PARAMETERS,
    "episodes": episodes.PARAMETERS,
    "point_cloud": point_cloud.PARAMETERS,
    "policy": policy.PARAMETERS,
    "recorder": recorder.PARAMETERS,
    "remote_policy": remote.PARAMETERS,
    "rerun_viewer": rerun_viewer.PARAMETERS,
    "robot_model": robot_model.PARAMETERS,
    "simulation": simulation.PARAMETERS,
    "viewer": viewer.PARAMETERS,
}
_HEADER = """\
# Every parameter by program (front and wrist: camera), as a parameter file may set it: default, range, meaning.
# Written by python -m tristage_ros.nodes.parameters from the lists in the nodes; a parameter file is checked with it.
"""


def text() -> str:
    """Return the content of the file."""
    listed = {name: {p.name: _described(p) for p in parameters} for name, parameters in LISTS.items()}
    return _HEADER + yaml.safe_dump(listed, sort_keys=False, width=1 << 20, allow_unicode=True)


def _described(parameter: Parameter) -> dict[str, Any]:
    default = parameter.default
    all_of_it = {
        "default": list(default) if isinstance(default, (list, tuple)) else default,
        "low": parameter.low,
        "high": parameter.high,
        "choices": list(parameter.choices),
        "unit": parameter.unit,
        "meaning": parameter.description,
    }
    return {key: value for key, value in all_of_it.items() if key == "default" or value not in (None, [], "")}


if __name__ == "__main__":
    sys.stdout.write(text())
