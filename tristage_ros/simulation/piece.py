"""One thing that stands on the table, and where it may stand."""

from __future__ import annotations

import math
from dataclasses import dataclass

Range = tuple[float, float]


@dataclass(frozen=True)
class Piece:
    """Describe a body of the scene; one without a free joint keeps its place during an episode."""

    name: str  # of the body, and of its free joint
    xml: str  # the body as MJCF
    clearance: float  # m, radius around its origin that other pieces keep free
    height: float  # m, of its origin above the table
    x: Range  # m, base frame
    y: Range  # m, base frame
    yaw: Range = (-math.pi / 2, math.pi / 2)  # rad
    half_turn: bool = False  # yaw may be half a turn more
    mirrored: bool = False  # by chance it stands on the other side, its hinge changing sides, too
    hinge: str = ""  # its lid's or door's joint
    open_by: Range = (0.0, 0.0)  # rad, of that joint at first
    optional: bool = False  # left out where there is no room for it
    inside: str = ""  # name of an earlier piece at whose place it stands, whatever x and y say
