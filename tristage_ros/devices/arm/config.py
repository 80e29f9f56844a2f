"""What the operator of an arm may choose."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from tristage_ros.devices.arm.chunks import ChunkLimits
from tristage_ros.devices.arm.guard import GuardConfig
from tristage_ros.devices.arm.trajectory import GripperTiming, MotionLimits


@dataclass(frozen=True)
class ControllerConfig:
    """Hold the settings of an arm under control."""

    rate: float = 100.0  # set-points per second
    speed_scale: float = 1.0  # 0..1 of the velocity limits
    dry_run: bool = False  # until it is enabled: work everything out, send nothing
    home: tuple[float, float, float, float, float, float] = (0.0, 1.2, -1.1, 0.0, 0.9, 0.0)  # rad
    enable_timeout: float = 3.0  # s for the motors to switch on
    link_timeout: float = 0.0  # s without a word from the policy that are a fault; 0: not watched
    motion: MotionLimits = field(default_factory=MotionLimits)
    gripper: GripperTiming = field(default_factory=GripperTiming)
    chunks: ChunkLimits = field(default_factory=ChunkLimits)
    guard: GuardConfig = field(default_factory=GuardConfig)

    def __post_init__(self) -> None:
        """Refuse paths that the guard would have to limit.

        Raises:
            ValueError: a value is out of range or contradicts the guard's limits.
        """
        if not 20.0 <= self.rate <= 200.0:
            raise ValueError(f"rate is 20 to 200 Hz, not {self.rate}")
        check_scale(self.speed_scale)
        if not 0.0 <= self.link_timeout < math.inf:
            raise ValueError(f"link_timeout is finite and not negative, not {self.link_timeout}")
        home, limits = np.asarray(self.home), np.asarray(self.guard.joint_limits)
        if home.shape != (6,) or not ((limits[:, 0] <= home) & (home <= limits[:, 1])).all():
            raise ValueError(f"home is six joint positions within {limits.tolist()} rad, not {self.home}")
        if self.motion.velocity > self.guard.max_velocity:
            raise ValueError(f"paths of {self.motion.velocity} rad/s exceed the guard's {self.guard.max_velocity}")
        if self.motion.total_acceleration > self.guard.max_acceleration:
            raise ValueError(
                f"paths and feed rate together accelerate by {self.motion.total_acceleration} rad/s^2, "
                f"more than the guard's {self.guard.max_acceleration}"
            )

    def in_words(self, firmware: str, speed_scale: float) -> list[str]:
        """Put the active limits in words, for the log."""
        guard, space = self.guard, self.guard.workspace
        joints = ", ".join(f"{low:.2f}..{high:.2f}" for low, high in guard.joint_limits)
        cameras = ", ".join(str(camera.position) for camera in guard.body.cameras)
        camera = f"wrist camera at {cameras} m of the flange" if cameras else "no camera"
        return [
            f"joints {joints} rad less {guard.position_margin} rad; kinematics of firmware {firmware}",
            f"paths up to {self.motion.velocity} rad/s, {self.motion.acceleration} rad/s^2 at speed scale "
            f"{speed_scale}; guard: {guard.max_velocity} rad/s, {guard.max_acceleration} rad/s^2",
            f"set-points at {self.rate:g} Hz, at most {guard.max_lead} rad ahead of the arm",
            f"tool from {space.lower} to {space.upper} m; no part of the arm in its base or in the table, which is "
            f"{space.table_height} m high; fingers {guard.body.tool.fingers_open} m open, {camera}",
            f"chunks: observation at most {self.chunks.max_age} s old, {self.chunks.max_distance} m per action, "
            f"{self.chunks.max_overrun} s late at most",
            f"feedback stale after {guard.stale_after} s, the path ends after {guard.gap_after} s, "
            f"fault after {guard.lost_after} s; set-points {guard.command_timeout} s",
            f"no word from the policy: fault after {self.link_timeout} s"
            if self.link_timeout
            else "policy: not watched",
        ]


def check_scale(scale: float) -> None:
    """Refuse a share of the velocity limits that is none.

    Raises:
        ValueError: not above 0 and at most 1.
    """
    if not 0.0 < scale <= 1.0:
        raise ValueError(f"speed_scale is above 0 and at most 1, not {scale}")
