"""The next set-point of an arm that is led: behind joints or along a velocity of the tool, and to rest.

A path is planned once it is known. What leads is known only up to now, so here one step is taken at a time: towards
where the leader is, as fast as it goes and a little faster the farther away, within the limits of any path.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tristage_ros.devices.arm.guard import GuardConfig
from tristage_ros.devices.arm.trajectory import MotionLimits
from tristage_ros.devices.arm.twist import joint_velocity
from tristage_ros.devices.arm.values import Led

Floats = NDArray[np.float64]

STILL = 1e-4  # rad/s
_STIFFNESS = 15.0  # 1/s, of the distance that is left
_BRAKES = 0.7  # of the acceleration that braking is planned with
_SMOOTH, _SMOOTH_SPEED = 0.02, 0.05  # s


@dataclass
class Goal:
    """Follow where a leader is, less its noise; stamps are s on the monotonic clock."""

    stamp: float
    position: Floats  # [6] rad
    velocity: Floats  # [6] rad/s

    def take(self, stamp: float, position: Floats) -> None:
        """Take where it is at a later time."""
        passed = stamp - self.stamp
        if passed <= 0.0:
            return
        speed = (position - self.position) / (passed + _SMOOTH)
        self.velocity = self.velocity + (1.0 - math.exp(-passed / _SMOOTH_SPEED)) * (speed - self.velocity)
        self.position = self.position + (1.0 - math.exp(-passed / _SMOOTH)) * (position - self.position)
        self.stamp = stamp

    def at(self, now: float, period: float) -> Floats:
        """Return where it is by now, [6] rad, if it was heard within `period` s; else where it was by then."""
        place: Floats = self.position + self.velocity * min(max(now - self.stamp, 0.0) + _SMOOTH, period + _SMOOTH)
        return place


class Pursuit:
    """Choose velocities, [6] rad/s, that bring an arm behind its leader within the limits of joints and paths."""

    def __init__(self, motion: MotionLimits, guard: GuardConfig, dh_is_offset: bool) -> None:
        """Take the limits of one arm."""
        limits = np.array(guard.joint_limits)
        self._lower, self._upper = limits[:, 0] + guard.position_margin, limits[:, 1] - guard.position_margin
        self._acceleration = motion.acceleration
        self._dh_is_offset, self._tcp = dh_is_offset, guard.body.tool.tcp

    def within(self, position: Floats) -> Floats:
        """Return joints, [6] rad, at their limits where they are beyond."""
        within: Floats = np.clip(position, self._lower, self._upper)
        return within

    def towards(
        self, asked: Floats, going: Floats, position: Floats, velocity: Floats, top: float, step: float
    ) -> Floats:
        """Return the velocity after the next step of an arm that follows joints.

        Args:
            asked: [6] rad, where they are, perhaps beyond the limits.
            going: [6] rad/s, how they move.
            position: [6] rad, of the arm's last set-point.
            velocity: [6] rad/s, likewise.
            top: rad/s, the fastest that a joint may turn now.
            step: s.
        """
        goal = self.within(asked)
        left = goal - position
        braking = np.sqrt(2.0 * _BRAKES * self._acceleration * np.abs(left))
        nearing = np.sign(left) * np.minimum(_STIFFNESS * np.abs(left), braking)
        wished = np.clip(np.where(goal == asked, going, 0.0) + nearing, -top, top)
        change = self._acceleration * step
        wish: Floats = velocity + np.clip(wished - velocity, -change, change)
        return np.where(np.abs(wish) < STILL, 0.0, wish) if np.abs(wished).max() < STILL else wish

    def along(self, led: Led, position: Floats, velocity: Floats, top: float, step: float) -> tuple[Floats, int]:
        """Return the velocity after the next step of an arm whose tool is led, as `towards`.

        No joint changes the tool's direction for a limit of its own: all go slower.

        Returns:
            The velocity, and which joint, 1..6, is at its limit and keeps the tool from going on; 0: none.
        """
        wished = joint_velocity(led, position, self._dh_is_offset, self._tcp)
        room = np.maximum(np.where(wished > 0.0, self._upper - position, position - self._lower), 0.0)
        braking = np.minimum(_STIFFNESS * room, np.sqrt(2.0 * _BRAKES * self._acceleration * room))
        shares = np.minimum(top, braking) / np.maximum(np.abs(wished), 1e-9)
        joint = int(shares.argmin())
        change = min(1.0, float(shares[joint])) * wished - velocity
        most = self._acceleration * step
        wish: Floats = velocity + change * min(1.0, most / max(float(np.abs(change).max()), 1e-9))
        return wish, joint + 1 if shares[joint] < 0.1 and braking[joint] < top else 0

    def rest(self, position: Floats, velocity: Floats) -> Floats:
        """Return where an arm that is braked from now on comes to rest, [6] rad."""
        there: Floats = position + velocity * (np.abs(velocity).max() / (2 * self._acceleration))
        return there

    def braked(self, step: float, position: Floats, velocity: Floats) -> tuple[Floats, Floats]:
        """Return the next set-point and velocity of an arm that comes to rest along its way."""
        speed = float(np.abs(velocity).max())
        share = max(0.0, speed - self._acceleration * step) / speed if speed > 0.0 else 0.0
        share = share if share * speed > STILL else 0.0
        return position + velocity * (1.0 + share) / 2 * step, velocity * share
