"""Joint trajectories from a planner or a person, as waypoints, or a reason why not."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tristage_ros.devices.arm.following import Tolerances
from tristage_ros.devices.arm.guard import GuardConfig, RefusedError
from tristage_ros.devices.arm.trajectory import Waypoint

Floats = NDArray[np.float64]

MAX_POINTS = 2000
_LONGEST = 120.0  # s
_MAX_WAIT = 1.0  # s from now to `start`
_MAX_LATE = 0.5  # s from `start` to now
_MAX_CHANGE = 3.0  # rad, of one joint from one point to the next


@dataclass(frozen=True)
class JointPath:
    """Hold joint positions and when to be there."""

    start: float  # s, monotonic clock
    times: Floats  # [n] s since `start`
    position: Floats  # [n, 6] rad
    gripper: Floats | None = None  # [n] m, total opening; None: it stays as it is
    tolerances: Tolerances = field(default_factory=Tolerances)


class LateError(RefusedError):
    """Say that a path was to begin too long ago."""


def waypoints(path: JointPath, now: float, measured: Floats, opening: float, guard: GuardConfig) -> list[Waypoint]:
    """Return the waypoints of a path that are still to come.

    Args:
        path: as it was received.
        now: s, monotonic clock.
        measured: [6] rad, joints measured now.
        opening: m, what the gripper is asked for now.
        guard: gripper range.

    Raises:
        LateError: it was to begin too long ago.
        RefusedError: something else does not fit, all of it is in the past, or it is to begin later; the reason names
            the value.
    """
    _check(path, measured)
    low, high = guard.gripper_range
    grips = np.full(len(path.times), opening) if path.gripper is None else np.clip(path.gripper, low, high)
    if path.start - now > _MAX_WAIT:
        wait = path.start - now
        raise RefusedError(f"it begins {wait:.2f} s from now: send it when it is to begin, or set the clock")
    if now - path.start > _MAX_LATE:
        raise LateError(f"it was to begin {now - path.start:.2f} s ago: it would be joined midway")
    due = path.start + path.times
    ahead = np.flatnonzero(due > now)
    if not len(ahead):
        raise RefusedError(f"all {len(due)} points were due before now, the last {now - due[-1]:.2f} s ago")
    return [Waypoint(path.position[i].copy(), float(grips[i]), float(due[i])) for i in ahead]


def _check(path: JointPath, measured: Floats) -> None:
    n = len(path.times)
    if not 1 <= n <= MAX_POINTS:
        raise RefusedError(f"a trajectory has 1 to {MAX_POINTS} points, not {n}")
    if path.position.shape != (n, 6) or (path.gripper is not None and path.gripper.shape != (n,)):
        raise RefusedError(f"positions have shape {path.position.shape}; every point has six joints")
    numbers = [path.times, path.position.ravel(), path.gripper if path.gripper is not None else np.zeros(0)]
    if not np.isfinite(np.concatenate(numbers)).all() or not np.isfinite(path.start):
        raise RefusedError("a position or a time is not finite")
    if path.times[0] < 0.0 or (np.diff(path.times) <= 0.0).any() or path.times[-1] > _LONGEST:
        raise RefusedError(f"times grow from point to point and end within {_LONGEST} s")
    change = np.abs(np.diff(np.vstack([measured, path.position]), axis=0))
    if change.max() > _MAX_CHANGE:
        point, joint = np.unravel_index(change.argmax(), change.shape)
        raise RefusedError(
            f"point {point + 1}: joint {joint + 1} would turn {change.max():.2f} rad, more than {_MAX_CHANGE} at once"
        )
