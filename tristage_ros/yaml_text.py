"""YAML as ROS 2 reads it, which is what a person expects: 5e-2 is a number, a date is a text, no key is there twice."""

from __future__ import annotations

import re
from typing import Any

import yaml

from tristage_ros.words import one_line, shown

MOST_VALUES = 100_000  # of a text, those of an alias counted wherever it stands


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """PyYAML's, but for the scalars that it takes for something else, and for keys that it drops without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
        seen: set[str] = set()
        for key in keys:
            if key.value in seen:
                raise ValueError(f"{one_line(key.value)} is there twice, again in line {_line(key)}")
            seen.add(key.value)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ArithmeticError, AttributeError, LookupError, ValueError) as error:  # as PyYAML lets them through
            if not isinstance(node, yaml.ScalarNode):
                raise
            raise ValueError(f"line {_line(node)}: {shown(node.value)} is no {node.tag.split(':')[-1]}") from error


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def parse(text: str) -> Any:
    """Return what a YAML text holds.

    Raises:
        ValueError: it is none, not in one way, or one nobody writes by hand; the message is a line that says where.
    """
    loader = _Loader("")
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        if _values(node, {}) > MOST_VALUES:
            raise ValueError(f"with its aliases it has more than {MOST_VALUES} values")
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ValueError(f"{one_line(error.problem)}{where}") from error
    except yaml.YAMLError as error:
        raise ValueError(one_line(error)) from error
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    finally:
        loader.dispose()


def _values(node: yaml.Node, known: dict[int, int]) -> int:
    """Return how many values a node has, those of an alias counted wherever it stands; `known` are those counted."""
    if id(node) not in known:
        known[id(node)] = 0
        inner = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        known[id(node)] = 1 + (0 if isinstance(node, yaml.ScalarNode) else sum(_values(part, known) for part in inner))
    elif known[id(node)] == 0:
        raise ValueError(f"what begins in line {_line(node)} has itself for a part")
    return known[id(node)]


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
