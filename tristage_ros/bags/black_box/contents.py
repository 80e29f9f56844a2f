"""What goes into a black box, as it lies in the arm node's memory; needs no more than that node has anyway."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

RECEIVED, SENT = "/arm/from_can_bus", "/arm/to_can_bus"
SETPOINTS, JOINTS, STATUS, EVENTS = "/arm/setpoints", "/joint_states", "/arm/status", "/arm/events"
NAMES = (*(f"joint{i}" for i in range(1, 7)), "gripper")
FAULT, REQUEST = "fault", "request"  # events that a black box was written for
INFO, WARN, ERROR = 20, 30, 40  # levels of rcl_interfaces/Log
MOMENT = r"-\d{8}-\d{9}"  # in a file's name


class Event(NamedTuple):
    """Hold a line of text and when it was said, s on both clocks."""

    monotonic: float
    wall: float
    level: int  # INFO, WARN or ERROR
    kind: str  # "fault", "mode", "service", "parameter", "chunk", "trajectory" or "request"
    text: str


class Kept(NamedTuple):
    """Hold a message of the node."""

    monotonic: float  # s
    topic: str
    type_name: str
    data: bytes  # CDR


@dataclass
class Contents:
    """Hold all that goes into a black box, as it lies in memory."""

    path: Path
    keep: int  # files of this arm that may be there afterwards
    monotonic: float  # s, when it was taken, on both clocks
    wall: float
    channel: str
    frames: Sequence[bytes] = ()  # pieces of a ring
    ticks: Sequence[bytes] = ()
    events: Sequence[Event] = ()
    messages: Sequence[Kept] = ()
    parameters: dict[str, Any] = field(default_factory=dict)


def name(wall: float, namespace: str = "") -> str:
    """Return the file's name for a moment, s since 1970, in local time; `namespace`: the arm's."""
    milliseconds = round(wall * 1e3)
    moment = time.strftime("%Y%m%d-%H%M%S", time.localtime(milliseconds // 1000))
    return f"black-box{_of(namespace)}-{moment}{milliseconds % 1000:03d}.mcap"


def _of(namespace: str) -> str:
    return "".join(f"-{part}" for part in namespace.split("/") if part)


def trouble(folder: Path) -> str:
    """Make the folder; return why nothing can be written there, "" when something can."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return f"{folder} cannot be made: {error.strerror or error}"
    return "" if os.access(folder, os.W_OK | os.X_OK) else f"{folder} may not be written to"
