"""What the arm reports about itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TEACHING = 2  # control mode of frame 0x2A1, byte 0
EMERGENCY_STOP = 1  # arm status, see below

ARM_STATUS = (  # frame 0x2A1, byte 1
    "normal",
    "emergency stop",
    "no solution",
    "singularity",
    "target angle beyond its limit",
    "joint communication error",
    "joint brake not released",
    "collision",
    "overspeed while dragged",
    "joint error",
    "other error",
    "teaching: recording",
    "teaching: playing",
    "teaching: paused",
    "controller too hot",
    "brake resistor too hot",
)


@dataclass(frozen=True)
class ArmFeedback:
    """Hold one consistent sample of the arm's feedback."""

    stamp: float  # s, monotonic clock: when the joint positions had all arrived
    position: NDArray[np.float64]  # [6] rad
    velocity: NDArray[np.float64]  # [6] rad/s
    gripper: float  # m, total opening
    motors_enabled: tuple[bool, ...]  # 6
    control_mode: int
    arm_status: int  # index into ARM_STATUS
    error_code: int  # high byte: joint limit bits, low byte: joint communication bits
    frames_per_second: float  # feedback frames on the bus

    @property
    def follows_targets(self) -> bool:
        """Tell whether the arm is in a state in which it acts on joint targets at all."""
        return all(self.motors_enabled) and self.arm_status != EMERGENCY_STOP and self.control_mode != TEACHING

    def complaint(self, motors_off: bool = True) -> str:
        """Put in words what keeps the arm from following targets; "" when nothing does.

        Motors that are off count only if `motors_off`.
        """
        if self.arm_status != 0:
            known = self.arm_status < len(ARM_STATUS)
            return f"the arm reports {ARM_STATUS[self.arm_status] if known else f'status {self.arm_status}'}"
        if self.error_code != 0:
            return f"the arm reports error code 0x{self.error_code:04x}"
        if self.control_mode == TEACHING:
            return "the arm is in teaching mode"
        if motors_off and not all(self.motors_enabled):
            off = [str(i + 1) for i, enabled in enumerate(self.motors_enabled) if not enabled]
            return f"motor {', '.join(off)} {'is' if len(off) == 1 else 'are'} off"
        return ""
