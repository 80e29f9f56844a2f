"""Find the files that ship beside the code: configuration, launch files, message definitions, weights; read texts."""

from __future__ import annotations

import os
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


def find_checkpoint(name: str, continuous: bool = False) -> str | None:
    """Return the weights that a `checkpoint` setting means: empty the shipped mini, `random` none, else a path.

    `continuous`: of the shipped ones, that for continuous control.

    Raises:
        FileNotFoundError: there is nothing at the path.
    """
    if name == RANDOM:
        return None
    if name and not Path(name).exists():
        raise FileNotFoundError(
            f"no checkpoint at {name}; give a .safetensors file, or a released model's run directory or a .pt in it"
        )
    return str(Path(os.path.abspath(name)) if name else resource(*(MINI_CONTINUOUS if continuous else MINI)))


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
