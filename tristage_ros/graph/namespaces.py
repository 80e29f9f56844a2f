"""A cell below a ROS namespace: what is called how there, so that several cells share a ROS domain.

Every topic, service and node of a cell is below its namespace, transforms and diagnostics too: their frames and parts
are called alike in every cell. Not below it are `/clock` and `/parameter_events`, which rclpy itself finds nowhere
else, and `/rosout`.
"""

from __future__ import annotations

import argparse
import re

TOKEN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# What programs of other packages publish or hear outside of every namespace, whatever namespace they are in.
GLOBAL_NAMES = {
    f"/{name}": name for name in ("tf", "tf_static", "diagnostics", "diagnostics_agg", "diagnostics_toplevel_state")
}


class NamespaceError(ValueError):
    """Say why a text is no namespace; the message is one line for a person."""


def absolute(text: str) -> str:
    """Return the namespace `text` with a leading and without a trailing /; empty for none.

    Raises:
        NamespaceError: ROS 2 knows no such names.
    """
    tokens = text.strip("/").split("/") if text.strip("/") else []
    if not all(TOKEN.fullmatch(token) for token in tokens):
        raise NamespaceError(
            "a namespace is made of letters, digits and _, in parts that no digit begins and / separates: cell1"
        )
    return "".join(f"/{token}" for token in tokens)


def below(pushed: str, asked: str) -> str:
    """Return the namespace `asked` for inside of one that a launch file `pushed`, as launch_ros does.

    A parent that pushes a namespace calls its argument `namespace`, too, and an include sees it: it is not put below
    itself.

    Raises:
        NamespaceError: what was pushed is none.
    """
    pushed = absolute(pushed)
    if asked.startswith("/"):
        return asked
    return pushed if f"{pushed}/".endswith(f"/{asked.rstrip('/')}/") else f"{pushed}/{asked}"


def plain(name: str, namespace: str) -> str:
    """Return the full name `name` as it is in a cell without a namespace; empty where it is outside of `namespace`."""
    namespace = namespace.rstrip("/")
    return name.removeprefix(namespace) if name.startswith(f"{namespace}/") else ""


def relative(name: str) -> str:
    """Return the name that, in a cell without a namespace, is `name`."""
    return name.removeprefix("/")


def inside(namespace: str) -> list[str]:
    """Return the arguments of a node that is in `namespace`."""
    return ["--ros-args", "-r", f"__ns:={namespace or '/'}"]


def program_arguments(namespace: str) -> list[str]:
    """Return the arguments of a program of another package that is in `namespace` with all that it says."""
    return inside(namespace) + [part for old, new in GLOBAL_NAMES.items() for part in ("-r", f"{old}:={new}")]


def add_node_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a command that is a node itself."""
    parser.add_argument("--namespace", default="", metavar="NAME", help="namespace of the cell (default: none)")
    parser.add_argument(
        "--ros-args", nargs=argparse.REMAINDER, default=[], metavar="...", help="as for every node: -r __ns:=/NAME"
    )


def node_arguments(options: argparse.Namespace) -> list[str]:
    """Return the options of `add_node_options` as rclpy takes them.

    Raises:
        NamespaceError: the namespace is none.
    """
    try:
        chosen = inside(absolute(options.namespace)) if options.namespace else ["--ros-args"]
    except NamespaceError as error:
        raise NamespaceError(f"--namespace {options.namespace}: {error}") from None
    return [*chosen, *options.ros_args]
