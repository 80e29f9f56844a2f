"""The viewers that a graph can start beside its nodes: a node of ours each, which runs a program of ROS 2."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from tristage_ros.graph.arguments import FOXGLOVE_PORT
from tristage_ros.graph.namespaces import program_arguments
from tristage_ros.graph.prerequisites import is_installed
from tristage_ros.resources import resource

MODEL, AGGREGATOR = "robot_model", "diagnostic_aggregator"


class NotInstalledError(ValueError):
    """Say which packages a viewer lacks and how to get them; the message is one line for a person."""


@dataclass(frozen=True)
class View:
    """Describe one viewer: what it needs, what it runs, and how it is told of a cell in a namespace."""

    packages: tuple[str, ...]
    executable: str  # of the first package
    arguments: tuple[str, ...] = ()  # in front of the path of `configuration`
    configuration: str = ""  # file in config/
    topics: tuple[str, ...] = ()  # that the configuration names, as in a cell without a namespace
    node_arguments: tuple[str, ...] = ()  # as after --ros-args
    starter: str = ""  # folder in nodes/viewers/ that, run by Python, runs the program in its own process
    needs: tuple[str, ...] = ()  # what runs beside it

    def command_line(self, namespace: str, folder: Path) -> list[str]:
        """Return the program's arguments for a cell in `namespace`; files that it takes for that are in `folder`."""
        files = [str(self._configured(namespace, folder))] if self.configuration else []
        return [*self.arguments, *files, *program_arguments(namespace), *self.node_arguments]

    def _configured(self, namespace: str, folder: Path) -> Path:
        shipped = resource("config", self.configuration)
        if namespace in ("", "/") or not self.topics:
            return shipped
        names = "|".join(re.escape(topic) for topic in self.topics)
        text = re.sub(rf"(?<![\w/])({names})\b", rf"{namespace}\1", shipped.read_text(encoding="utf-8"))
        path = folder / shipped.name
        path.write_text(text, encoding="utf-8")
        return path


VIEWS = {
    "rqt": View(
        ("rqt_gui", "rqt_plot", "rqt_image_view", "rqt_robot_monitor", "diagnostic_aggregator"),
        "rqt_gui",
        ("--force-discover", "--perspective-file"),
        "tristage.perspective",
        ("/tristage/pruning", "/tristage/timings", "/tristage/overlay"),
        starter="rqt",
        needs=(AGGREGATOR,),
    ),
    "rviz": View(
        ("rviz2", "robot_state_publisher"),
        "rviz2",
        ("-d",),
        "tristage.rviz",
        (
            "/tristage/cloud",
            "/tristage/kept_cloud",
            "/tristage/overlay",
            "/arm/end_pose",
            "/arm/site",
            "/robot_description",
        ),
        needs=(MODEL,),
    ),
    "foxglove": View(
        ("foxglove_bridge", "robot_state_publisher"),
        "foxglove_bridge",
        node_arguments=("-p", f"port:={FOXGLOVE_PORT}"),
        needs=(MODEL,),
    ),
    AGGREGATOR: View(
        ("diagnostic_aggregator",),
        "aggregator_node",
        ("--ros-args", "--params-file"),
        "diagnostic_aggregator.yaml",
    ),
}


def view_nodes(names: list[str]) -> list[tuple[str, str, dict[str, object]]]:
    """Return name, executable and parameters of the nodes that the viewers called `names` take.

    Raises:
        NotInstalledError: a package is missing.
    """
    for name in names:
        _require(name, VIEWS[name])
    needed = {need for name in names for need in VIEWS[name].needs}
    model: list[tuple[str, str, dict[str, object]]] = [(MODEL, MODEL, {})] if MODEL in needed else []
    shown = [name for name in (AGGREGATOR, *names) if name in needed or name in names]
    return model + [(f"{name}_viewer", "viewer", {"view": name}) for name in shown]


def _require(name: str, view: View) -> None:
    missing = [package for package in view.packages if not is_installed(package)]
    if missing:
        distribution = os.environ.get("ROS_DISTRO", "$ROS_DISTRO")
        debian = " ".join(f"ros-{distribution}-{package.replace('_', '-')}" for package in missing)
        raise NotInstalledError(
            f"{name}:=true needs {', '.join(missing)}, not installed or not sourced here; on a machine with ROS 2: "
            f"sudo apt install {debian}; in any terminal: tristage monitor"
        )
