"""How a joint path goes: its progress, how far joints may be from their targets, and how it ended."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from tristage_ros.devices.arm.trajectory import Waypoint

Floats = NDArray[np.float64]

_GOAL = 0.05  # rad from its target at which a joint counts as there; under load it hangs by up to 0.03
_LEEWAY = 1.0  # s that the joints may need after their targets
_AT_REST = 2e-3  # rad that a joint at rest may move
_RESTED = 0.1  # s at rest, after which an arm that is near enough is there


def _unlimited() -> Floats:
    return np.full(6, math.inf)


@dataclass(frozen=True)
class Tolerances:
    """Bound how far joints and gripper may be from their targets; infinite: as far as the guard lets them."""

    path: Floats = field(default_factory=_unlimited)  # [6] rad, on the way
    path_velocity: Floats = field(default_factory=_unlimited)  # [6] rad/s, likewise
    goal: Floats = field(default_factory=lambda: np.full(6, _GOAL))  # [6] rad, at the end
    goal_velocity: Floats = field(default_factory=_unlimited)  # [6] rad/s, likewise
    goal_gripper: float = math.inf  # m, likewise; it may hold something
    leeway: float = _LEEWAY  # s from when the targets are at the end until the joints have to be


@dataclass(frozen=True)
class Tracked:
    """Hold targets and measured joints of one moment."""

    stamp: float  # s, monotonic clock
    index: int  # of the point that the targets are heading for, or are at, among those that were sent
    target: Floats  # [6] rad
    target_velocity: Floats  # [6] rad/s
    target_gripper: float  # m
    position: Floats  # [6] rad, measured
    velocity: Floats  # [6] rad/s, measured
    gripper: float  # m, measured


class Ended(Enum):
    """Name how a path ended."""

    REACHED = "reached"
    ABORTED = "aborted"
    OFF_PATH = "off the path"
    SHORT_OF_GOAL = "short of the goal"


class Following:
    """Follow one joint path: under way until `ended` says how it ended, and `reason` why."""

    def __init__(self, start: float, waypoints: Sequence[Waypoint], tolerances: Tolerances, sent: int) -> None:
        """Begin to follow a path along `waypoints`, the last of `sent` points; its time 0 is `start`, s, monotonic."""
        self.start, self.points, self.dropped = start, len(waypoints), sent - len(waypoints)
        self.ended: Ended | None = None
        self.reason = ""
        self.newest: Tracked | None = None
        self._goal, self._tolerances = waypoints[-1], tolerances
        self._arrived = math.inf  # s, monotonic clock, when the targets were at the end
        self._rest = (_unlimited(), math.inf)  # where the joints are since when, s, monotonic clock

    def end(self, how: Ended, reason: str) -> None:
        """Note how it ended, if it was under way."""
        if self.ended is None:
            self.reason, self.ended = reason, how

    def look(self, now: Tracked, busy: bool) -> str:
        """Judge one moment, `busy` while the targets are on their way; return why the path is to be given up, or ""."""
        self.newest = now
        if self.ended is not None:
            return ""
        if busy:
            if off := self._off_path(now):
                self.end(Ended.OFF_PATH, off)
            return off
        self._arrived = min(self._arrived, now.stamp)
        if np.abs(now.position - self._rest[0]).max() > _AT_REST:
            self._rest = (now.position.copy(), now.stamp)
        late = now.stamp - self._arrived > self._tolerances.leeway
        short = self._short_of_goal(now)
        if short and late:
            self.end(Ended.SHORT_OF_GOAL, short)
            return short
        if not short and (late or now.stamp - self._rest[1] >= _RESTED):
            self.end(Ended.REACHED, "")
        return ""

    def _off_path(self, now: Tracked) -> str:
        allowed = self._tolerances
        return _beyond(now.position, now.target, allowed.path, "rad", "path_tolerance") or _beyond(
            now.velocity, now.target_velocity, allowed.path_velocity, "rad/s", "path_tolerance"
        )

    def _short_of_goal(self, now: Tracked) -> str:
        allowed = self._tolerances
        if words := _beyond(now.position, self._goal.position, allowed.goal, "rad", "goal_tolerance"):
            return words
        if words := _beyond(now.velocity, np.zeros(6), allowed.goal_velocity, "rad/s", "goal_tolerance"):
            return words
        off = abs(now.gripper - self._goal.gripper)
        if off <= allowed.goal_gripper:
            return ""
        return (
            f"gripper is at {now.gripper:.4f} m instead of {self._goal.gripper:.4f}, "
            f"off by {off:.4f}, more than {allowed.goal_gripper:g} of goal_tolerance"
        )


def _beyond(actual: Floats, wished: Floats, allowed: Floats, unit: str, name: str) -> str:
    """Return which joint is the farthest beyond what is allowed, "" when none is; all [6]."""
    error = np.abs(actual - wished)
    if not (error > allowed).any():
        return ""
    k = int(np.argmax(error - allowed))
    does = "is at" if unit == "rad" else "turns at"
    return (
        f"joint {k + 1} {does} {actual[k]:.3f} {unit} instead of {wished[k]:.3f}, "
        f"off by {error[k]:.3f}, more than {allowed[k]:g} of {name}"
    )
