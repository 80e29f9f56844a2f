"""What an observation is made of, and under which names a client sends it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tristage_ros.resources import read_text
from tristage_ros.words import one_line, shown
from tristage_ros.yaml_text import parse

LONGEST_NAME = 200  # characters


@dataclass(frozen=True)
class Entry:
    """Describe one entry of an observation to a client."""

    kind: str  # dtype and shape
    meaning: str  # with units and frames
    required: str = "yes"


ENTRIES = {
    "image": Entry("uint8 [H, W, 3]", "RGB of the camera that the policy looks through, H and W from 32 to 4096"),
    "points": Entry(
        "float32 or float64 [N, 3]",
        "m, in the frame of the robot's base; NaN is dropped and counted; at most 65536",
        "unless there is depth",
    ),
    "depth": Entry(
        "uint16, float32 or float64 [H, W]",
        "along the optical axis, aligned to the image, in units of depth_scale; 0, negative or NaN: not measured; "
        "beside points it tells the pruner what has moved",
        "unless there are points",
    ),
    "depth_scale": Entry("number", "m per unit of depth; 0.001 for uint16 and 1 for floats where it is left out", "no"),
    "intrinsics": Entry("4 numbers, or [3, 3]", "fx, fy, cx, cy, pixels of the image, or the camera matrix"),
    "camera_pose": Entry(
        "[4, 4]", "m, the camera's optical frame (x right, y down, z forward) in the frame of the robot's base"
    ),
    "state": Entry(
        "7 numbers",
        "tool x, y, z (m, frame of the robot's base), roll, pitch, yaw (rad, about its fixed axes), "
        "gripper 0 closed .. 1 open",
    ),
    "prompt": Entry("text", "what to do; another one than before clears the pruning state"),
    "reset": Entry("bool", "true clears the pruning state before this step", "no"),
}
CAN_BE_FIXED = ("depth_scale", "intrinsics", "camera_pose")


@dataclass(frozen=True)
class Names:
    """Say under which name a client sends each entry of an observation, and what of it is always the same."""

    of: Mapping[str, str] = field(
        default_factory=lambda: {entry: "prompt" if entry == "prompt" else f"observation/{entry}" for entry in ENTRIES}
    )
    fixed: Mapping[str, Any] = field(default_factory=dict)  # by entry, as a message would hold it

    def get(self, message: Mapping[str, Any], entry: str) -> Any:
        """Return an entry of a message, None where it is not there."""
        return message.get(self.of[entry], self.fixed.get(entry))

    def unknown(self, message: Mapping[str, Any]) -> list[str]:
        """Return which names of a message mean nothing here."""
        return sorted(one_line(name) for name in message.keys() - set(self.of.values()))


def load_names(path: Path) -> Names:
    """Read a YAML file of `entry: name that the client gives it`; what it leaves out keeps its name.

    Of `CAN_BE_FIXED` a number or a list is a value that the entry always has where a message does not give it.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is something else; the message names the file and what is wrong.
    """
    try:
        return _names(parse(read_text(path)) or {})
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _names(told: Any) -> Names:
    if not isinstance(told, dict):
        raise ValueError(f"it holds {shown(told)}, not names by entries: image: observation/front, and so on")
    names, fixed = dict(Names().of), {}
    for entry, value in told.items():
        if entry not in ENTRIES:
            raise ValueError(f"an observation has no {one_line(entry)}; it has {', '.join(ENTRIES)}")
        if isinstance(value, str) and 0 < len(value) <= LONGEST_NAME:
            names[entry] = value
        elif entry in CAN_BE_FIXED and isinstance(value, (int, float, list)):
            fixed[entry] = value
        else:
            kinds = "a name, or the value that it always has" if entry in CAN_BE_FIXED else "a name"
            raise ValueError(f"{entry}: {shown(value)} is to be {kinds}")
    if len(set(names.values())) < len(names):
        twice = next(name for name in names.values() if list(names.values()).count(name) > 1)
        raise ValueError(f"two entries are called {one_line(twice)}")
    return Names(names, fixed)
