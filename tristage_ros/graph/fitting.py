"""Whether a value fits a parameter as a person means it (a whole number is a number, ~ a home), and what would fit."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

from tristage_ros.resources import user_path
from tristage_ros.words import shown


def fitted(
    value: Any, default: Any, low: float | None = None, high: float | None = None, choices: Sequence[str] = ()
) -> Any:
    """Return `value` as a parameter with this `default` takes it; a text that begins with ~ or $ is a path.

    Raises:
        ValueError: it is of another type, out of range or none of the choices; the message says what to write.
    """
    if isinstance(default, (list, tuple)):
        kind = default[0] if default else ""
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"write a list such as {list(default)}, not {shown(value)}")
        try:
            return [fitted(each, kind) for each in value]
        except ValueError as error:
            raise ValueError(f"of {shown(list(value))}: {error}") from None
    if type(value) is int and abs(value) > _MOST:
        raise ValueError(f"write a number that a computer holds, not {shown(value)}")
    if isinstance(default, float) and type(value) is int:
        value = float(value)
    if type(value) is not type(default) or (low is not None and high is not None and not low <= value <= high):
        raise ValueError(f"write {_wanted(default, low, high, choices)}, not {shown(value)}")
    if choices and value not in choices:
        raise ValueError(f"write {_wanted(default, low, high, choices)}, not {shown(value)}")
    return str(user_path(value)) if isinstance(value, str) and value.startswith(("~", "$")) else value


_MOST = 2**63 - 1  # of a whole number in a ROS 2 parameter
_KINDS = {bool: "true or false", int: "whole number", float: "number", str: "text in quotes"}


def _wanted(default: Any, low: float | None, high: float | None, choices: Sequence[str]) -> str:
    if choices:
        return f"one of {', '.join(choices)}, in quotes"
    kind = _KINDS[type(default)]
    between = f" from {low:.10g} to {high:.10g}" if low is not None and high is not None else ""
    return f"{'' if type(default) is bool else 'a '}{kind}{between}"


MANY = 40  # names that nobody reads in one line


def nearest(name: str, names: Iterable[str]) -> str:
    """Return a question whether the name meant is the most similar of `names`, and else what they are."""
    there = sorted(names)
    similar = difflib.get_close_matches(name, there, n=1)
    if similar:
        return f"did you mean {similar[0]}?"
    return f"there are: {', '.join(there)}" if len(there) <= MANY else "config/parameters.yaml lists them all"
