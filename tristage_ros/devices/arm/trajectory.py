"""Joint-space paths that can be slowed down, stopped and replaced at any time without a jump; and the one under way.

A path is a chain of state-to-state motions (Ruckig, Berscheid and Kröger 2021), each synchronised over the joints and,
from rest to rest, a straight line in joint space. Its own time runs at the feed rate, 0..1 of real time, which changes
with bounded slope: a speed limit, waiting for the arm and stopping along the path are all a lower feed rate.
`Execution` is a chunk on its path, with the gripper at its waypoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import ruckig
from numpy.typing import ArrayLike, NDArray

from tristage_ros.devices.arm.tool_speed import ToolSpeed, eased

Floats = NDArray[np.float64]

_CHECK_STEP = 0.02  # s of path time between the positions at which a path is checked
_PASSING_SHARES = (1.0, 0.5, 0.25, 0.0)  # of the wished velocity at a waypoint, tried in turn
_DETOUR = 1e-3  # rad beyond start and waypoint that a joint may go to pass with that velocity


@dataclass(frozen=True)
class MotionLimits:
    """Bound the motion of every joint along a path at feed rate 1."""

    velocity: float = 1.5  # rad/s
    acceleration: float = 4.0  # rad/s^2
    feed_slope: float = 3.0  # 1/s: from full speed to rest in a third of a second

    def __post_init__(self) -> None:
        """Refuse limits that stop the arm for ever.

        Raises:
            ValueError: a limit is not positive and finite.
        """
        if not all(0.0 < limit < np.inf for limit in (self.velocity, self.acceleration, self.feed_slope)):
            raise ValueError(f"motion limits are positive and finite, not {self}")

    @property
    def total_acceleration(self) -> float:
        """Return the acceleration, rad/s^2, that path and changing feed rate reach together."""
        return self.acceleration + self.feed_slope * self.velocity


@dataclass(frozen=True)
class Waypoint:
    """Hold one joint position to pass, and what the gripper does there."""

    position: Floats  # [6] rad
    gripper: float  # m, total opening from here on
    due: float | None  # s, when to be there; None: a key frame, where the path ends until `proceed`


@dataclass(frozen=True)
class Path:
    """Hold a planned path that has not begun."""

    waypoints: tuple[Waypoint, ...]
    motions: tuple[Any, ...]  # one ruckig.Trajectory to each waypoint
    feed: float  # feed rate to begin with
    start: tuple[Floats, Floats]  # [6] rad and rad/s of the target that it was planned from
    passing: Floats  # [6] rad/s, in path time, at the first waypoint
    feeds: tuple[Floats, ...] = ()  # [n] highest feed rates at even times along each motion; none: 1 everywhere

    def positions(self, motions: int | None = None) -> Floats:
        """Return positions [n, 6] rad along the path, the first of them its start, close enough to check it.

        `motions`: only along so many of its first motions.
        """
        return np.array(
            [
                motion.at_time(time)[0]
                for motion in self.motions[:motions]
                for time in np.linspace(0.0, motion.duration, 2 + int(motion.duration / _CHECK_STEP))
            ]
        )


class Trajectory:
    """Move a joint target along paths; position and velocity are continuous whatever is asked for."""

    def __init__(self, limits: MotionLimits, position: ArrayLike, tool_speed: ToolSpeed | None = None) -> None:
        """Begin at rest at `position`, [6] rad."""
        self.limits = limits
        self._tool_speed = tool_speed  # None: not looked at
        self.position: Floats = np.array(position, dtype=float)  # [6] rad
        self.velocity: Floats = np.zeros(6)  # rad/s
        self.feed = 0.0
        self.index = 0  # of the waypoint that the path is heading for
        self._path: Path | None = None
        self._time = 0.0  # path time since the last waypoint
        self._waiting = False

    @property
    def moving(self) -> bool:
        """Tell whether there is a path that has not been finished or dropped."""
        return self._path is not None

    @property
    def waiting(self) -> Waypoint | None:
        """Return the key frame at which the path waits for `proceed`, None when it does not."""
        return self._path.waypoints[self.index] if self._path and self._waiting else None

    def plan(self, waypoints: Sequence[Waypoint], now: float, feed: float) -> Path:
        """Plan a path from the present state; `feed` is the feed rate that it is expected to run at.

        Waypoints with a due time are passed at it where the limits allow, else as soon as they allow.

        Raises:
            ValueError: no waypoints, or one is not finite.
        """
        if not waypoints or not all(np.isfinite(waypoint.position).all() for waypoint in waypoints):
            raise ValueError("a path needs at least one waypoint, all of them finite")
        start_feed, velocity = self._beginning(feed)
        start, first = (self.position, self.velocity), np.zeros(6)
        position, end, motions, limits = self.position, now, [], []
        for waypoint, passing in zip(waypoints, self._passing_velocities(waypoints, now, start_feed), strict=True):
            slack = 0.0 if waypoint.due is None else (waypoint.due - end) * start_feed
            passing = self._within_reach(passing, velocity, waypoint.position - position)
            for share in _PASSING_SHARES:
                motion = self._motion(position, velocity, waypoint.position, share * passing, slack)
                if not passing.any() or _detour(motion, position, waypoint.position) < _DETOUR:
                    break
            motions.append(motion)
            first = share * passing if len(motions) == 1 else first
            position, velocity = waypoint.position, share * passing
            limits.append(self._feeds(motion))
            end += self._lasts(motion, limits[-1], start_feed)
        feeds = eased(limits, [motion.duration for motion in motions], self.limits.feed_slope)
        return Path(tuple(waypoints), tuple(motions), start_feed, start, first, feeds)

    def rebased(self, path: Path, now: float, feed: float) -> Path:
        """Return a path that was planned a moment ago, begun from the present state: only its first motion is new.

        Raises:
            ValueError: there is no such motion.
        """
        if np.array_equal(path.start[0], self.position) and np.array_equal(path.start[1], self.velocity):
            return path
        start_feed, velocity = self._beginning(feed)
        goal = path.waypoints[0]
        slack = 0.0 if goal.due is None else (goal.due - now) * start_feed
        motion = self._motion(self.position, velocity, goal.position, path.passing, slack)
        motions, limits = (motion, *path.motions[1:]), (self._feeds(motion), *path.feeds[1:])
        feeds = eased(limits[:2], [m.duration for m in motions[:2]], self.limits.feed_slope)
        start = (self.position, self.velocity)
        return replace(path, motions=motions, feed=start_feed, start=start, feeds=(feeds[0], *limits[1:]))

    def _beginning(self, feed: float) -> tuple[float, Floats]:
        """Return the feed rate that a path begins with, and the present velocity, [6] rad/s, in its time."""
        start_feed = max(feed, self.feed if self.moving else 0.0)
        velocity = self.velocity / start_feed if start_feed > 0.0 else np.zeros(6)
        return start_feed, np.clip(velocity, -self.limits.velocity, self.limits.velocity)

    def _feeds(self, motion: Any) -> Floats:
        """Return the highest feed rates [n] at even times along a motion."""
        return np.full(2, np.inf) if self._tool_speed is None else self._tool_speed.limits(motion)

    def _lasts(self, motion: Any, limits: Floats, feed: float) -> float:
        """Return how long, s, a motion takes at feed rate `feed` or what is less of `limits` [n]."""
        share = np.minimum(limits, max(feed, 1e-3))
        return float(motion.duration * np.mean(1.0 / share))

    def follow(self, path: Path) -> None:
        """Leave the present path for one that was planned from the present state."""
        self._path, self.feed, self.index, self._time, self._waiting = path, path.feed, 0, 0.0, False

    def advance(self, step: float, feed: float) -> list[Waypoint]:
        """Move on by `step` s towards feed rate `feed`, 0..1; return the waypoints that were passed or reached."""
        path = self._path
        if path is None:
            return []
        slope = self.limits.feed_slope * step
        feed = min(feed, self._highest_feed(path, step))
        before, self.feed = self.feed, float(np.clip(feed, self.feed - slope, self.feed + slope))
        if self._waiting:
            return []
        self._time += step * (before + self.feed) / 2
        reached = []
        while self._time >= path.motions[self.index].duration:
            reached.append(path.waypoints[self.index])
            if reached[-1].due is None or self.index + 1 == len(path.motions):
                self._arrive(path)
                return reached
            self._time -= path.motions[self.index].duration
            self.index += 1
        position, velocity, _ = path.motions[self.index].at_time(self._time)
        self.position, self.velocity = np.array(position), np.array(velocity) * self.feed
        return reached

    def _highest_feed(self, path: Path, step: float) -> float:
        """Return the feed rate that keeps the tool's speed from now to `step` s on."""
        limits, duration = path.feeds[self.index], path.motions[self.index].duration
        if self._waiting or duration <= 0.0:
            return np.inf
        now = self._time / duration * (len(limits) - 1)
        soon = (self._time + step * self.feed) / duration * (len(limits) - 1)
        there: float = limits[int(now) : int(np.ceil(soon)) + 1].min(initial=np.inf)
        return there

    def proceed(self) -> None:
        """Go on from the key frame at which the path waits."""
        if self._path is None or not self._waiting:
            return
        self._waiting, self._time = False, 0.0
        self.index += 1
        if self.index == len(self._path.waypoints):
            self.drop()

    def pause(self) -> None:
        """Take the target to stand where it is, as after a break in sending; the path goes on from there."""
        self.feed, self.velocity = 0.0, np.zeros(6)

    def drop(self) -> None:
        """Forget the rest of the path; call it once the feed rate is 0 or the path waits."""
        self._path, self.velocity, self._waiting = None, np.zeros(6), False

    def _arrive(self, path: Path) -> None:
        waypoint = path.waypoints[self.index]
        self.position, self.velocity = waypoint.position.copy(), np.zeros(6)
        if waypoint.due is None:
            self._waiting = True
        else:
            self.drop()

    def _passing_velocities(self, waypoints: Sequence[Waypoint], now: float, feed: float) -> list[Floats]:
        """Return the velocity [6], in path time, at every waypoint: 0 at key frames, at the end, where a joint turns.

        Elsewhere the smaller of the mean velocities before and after, so that no joint overshoots.
        """
        velocities = [np.zeros(6) for _ in waypoints]
        position, time = self.position, now
        for i, (waypoint, after) in enumerate(pairwise(waypoints)):
            if waypoint.due is None or after.due is None or feed <= 0.0:
                continue
            arriving = (waypoint.position - position) / max((waypoint.due - time) * feed, 1e-3)
            leaving = (after.position - waypoint.position) / max((after.due - waypoint.due) * feed, 1e-3)
            smaller = np.where(np.abs(arriving) < np.abs(leaving), arriving, leaving)
            top = self.limits.velocity
            velocities[i] = np.where(arriving * leaving > 0.0, np.clip(smaller, -top, top), 0.0)
            position, time = waypoint.position, waypoint.due
        for i in reversed(range(len(waypoints) - 1)):
            distance = waypoints[i + 1].position - waypoints[i].position
            velocities[i] = self._within_reach(velocities[i], velocities[i + 1], distance)
        return velocities

    def _within_reach(self, wish: Floats, other: Floats, distance: Floats) -> Floats:
        """Return `wish` lowered to what the acceleration makes of the velocity at the other end of a distance [6]."""
        ahead = np.where(other * distance > 0.0, other, 0.0)
        reach = np.sqrt(np.square(ahead) + 2.0 * self.limits.acceleration * np.abs(distance))
        lowered: Floats = np.clip(wish, -reach, reach)
        return lowered

    def _motion(self, start: Floats, velocity: Floats, goal: Floats, passing: Floats, duration: float) -> Any:
        wish = ruckig.InputParameter(6)
        wish.current_position, wish.current_velocity = start.tolist(), velocity.tolist()
        wish.target_position, wish.target_velocity = goal.tolist(), passing.tolist()
        wish.max_velocity, wish.max_acceleration = [self.limits.velocity] * 6, [self.limits.acceleration] * 6
        wish.synchronization = ruckig.Synchronization.Phase
        if duration > 0.0:
            wish.minimum_duration = duration
        motion = ruckig.Trajectory(6)
        result = ruckig.Ruckig(6).calculate(wish, motion)
        if result not in (ruckig.Result.Working, ruckig.Result.Finished):
            raise ValueError(f"no motion from {start.tolist()} to {goal.tolist()} rad: {result}")
        return motion


