"""Find the files that ship beside the code: configuration, launch files, message definitions, weights; read texts."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path

MINI = ("config", "checkpoints", "mini.safetensors")
MINI_CONTINUOUS = ("config", "checkpoints", "mini_continuous.safetensors")  # trained to be asked while the arm moves
RANDOM = "random"  # weights, for a look at everything but success


def resource(*parts: str) -> Path:
    """Return the path of a shipped file, such as `resource("config", "cameras.yaml")`.

    A checkout is looked at first, then `share/tristage_ros` of every prefix above the installed package.

    Raises:
        FileNotFoundError: it is in none of them.
    """
    parents = Path(__file__).resolve().parents
    roots = [parents[1], *(parent / "share" / "tristage_ros" for parent in parents)]
    for root in roots:
        path = root.joinpath(*parts)
        if path.exists():
            return path
    raise FileNotFoundError(
        f"{Path(*parts)} is not installed; looked below {parents[1]} and share/tristage_ros of every prefix above it"
    )


class PathError(argparse.ArgumentTypeError, ValueError):
    """Say why a text is no path; the message is one line for a person."""


def user_path(text: str | Path) -> Path:
    """Return the path that a person means, with ~ and variables as a shell would have them.

    No shell sees those of a launch argument, a file or `--out=~/x`.

    Raises:
        PathError: there is no such user or variable.
    """
    path = os.path.expandvars(os.path.expanduser(text))
    if path.startswith("~"):
        raise PathError(f"{text}: nobody is called {path.split('/')[0]}; write the path in full, or ./ before it")
    if unset := re.search(r"\$(\w+|\{\w+\})", path):
        raise PathError(f"{text}: the variable {unset[0]} is not set; write the path in full")
    return Path(path)


def find_checkpoint(name: str, continuous: bool = False) -> str | None:
    """Return the weights that a `checkpoint` setting means: empty the shipped mini, `random` none, else a path.

    `continuous`: of the shipped ones, that for continuous control.

    Raises:
        FileNotFoundError: there is nothing at the path.
    """
    if name == RANDOM:
        return None
    path = user_path(name)
    if name and not path.exists():
        raise FileNotFoundError(
            f"no checkpoint at {name}; give a .safetensors file, or a released model's run directory or a .pt in it"
        )
    return str(Path(os.path.abspath(path)) if name else resource(*(MINI_CONTINUOUS if continuous else MINI)))


def read_text(path: str | Path) -> str:
    """Return the text of a file that a person wrote.

    Raises:
        OSError: it cannot be read.
        ValueError: it is in another encoding; the message says where, and what to do, but not which file.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start + 1} is not UTF-8; save the file as UTF-8") from error
