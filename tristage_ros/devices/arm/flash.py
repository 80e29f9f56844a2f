"""The limits that the arm's controller keeps in its flash for every motor, beside those of the manufacturer.

They are asked for by 0x472 and told by 0x473 (angles, speed) and 0x47C (acceleration). Arms have been seen whose limits
were 0, or the 0xFFFF of an empty flash, after an upgrade or a zero setting: such an arm takes every target for one
beyond its limit, or goes where the limits leave it. Nothing here sets a limit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tristage_ros.devices.arm.kinematics import JOINT_LIMITS, JOINT_MAX_VELOCITY

FACTORY_ACCELERATION = 5.0  # rad/s^2, every joint: the most that JointMaxAccConfig sets, piper_sdk 0.6.2
ANGLES, ACCELERATION = 1, 2  # what 0x472 asks for
_TOLERANCE = 2e-3  # rad: limits are kept in tenths of a degree
_SLOW = 0.5  # of the factory's speed or acceleration, below which an arm is seen to be slow

RESTORE = (
    "nothing here sets a limit. With the arm held, a person does: C_PiperInterface_V2."
    "ArmParamEnquiryAndConfig(param_setting=0x02) of piper_sdk (all limits as the manufacturer sets them); switch the "
    "arm off and on, and look again"
)


@dataclass(frozen=True)
class MotorLimits:
    """Hold what the flash says of one motor; NaN: not told."""

    lower: float = math.nan  # rad
    upper: float = math.nan  # rad
    velocity: float = math.nan  # rad/s
    acceleration: float = math.nan  # rad/s^2

    @property
    def told(self) -> bool:
        """Tell whether all of it was told."""
        return not np.isnan([self.lower, self.upper, self.velocity, self.acceleration]).any()

    def corrupt(self) -> str:
        """Return what no arm can have for a limit, "" if nothing."""
        wrong = []
        if self.upper - self.lower <= _TOLERANCE:
            wrong.append(_angles(self))
        if self.velocity <= 0.0 or self.velocity > 10.0 * JOINT_MAX_VELOCITY:
            wrong.append(f"{self.velocity:g} rad/s")
        if self.acceleration <= 0.0 or self.acceleration > 10.0 * FACTORY_ACCELERATION:
            wrong.append(f"{self.acceleration:g} rad/s²")
        return ", ".join(wrong)

    def unusual(self, joint: int) -> str:
        """Return which limits of joint 0..5 are narrower than the manufacturer's, and than what, "" if none."""
        lower, upper = JOINT_LIMITS[joint]
        less = []
        if self.lower > lower + _TOLERANCE or self.upper < upper - _TOLERANCE:
            less.append(f"{_angles(self)} instead of {math.degrees(lower):.1f} to {math.degrees(upper):.1f} deg")
        if self.velocity < _SLOW * JOINT_MAX_VELOCITY:
            less.append(f"{self.velocity:g} instead of {JOINT_MAX_VELOCITY:g} rad/s")
        if self.acceleration < _SLOW * FACTORY_ACCELERATION:
            less.append(f"{self.acceleration:g} instead of {FACTORY_ACCELERATION:g} rad/s²")
        return ", ".join(less)


def _angles(limits: MotorLimits) -> str:
    return f"{math.degrees(limits.lower):.1f} to {math.degrees(limits.upper):.1f} deg"


def corrupt(limits: tuple[MotorLimits, ...]) -> str:
    """Return which motors' limits in flash are none, "" if all that were told can be."""
    return "; ".join(f"motor {k + 1}: {wrong}" for k, motor in enumerate(limits) if (wrong := motor.corrupt()))


def unusual(limits: tuple[MotorLimits, ...]) -> str:
    """Return which motors' limits in flash are narrower than the manufacturer's, "" if none."""
    return "; ".join(f"motor {k + 1}: {less}" for k, motor in enumerate(limits) if (less := motor.unusual(k)))


class Flash:
    """Collect what the six motors tell of their limits."""

    def __init__(self) -> None:
        """Begin with nothing told."""
        self._limits: tuple[MotorLimits, ...] = (MotorLimits(),) * 6

    @property
    def limits(self) -> tuple[MotorLimits, ...]:
        """Return what was told so far, by motor."""
        return self._limits

    def missing(self) -> list[tuple[int, int]]:
        """Return what has not been told: motors, 1..6, and ANGLES or ACCELERATION."""
        known = [(motor.upper, motor.acceleration) for motor in self._limits]
        return [
            (k + 1, content)
            for k, each in enumerate(known)
            for content, value in zip((ANGLES, ACCELERATION), each, strict=True)
            if math.isnan(value)
        ]

    def take_angles(self, told: Any) -> None:
        """Take an answer 0x473, as the SDK decodes it: tenths of a degree, 0.001 rad/s."""
        self._take(
            int(told.motor_num),
            lower=math.radians(0.1 * told.min_angle_limit),
            upper=math.radians(0.1 * told.max_angle_limit),
            velocity=1e-3 * told.max_joint_spd,
        )

    def take_acceleration(self, told: Any) -> None:
        """Take an answer 0x47C, as the SDK decodes it: 0.01 rad/s^2."""
        self._take(int(told.joint_motor_num), acceleration=1e-2 * told.max_joint_acc)

    def _take(self, motor: int, **changes: float) -> None:
        self._limits = tuple(
            replace(limits, **changes) if k + 1 == motor else limits for k, limits in enumerate(self._limits)
        )
