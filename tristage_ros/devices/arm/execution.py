"""One chunk under way: the path, and the gripper at its waypoints."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tristage_ros.devices.arm.trajectory import MotionLimits, Path, Trajectory, Waypoint

_SAME_OPENING = 1e-3  # m between gripper targets that need no time
_ARRIVED = 0.005  # rad between measured joints and key frame, about 2 mm at the tool, at which the arm is there


@dataclass(frozen=True)
class GripperTiming:
    """Say how long a key frame waits for arm and gripper."""

    settle: float = 0.5  # s at most for the arm to catch up with its target
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
    gripper has had its time. At a waypoint with a due time it acts in passing.
    """

    def __init__(
        self, limits: MotionLimits, timing: GripperTiming, position: NDArray[np.float64], gripper: float
    ) -> None:
        """Begin at rest at `position`, [6] rad, with the gripper target `gripper`, m."""
        self.trajectory = Trajectory(limits, position)
        self.gripper = gripper
        self._timing = timing
        self._waited = 0.0  # s at the present key frame, for the arm or for the gripper
        self._acting = False  # the gripper, at the present key frame

    @property
    def busy(self) -> bool:
        """Tell whether a path is under way."""
        return self.trajectory.moving

    def start(self, path: Path) -> None:
        """Begin a path that was planned from the present state, instead of the present one."""
        self.trajectory.follow(path)
        self._waited, self._acting = 0.0, False

    def advance(self, step: float, feed: float, measured: NDArray[np.float64], opening: float) -> NDArray[np.float64]:
        """Move on by `step` s towards feed rate `feed`, given measured joints [6] rad and opening m; return the target.

        The target is [6] rad; `gripper` holds the opening to ask for.
        """
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
            error = np.abs(measured - key_frame.position).max()
            if error > _ARRIVED and self._waited < self._timing.settle:
                return
            needs_time = abs(key_frame.gripper - self.gripper) > _SAME_OPENING
            self.gripper, self._waited, self._acting = key_frame.gripper, 0.0, True
            if needs_time:
                return
            self._waited = self._timing.travel
        if abs(opening - self.gripper) <= _SAME_OPENING or self._waited >= self._timing.travel:
            self._waited, self._acting = 0.0, False
            self.trajectory.proceed()