def _detour(motion: Any, start: Floats, goal: Floats) -> float:
    """Return the farthest, rad, that any joint of a motion goes beyond the interval between start and goal."""
    low, high = np.minimum(start, goal), np.maximum(start, goal)
    extrema = np.array([(bound.min, bound.max) for bound in motion.position_extrema])
    return float(max((low - extrema[:, 0]).max(), (extrema[:, 1] - high).max()))


# One chunk under way: the path, and the gripper at its waypoints.

_SAME_OPENING = 1e-3  # m between gripper targets that need no time
_ARRIVED = 0.005  # rad between measured joints and key frame, about 2 mm at the tool, at which the arm is there
_NEAR = 0.020  # rad, likewise for one that has come to rest
_AT_REST = 2e-3  # rad that a joint at rest may move
_RESTED = 0.1  # s at rest, after which an arm that is near is there


@dataclass(frozen=True)
class GripperTiming:
    """Say how long a key frame waits for arm and gripper."""

    settle: float = 1.0  # s at rest elsewhere, after which the arm is taken not to come any nearer
    travel: float = 0.6  # s for the gripper, unless it is measured at its target before

    def __post_init__(self) -> None:
        """Refuse times that cannot pass.

        Raises:
            ValueError: a time is negative or not finite.
        """
        if not all(0.0 <= time < np.inf for time in (self.settle, self.travel)):
            raise ValueError(f"gripper timing is finite and not negative, not {self}")


