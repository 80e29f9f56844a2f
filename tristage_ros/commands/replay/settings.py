"""With which settings a bag is replayed: those that it was recorded with, and what is to be tried instead.

The pruner's settings are spelt as in a preset: `pruning.tau_2d` is what the policy node has as `pruner.tau_2d`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from tristage_ros.bags.changes import Change
from tristage_ros.bags.facts import OWN_SCALE, PRUNER, Facts, pruner_settings
from tristage_ros.graph.graph import REMOTE, GraphError, preset
from tristage_ros.nodes.point_cloud import PARAMETERS as CLOUD_PARAMETERS
from tristage_ros.nodes.policy.parameters import PARAMETERS as POLICY_PARAMETERS
from tristage_ros.nodes.remote.parameters import PARAMETERS as REMOTE_PARAMETERS
from tristage_ros.openpi.mapping import parsed_map
from tristage_ros.pruning import PruningConfig
from tristage_ros.resources import read_text, resource
from tristage_ros.ros.parameters import Parameter
from tristage_ros.yaml_text import parse

KNOWN: dict[str, Sequence[Parameter]] = {
    "point_cloud": CLOUD_PARAMETERS,
    "policy": [parameter for parameter in POLICY_PARAMETERS if not parameter.name.startswith(PRUNER)],
}
KNOWN_OF_A_SERVER = KNOWN | {"policy": REMOTE_PARAMETERS}  # where one was asked in the place of our policy
LIVE = ("rate_hz", PRUNER)  # how the names begin of what is set again where it was set while the run was recorded
OWN = ("autostart", "image_transport", "allow_random_weights")  # the replay's business, whatever was recorded


@dataclass(frozen=True)
class Settings:
    """Hold the parameters of both nodes, and the content of the files that they name."""

    parameters: dict[str, dict[str, Any]]
    pruning: dict[str, Any]
    cameras: str  # YAML
    recorded: bool  # whether the bag knew them
    map: str = ""  # YAML, of the policy server that was asked; empty: our own policy was

    @staticmethod
    def recorded_with(facts: Facts) -> Settings:
        """Return the settings of a recorded run, for what the bag does not know those of a fresh one."""
        shipped = yaml.safe_load(resource("config", "piper_pick.yaml").read_text(encoding="utf-8"))
        mapped = facts.files.get("policy.map", "") if "server" in facts.parameters.get("policy", {}) else ""
        if mapped:
            shipped["policy"] = {"ros__parameters": {}}
        parameters = {
            node: {p.name: p.default for p in known}
            | shipped[node]["ros__parameters"]
            | {p.name: facts.parameters[node][p.name] for p in known if p.name in facts.parameters.get(node, {})}
            for node, known in (KNOWN_OF_A_SERVER if mapped else KNOWN).items()
        }
        fresh = resource("config", "cameras.yaml").read_text(encoding="utf-8")
        robot = yaml.safe_load(resource("config", "pruning", "robot.yaml").read_text(encoding="utf-8"))
        cameras = facts.files.get("policy.cameras_file", fresh)
        return Settings(parameters, facts.pruning or robot, cameras, bool(facts.parameters), mapped)

    @property
    def known(self) -> dict[str, Sequence[Parameter]]:
        """Return the parameters that the nodes have, by node."""
        return KNOWN_OF_A_SERVER if self.map else KNOWN

    @property
    def pictures(self) -> tuple[str, ...]:
        """Return the cameras that a server's policy sees; none for our own, which sees what it always does."""
        return parsed_map(self.map).cameras if self.map else ()

    @property
    def lenses(self) -> dict[str, str]:
        """Return what the cameras file says of every camera's lens; empty: what its camera_info says."""
        cameras = (yaml.safe_load(self.cameras) or {}).get("cameras", {})
        return {name: str(entry.get("lens", "")) for name, entry in cameras.items()}

    def changed(self, changes: Sequence[str]) -> Settings:
        """Return the settings with `changes` made: `pruning.tau_2d=0.1`, `policy.engine=recompute`, ...

        Raises:
            GraphError: a change is malformed, or names or sets what does not exist.
        """
        result = self
        for text in changes:
            result = result._with(text)
        try:
            PruningConfig.from_dict(result.pruning)
        except (ValueError, TypeError) as error:
            raise GraphError(f"{' '.join(f'--set {text}' for text in changes)}: {error}") from None
        return result

    def _with(self, text: str) -> Settings:
        name, separator, written = text.partition("=")
        node, dot, parameter = name.partition(".")
        if not separator or not dot:
            raise GraphError(f"--set {text} is not of the form NODE.NAME=VALUE, such as pruning.tau_2d=0.1")
        value = _parsed(text, written)
        if (node, parameter[: len(PRUNER)]) == ("policy", PRUNER):
            return replace(self, pruning=self.pruning | pruner_settings({parameter: value}))
        if node == "pruning":
            return replace(self, pruning=self.pruning | {parameter: value})
        if (node, parameter) == ("policy", "pruning"):
            return replace(self, pruning=parse(read_text(preset(str(value)))) or {})
        known = {p.name: p for p in self.known.get(node, ()) if p.name not in OWN}
        if parameter not in known:
            valid = ", ".join(known) if known else "pruning, point_cloud, policy"
            raise GraphError(f"--set {text}: there is no {name}; there are: {valid}")
        try:
            value = known[parameter].fitted(value)
        except ValueError as error:
            raise GraphError(f"--set {text}: {error}") from None
        changed = self.parameters[node] | {parameter: value}
        if (node, parameter) == ("policy", "checkpoint"):  # another model has another scale
            changed |= {name: known[name].default for name in known if name.startswith(OWN_SCALE)}
        return replace(self, parameters=self.parameters | {node: changed})

    def after(self, changes: Sequence[Change]) -> Settings:
        """Return the settings with what was set meanwhile."""
        values = {name: value for change in changes for name, value in change.values.items()}
        policy = {name: value for name, value in values.items() if name in self.parameters["policy"]}
        parameters = self.parameters | {"policy": self.parameters["policy"] | policy}
        return replace(self, parameters=parameters, pruning=self.pruning | pruner_settings(values))

    def write(self, folder: Path) -> Path:
        """Write the parameter file, with what it names, into `folder` and return its path.

        Raises:
            OSError: it cannot be written.
        """
        files = {"pruning": folder / "pruning.yaml", "cameras_file": folder / "cameras.yaml"}
        files["pruning"].write_text(yaml.safe_dump(self.pruning), encoding="utf-8")
        files["cameras_file"].write_text(self.cameras, encoding="utf-8")
        if self.map:
            files["map"] = folder / "map.yaml"
            files["map"].write_text(self.map, encoding="utf-8")
        sections = {}
        for node, values in self.parameters.items():
            known = [p.name for p in self.known[node] if p.name not in OWN]
            named = {name: str(path.resolve()) for name, path in files.items() if name in known}
            section = REMOTE if self.map and node == "policy" else node
            sections[section] = {"ros__parameters": {name: values[name] for name in known} | named}
        path = folder / "parameters.yaml"
        path.write_text(yaml.safe_dump(sections), encoding="utf-8")
        return path


def to_repeat(changes: Sequence[Change], instead: Sequence[str]) -> list[Change]:
    """Return of what was set while a run was recorded what a replay sets again: what no `--set` decides `instead`.

    A whole preset instead decides everything.
    """
    decided = {text.partition("=")[0].strip().removeprefix("policy.") for text in instead}
    decided = {PRUNER + name.removeprefix("pruning.") if name.startswith("pruning.") else name for name in decided}
    if "pruning" in decided:
        decided.add(PRUNER)

    def kept(name: str) -> bool:
        return name.startswith(LIVE) and name not in decided and not (PRUNER in decided and name.startswith(PRUNER))

    repeated = [replace(c, values={name: v for name, v in c.values.items() if kept(name)}) for c in changes]
    return [change for change in repeated if change.values and change.stamp is not None]


def _parsed(text: str, written: str) -> Any:
    try:
        return parse(written)
    except ValueError as error:
        raise GraphError(f"--set {text}: the value cannot be read: {error}") from None
