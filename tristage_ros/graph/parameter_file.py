"""Parameters of a node: read from the file that is for all of them, written into one that is for it alone.

A node that got the common file would not find the section `policy` when it is called /cell1/policy, and a section for
all nodes may win over what was asked for at start, depending on the order. What is written here has one section.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tristage_ros.resources import read_text

PARAMETERS = "ros__parameters"


class ParameterFileError(ValueError):
    """Say what is wrong with a parameter file; the message is one line for a person."""


class _Loader(yaml.SafeLoader):
    """Read scalars as ROS 2 does: 1e-3 is a number, and a date is a text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


class _Dumper(yaml.SafeDumper):
    """Quote every text, so that it stays one whatever it looks like."""


_Dumper.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))


def parameters_of(path: Path, node: str, namespace: str = "") -> dict[str, Any]:
    """Return what the file at `path` says of `node`, by full parameter name; of sections that meet it the later wins.

    A section meets a node by its full name, with the wildcards of ROS 2 (`/**`, `/*/policy`); one without a namespace
    (`policy`) meets it in whichever `namespace` the graph is.

    Raises:
        ParameterFileError: the file cannot be read, or holds something else.
    """
    found: dict[str, Any] = {}
    for section, values in _sections(_read(path), path):
        pattern = section.replace("/*", r"(/\w+)")
        if any(re.fullmatch(pattern, name) for name in (f"{namespace}/{node}", f"/{node}")):
            found |= dict(_flat(values))
    return found


def write_parameters(path: Path, values: Mapping[str, Any]) -> None:
    """Write `values` as the parameters of every node of the process that reads the file."""
    content = {"/**": {PARAMETERS: dict(values)}}
    path.write_text(yaml.dump(content, Dumper=_Dumper, allow_unicode=True, width=1 << 20), encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.load(read_text(path), _Loader)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ParameterFileError(f"{path}: {' '.join(str(error).split())}") from error
    if not isinstance(content or {}, dict):
        raise ParameterFileError(f"{path} holds {type(content).__name__}, not the parameters of nodes by their names")
    return content or {}


def _sections(content: Mapping[str, Any], path: Path, above: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for key, value in content.items():
        name = f"{above}/{str(key).strip('/')}"
        if not isinstance(value, dict):
            raise ParameterFileError(f"{path}: {name.strip('/')}: {PARAMETERS}: is missing; below it are the values")
        for inner, values in value.items():
            if inner == PARAMETERS:
                yield name, _checked(values or {}, f"{path}: {name.strip('/')}")
            else:
                yield from _sections({inner: values}, path, name)


def _checked(values: Any, where: str) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise ParameterFileError(f"{where}: {PARAMETERS} is {values!r}, not names with values")
    return values


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value
