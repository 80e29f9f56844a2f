"""Which single joint explains best that cameras and joints disagree, and by how much it would have to be off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tristage_ros.perception.cloud import RgbdFrame
from tristage_ros.perception.surfaces import GATE, TABLE, ArmShape, Table, compare, looked_through, measured_points

Floats = NDArray[np.float64]

STRIDE = 8  # pixels: many positions are tried
TRIED = np.radians([3, 5, 8, 12, 18, 27, 40, 60, 85])  # rad to either side
FINER = (0.8, 0.9, 1.1, 1.2)  # shares of the best of those
LEAST = 60  # pixels of the arm in sight; a position that shows less explains nothing
BETTER = 0.7  # of the cost of no error that a joint has to get below
CLEARLY = 0.85  # of the next joint's cost


@dataclass(frozen=True)
class Lie:
    """Say which joint is off, and by how much."""

    joint: int  # 0 to 5
    angle: float  # rad that it really is beyond what it says


def lying_joint(
    front: RgbdFrame,
    wrist: RgbdFrame | None,
    shape: ArmShape,
    table: Table,
    given_up: Callable[[], bool] = lambda: False,
) -> Lie | None:
    """Return the joint that explains best what is seen; None where none does, two do as well, or it is `given_up`.

    It takes about a second. `shape` is the arm at the joints that it reports, `front` and `wrist` as `agreement.look`
    takes them.
    """

    def costs(joint: int, angles: Sequence[float]) -> list[tuple[float, float]]:
        return [(_cost(front, wrist, shape, table, angle * np.eye(6)[joint]), angle) for angle in angles]

    now = _cost(front, wrist, shape, table, np.zeros(6))
    best = []
    for joint in range(6):
        if given_up():
            return None
        coarse = min(costs(joint, [*TRIED, *-TRIED]))
        cost, angle = min(coarse, *costs(joint, [share * coarse[1] for share in FINER]))
        best.append((cost, joint, angle))
    (least, joint, angle), (second, *_) = sorted(best)[:2]
    return Lie(joint, angle) if least < BETTER * now and least < CLEARLY * second else None


def _cost(front: RgbdFrame, wrist: RgbdFrame | None, shape: ArmShape, table: Table, turn: Floats) -> float:
    """Return how badly the images fit an arm with its joints turned: 0 at best, at most 1 for each of three things."""
    bent, flange = shape.turned(turn)
    sight = compare(front, bent, table, STRIDE)
    arm = sight.of((sight.link > 1) & ~sight.hidden)
    if len(arm.points) < LEAST:
        return np.inf
    total = float(_badness(arm.errors, arm.missing).mean())
    if wrist is None:
        return total
    carried = replace(wrist, camera=wrist.camera.at(flange @ wrist.camera.pose))
    sight = compare(carried, bent, table, STRIDE)
    below = sight.of((sight.link == TABLE) & ~sight.hidden)
    if len(below.points) >= LEAST:
        total += float(_badness(below.errors, below.missing).mean())
    through = looked_through(measured_points(carried, STRIDE), front, STRIDE // 2)
    return total + (float(through.mean()) if len(through) else 0.0)


def _badness(errors: Floats, missing: NDArray[np.bool_]) -> Floats:
    return np.where(missing, 1.0, np.minimum(np.abs(errors) / GATE, 1.0))
