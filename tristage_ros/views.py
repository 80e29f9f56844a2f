"""The viewers that a graph can start beside its nodes, as nodes of ours that run the programs of ROS 2."""

from __future__ import annotations

import os
from dataclasses import dataclass

from tristage_ros.resources import resource
from tristage_ros.ros_packages import is_installed

FOXGLOVE_PORT = 8765


class NotInstalledError(ValueError):
    """Say which packages a viewer lacks and how to get them; the message is one line for a person."""


@dataclass(frozen=True)
class View:
    """Describe one viewer: what it needs, what it runs, and which topics must be there before it starts."""

    packages: tuple[str, ...]
    executable: str  # of the first package
    arguments: tuple[str, ...]
    topics: tuple[str, ...] = ("/diagnostics",)
    needs: tuple[str, ...] = ()  # what runs beside it: "diagnostic_aggregator", "robot_model"


def _ros_arguments(name: str) -> tuple[str, ...]:
    return ("--ros-args", "--params-file", str(resource("config", name)))


def views() -> dict[str, View]:
    """Return the viewers by the name of their launch argument."""
    return {
        "rqt": View(
            ("rqt_gui", "rqt_plot", "rqt_image_view", "rqt_robot_monitor", "diagnostic_aggregator"),
            "rqt_gui",
            ("--force-discover", "--perspective-file", str(resource("config", "tristage.perspective"))),
            # rqt drops the curves of topics that it does not find when it starts.
            ("/tristage/pruning", "/tristage/timings", "/tristage/overlay", "/diagnostics"),
            ("diagnostic_aggregator",),
        ),
        "rviz": View(
            ("rviz2", "robot_state_publisher"),
            "rviz2",
            ("-d", str(resource("config", "tristage.rviz"))),
            needs=("robot_model",),
        ),
        "foxglove": View(
            ("foxglove_bridge", "robot_state_publisher"),
            "foxglove_bridge",
            ("--ros-args", "-p", f"port:={FOXGLOVE_PORT}"),
            needs=("robot_model",),
        ),
    }


def view_nodes(names: list[str]) -> list[tuple[str, str, dict[str, object]]]:
    """Return name, executable and parameters of the nodes that the viewers called `names` take.

    Raises:
        NotInstalledError: a package is missing.
    """
    chosen = {name: view for name, view in views().items() if name in names}
    for name, view in chosen.items():
        _require(name, view)
    beside: dict[str, tuple[str, str, dict[str, object]]] = {
        "robot_model": ("robot_model", "robot_model", {}),
        "diagnostic_aggregator": _node(
            "diagnostic_aggregator", "aggregator_node", _ros_arguments("diagnostic_aggregator.yaml"), ("/diagnostics",)
        ),
    }
    needed = [beside[need] for need in beside if any(need in view.needs for view in chosen.values())]
    return needed + [_node(v.packages[0], v.executable, v.arguments, v.topics, name) for name, v in chosen.items()]


def _node(
    package: str, executable: str, arguments: tuple[str, ...], topics: tuple[str, ...], name: str = ""
) -> tuple[str, str, dict[str, object]]:
    parameters = {"package": package, "executable": executable, "arguments": list(arguments), "topics": list(topics)}
    return f"{name or package}_viewer", "viewer", parameters


def _require(name: str, view: View) -> None:
    missing = [package for package in view.packages if not is_installed(package)]
    if missing:
        distribution = os.environ.get("ROS_DISTRO", "$ROS_DISTRO")
        debian = " ".join(f"ros-{distribution}-{package.replace('_', '-')}" for package in missing)
        raise NotInstalledError(
            f"{name}:=true needs {', '.join(missing)}, not installed or not sourced here; on a machine with ROS 2: "
            f"sudo apt install {debian}; in any terminal: tristage monitor"
        )
