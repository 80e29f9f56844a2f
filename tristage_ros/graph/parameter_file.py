"""Parameters of a node: read from the file that is for all of them, written into one that is for it alone.

A node that got the common file would not find the section `policy` when it is called /cell1/policy, and a section for
all nodes may win over what was asked for at start, depending on the order. What is written here has one section.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import yaml

from tristage_ros.graph.fitting import fitted, nearest
from tristage_ros.resources import read_text, resource
from tristage_ros.words import one_line, shown
from tristage_ros.yaml_text import parse

PARAMETERS = "ros__parameters"
OF_EVERY_NODE = ("use_sim_time", "start_type_description_service")
OTHER_KINDS = {  # what else ends in .yaml here, by the keys that only it has
    frozenset({"cameras"}): "a cameras file, for cameras_file:=FILE",
    frozenset({"box", "tool_box", "keep_out", "joint_limits"}): "a site file, for site_file:=FILE",
    frozenset({"tau_2d", "target_rate", "clusters"}): "a pruning preset, for pruning:=FILE",
    frozenset({"Panels", "Visualization Manager"}): "a configuration of RViz",
    frozenset({"episodes", "demonstrations"}): "a recipe, for tristage train --recipe FILE",
    frozenset({"rosbag2_bagfile_information"}): "the metadata of a bag",
}


class ParameterFileError(ValueError):
    """Say what is wrong with a parameter file; the message is one line for a person."""


_TYPES = {str: "text", list: "list"}


class _Dumper(yaml.SafeDumper):
    """Quote every text, so that it stays one whatever it looks like."""


_Dumper.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))


class ParameterFile:
    """What a file says of nodes, by sections; of sections that meet a node the later wins.

    A section meets a node by its full name, with the wildcards of ROS 2 (`/**`, `/*/policy`); one without a namespace
    (`policy`) meets it in whichever namespace the graph is. Of one that ends in a wildcard a node takes what it has.
    """

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            ParameterFileError: it cannot be read, or holds something else.
        """
        self.path = path
        self._sections = [(name, dict(_flat(values))) for name, values in _sections(_read(path), path)]

    def check(self, programs: Mapping[str, str | None]) -> None:
        """Refuse sections of nodes that are none, and parameters that they do not have.

        Args:
            programs: of every node that there may be, the program, None where anything may be set on it.

        Raises:
            ParameterFileError: the message names the first, and what is most like it.
        """
        for section, values in self._sections:
            node = section.rsplit("/", 1)[-1]
            if "*" not in node and node not in programs:
                self._refuse(f"no node is called {node!r}; {nearest(node, programs)}")
            meant = [programs[node]] if "*" not in node else list(programs.values())
            if None in meant and "*" not in node:
                continue
            names = {*OF_EVERY_NODE, *(name for program in meant if program for name in known()[program])}
            for name in values:
                if name not in names and not name.startswith("qos_overrides."):
                    self._refuse(f"{section.strip('/')} has no parameter {name!r}; {nearest(name, names)}")

    def of(self, node: str, namespace: str = "", program: str | None = None) -> dict[str, Any]:
        """Return what is said of `node`, by full parameter name.

        Args:
            node: its name.
            namespace: of the graph.
            program: its parameters are what values have to fit; None: they are taken as they are.

        Raises:
            ParameterFileError: a value does not fit; the message says what would.
        """
        found: dict[str, Any] = {}
        for section, values in self._sections:
            pattern = re.escape(section).replace(r"/\*\*", r"(/\w+)*").replace(r"\*", r"\w+")
            if any(re.fullmatch(pattern, name) for name in (f"{namespace}/{node}", f"/{node}")):
                found |= self._fitting(section, values, program)
        return found

    def _fitting(self, section: str, values: Mapping[str, Any], program: str | None) -> dict[str, Any]:
        if program is None:
            return dict(values)
        ours, result = known()[program], {}
        for name, value in values.items():
            if name not in ours:
                if name in OF_EVERY_NODE or name.startswith("qos_overrides."):
                    result[name] = value
                continue
            ranges = {key: ours[name][key] for key in ("low", "high", "choices") if key in ours[name]}
            try:
                result[name] = fitted(value, ours[name]["default"], **ranges)
            except ValueError as error:
                self._refuse(f"{section.strip('/')}: {name}: {error}")
        return result

    def _refuse(self, what: str) -> NoReturn:
        raise ParameterFileError(f"{self.path}: {one_line(what)}")


@cache
def known() -> dict[str, dict[str, dict[str, Any]]]:
    """Return the parameters of every program of this package: `default`, and where there are such `low` and others."""
    machines: dict[str, dict[str, Any]] = {"robot": {"default": ""}, "host": {"default": ""}}
    machines["link_timeout"] = {"default": 1.0}
    listed: dict[str, dict[str, dict[str, Any]]] = parse(read_text(resource("config", "parameters.yaml")))
    return listed | {"machines": machines}


def write_parameters(path: Path, values: Mapping[str, Any]) -> None:
    """Write `values` as the parameters of every node of the process that reads the file."""
    content = {"/**": {PARAMETERS: dict(values)}}
    path.write_text(yaml.dump(content, Dumper=_Dumper, allow_unicode=True, width=1 << 20), encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    try:
        content = parse(read_text(path))
    except (OSError, ValueError) as error:
        raise ParameterFileError(f"{path}: {one_line(error)}") from error
    if not isinstance(content or {}, dict):
        raise ParameterFileError(
            f"{path} holds a {_TYPES.get(type(content), 'number')}, not the parameters of nodes by their names"
        )
    content = content or {}
    for keys, kind in OTHER_KINDS.items():
        if keys & set(content) and PARAMETERS not in str(content):
            raise ParameterFileError(f"{path} holds no parameters of nodes: it is {kind}")
    return content


def _sections(content: Mapping[str, Any], path: Path, above: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for key, value in content.items():
        name = f"{above}/{str(key).strip('/')}"
        if not isinstance(value, dict):
            raise ParameterFileError(
                f"{path}: {one_line(name.strip('/'))}: {PARAMETERS}: is missing; below it are the values"
            )
        for inner, values in value.items():
            if inner == PARAMETERS:
                yield name, _checked(values or {}, f"{path}: {one_line(name.strip('/'))}")
            else:
                yield from _sections({inner: values}, path, name)


def _checked(values: Any, where: str) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise ParameterFileError(f"{where}: {PARAMETERS} is {shown(values)}, not names with values")
    return values


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value
