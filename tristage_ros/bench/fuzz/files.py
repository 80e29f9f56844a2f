"""Files that people write: parameters, machines, cameras, the site, presets, recipes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tristage_ros.bench.fuzz.judge import Kind
from tristage_ros.bench.fuzz.mutations import spoiled_yaml, written_to
from tristage_ros.devices.arm.site import SiteError, load_site
from tristage_ros.graph.graph import serial_numbers
from tristage_ros.graph.machines import MachinesError, read_machines
from tristage_ros.graph.parameter_file import ParameterFile, ParameterFileError, known
from tristage_ros.perception.extrinsics import load_extrinsics
from tristage_ros.pruning.preset_file import pruning_config
from tristage_ros.resources import resource
from tristage_ros.simulation.sensing import vertical_fov
from tristage_ros.training.recipe import Recipe, RecipeError

MACHINES = {"machines": {"ros__parameters": {"robot": "10.0.0.1", "host": "", "link_timeout": 1.0}}}


def kinds(folder: Path) -> dict[str, Kind]:
    """Return the kinds by name; their files are in `folder`."""
    path = folder / "input.yaml"

    def kind(tree: Any, read: Callable[[Path], object], refusal: type[Exception]) -> Kind:
        return Kind(spoiled_yaml(tree), written_to(path, lambda: read(path)), (refusal,))

    cameras = _shipped("cameras.yaml")
    for number, camera in enumerate(cameras["cameras"].values()):
        camera["serial_no"] = f"_{number}"
    return {
        "parameters": kind(_sections(), _parameters, ParameterFileError),
        "machines": kind(MACHINES, read_machines, MachinesError),
        "cameras": kind(cameras, _cameras, ValueError),
        "site": kind(_shipped("site.yaml"), load_site, SiteError),
        "preset": kind(_shipped("pruning", "robot.yaml"), lambda file: pruning_config(str(file)), ValueError),
        "recipe": kind(_shipped("training.yaml"), Recipe.load, RecipeError),
    }


def _sections() -> Any:
    """Return some of the shipped sections: Python reads YAML slowly."""
    shipped = _shipped("piper_pick.yaml")
    return {name: shipped[name] for name in ("arm", "point_cloud", "policy")}


def _shipped(*parts: str) -> Any:
    return yaml.safe_load(resource("config", *parts).read_text(encoding="utf-8"))


def _parameters(path: Path) -> None:
    file = ParameterFile(path)
    file.check({program: program for program in known()} | {"front": "camera", "wrist": "camera"})
    for program in known():
        file.of(program, "/cell", program)


def _cameras(path: Path) -> None:
    mounts = load_extrinsics(path)
    vertical_fov(path, tuple(mounts))
    serial_numbers(path)