class Execution:
    """Carry out paths: joint target and gripper target at every moment.

    At a key frame (a waypoint without due time) the gripper acts once the arm is there, and the path goes on once the
    gripper has had its time. An arm that comes to rest elsewhere ends the path (`short`), and the gripper does nothing.
    At a waypoint with a due time it acts in passing.
    """

    def __init__(
        self,
        limits: MotionLimits,
        timing: GripperTiming,
        position: NDArray[np.float64],
        gripper: float,
        tool_speed: ToolSpeed | None = None,
    ) -> None:
        """Begin at rest at `position`, [6] rad, with the gripper target `gripper`, m."""
        self.trajectory = Trajectory(limits, position, tool_speed)
        self.gripper = gripper
        self.short = ""  # why the path cannot be finished
        self._timing = timing
        self._rest = (np.full(6, np.inf), 0.0)  # where the joints have been, and for how long, s
        self._waited = 0.0  # s at the present key frame, for the arm or for the gripper
        self._acting = False  # the gripper, at the present key frame

    @property
    def busy(self) -> bool:
        """Tell whether a path is under way."""
        return self.trajectory.moving

    @property
    def coasting(self) -> bool:
        """Tell whether the target moves without a path: behind a leader, or to rest after one."""
        return not self.trajectory.moving and bool(self.trajectory.velocity.any())

    def start(self, path: Path) -> None:
        """Begin a path that was planned from the present state, instead of the present one."""
        self.trajectory.follow(path)
        self.short = ""
        self._waited, self._acting = 0.0, False
        self._rest = (np.full(6, np.inf), 0.0)

    def stand(self, position: NDArray[np.float64]) -> None:
        """Forget the path, and stand at `position`, [6] rad."""
        self.trajectory.drop()
        self.trajectory.pause()
        self.trajectory.position = position.copy()

    def advance(self, step: float, feed: float, measured: NDArray[np.float64], opening: float) -> NDArray[np.float64]:
        """Move on by `step` s towards feed rate `feed`, given measured joints [6] rad and opening m; return the target.

        The target is [6] rad; `gripper` holds the opening to ask for. Measured joints are those that the arm would have
        if it did not hang below its targets.
        """
        place, rested = self._rest
        still = bool(np.abs(measured - place).max() <= _AT_REST)
        self._rest = (place, rested + step) if still else (measured.copy(), 0.0)
        for waypoint in self.trajectory.advance(step, feed):
            if waypoint.due is not None:
                self.gripper = waypoint.gripper
        key_frame = self.trajectory.waiting
        if key_frame is not None and feed > 0.0:
            self._wait(key_frame, step, measured, opening)
        return self.trajectory.position

    def _wait(self, key_frame: Waypoint, step: float, measured: NDArray[np.float64], opening: float) -> None:
        self._waited += step
        if not self._acting:
            error, rested = np.abs(measured - key_frame.position), self._rest[1]
            if error.max() > _NEAR and rested >= self._timing.settle:
                joint = int(error.argmax())
                self.short = f"not reached, joint {joint + 1} {error[joint]:.3f} rad short"
                self.trajectory.drop()
            if error.max() > _ARRIVED and not (error.max() <= _NEAR and rested >= _RESTED):
                return
            needs_time = abs(key_frame.gripper - self.gripper) > _SAME_OPENING
            self.gripper, self._waited, self._acting = key_frame.gripper, 0.0, True
            if needs_time:
                return
            self._waited = self._timing.travel
        if abs(opening - self.gripper) <= _SAME_OPENING or self._waited >= self._timing.travel:
            self._waited, self._acting = 0.0, False
            self.trajectory.proceed()
