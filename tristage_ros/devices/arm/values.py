"""The values that go in and out of the arm: what it reports about itself, what it is asked for, and its state.

Frame numbers in the comments are those of the Piper's CAN bus; stamps are s on the arm's clock (`clock`),
which is the monotonic one but for an emulated arm whose time is slower.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag

import numpy as np
from numpy.typing import NDArray

from tristage_ros.devices.arm.smoothness import Smoothness

CONTROL_MODES = (  # frame 0x2A1, byte 0
    "standby",
    "CAN control",
    "teaching",
    "Ethernet control",
    "Wi-Fi control",
    "remote control",
    "leading another arm",
    "an offline trajectory",
)
STANDBY, CAN_CONTROL, TEACHING, LEADING = 0, 1, 2, 6
TAUGHT = (  # what leads out, and what that may do
    ": its joints follow a hand, and nothing is sent. Hold the arm and press its button again, then /arm/clear_fault "
    "and /arm/enable; old firmware leaves it by a reset only (/arm/recover), at which the arm falls"
)
MOVE_MODES = {0: "MOVE P", 1: "MOVE J", 2: "MOVE L", 3: "MOVE C", 4: "MOVE M", 5: "MOVE CPV"}  # frame 0x2A1, byte 2
MOVE_JOINTS = 1  # the only one that this software asks for
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


class MotorBits(IntFlag):
    """Name what a joint's driver reports, frames 0x261 to 0x266, byte 5."""

    VOLTAGE_LOW = 0x01
    MOTOR_HOT = 0x02
    OVERCURRENT = 0x04
    DRIVER_HOT = 0x08
    COLLISION = 0x10
    DRIVER_ERROR = 0x20
    ENABLED = 0x40
    STALLED = 0x80


_BAD = ~(MotorBits.ENABLED | MotorBits.STALLED)  # a gripper that holds something stalls, and so may a joint


GRIPPER_BITS = (  # of what a gripper reports, frame 0x2A8, byte 6
    "voltage low",
    "motor hot",
    "overcurrent",
    "driver hot",
    "sensor error",
    "driver error",
)
LEAST_SILENCE = 0.25  # s for which a group of frames may fail to come, or four times its period
LEAST_SAMPLES = 10  # of the joints that come meanwhile: where all frames come seldom, none is missing


def _words(bits: int) -> str:
    return ", ".join(str(bit.name).lower().replace("_", " ") for bit in MotorBits if bits & bit)


@dataclass(frozen=True)
class MotorHealth:
    """Hold what the six joint drivers report about themselves, at 40 Hz."""

    voltage: NDArray[np.float64]  # [6] V
    current: NDArray[np.float64]  # [6] A, drawn from the supply
    motor_temperature: NDArray[np.float64]  # [6] deg C
    driver_temperature: NDArray[np.float64]  # [6] deg C
    bits: tuple[int, ...]  # 6, see MotorBits

    def trouble(self) -> str:
        """Put the drivers' own warnings in words, "" when there are none."""
        return "; ".join(f"motor {k + 1}: {_words(bits & _BAD)}" for k, bits in enumerate(self.bits) if bits & _BAD)

    @property
    def collision(self) -> bool:
        """Tell whether a driver reports a collision."""
        return any(bits & MotorBits.COLLISION for bits in self.bits)


@dataclass(frozen=True)
class ArmFeedback:
    """Hold one consistent sample of the arm's feedback."""

    stamp: float  # s of the arm's clock: when the joint positions had all arrived
    position: NDArray[np.float64]  # [6] rad
    velocity: NDArray[np.float64]  # [6] rad/s
    effort: NDArray[np.float64]  # [6] N m
    gripper: float  # m, total opening
    gripper_effort: float  # N m
    gripper_bits: int  # status byte of frame 0x2A8; bit 6: enabled, bit 7: homed
    motors: MotorHealth
    control_mode: int
    arm_status: int  # index into ARM_STATUS
    error_code: int  # high byte: joint limit bits, low byte: joint communication bits
    frames_per_second: float  # feedback frames on the bus
    bus_load: float  # 0..1 of what the bus can carry
    # By group of frames: when all of it was last there, s; how often it comes, s; samples of the joints since then.
    groups: Mapping[str, tuple[float, float, int]] = field(default_factory=dict)
    steady_since: float = -math.inf  # s of the arm's clock, since when the joint positions have come without a gap
    move_mode: int = MOVE_JOINTS  # see MOVE_MODES

    def silent(self) -> str:
        """Return which group of frames that tells of faults no longer comes while the joints do, "" if none."""
        for name in ("arm status", "motor states", "efforts"):
            stamp, period, samples = self.groups.get(name, (self.stamp, 0.0, 0))
            silence = self.stamp - max(stamp, self.steady_since)
            if samples >= LEAST_SAMPLES and silence > max(LEAST_SILENCE, 4.0 * period):
                return f"no {name} for {self.stamp - stamp:.2f} s"
        return ""

    @property
    def motors_enabled(self) -> tuple[bool, ...]:
        """Tell per motor, 6, whether it has power."""
        return tuple(bool(bits & MotorBits.ENABLED) for bits in self.motors.bits)

    @property
    def follows_targets(self) -> bool:
        """Tell whether the arm is in a state in which it acts on joint targets at all."""
        ours = self.control_mode in (STANDBY, CAN_CONTROL)
        return all(self.motors_enabled) and self.arm_status != EMERGENCY_STOP and ours

    def complaint(self, motors_off: bool = True) -> str:
        """Put in words what keeps the arm from following targets; "" when nothing does.

        Motors that are off count only if `motors_off`.
        """
        if self.arm_status != 0:
            known = self.arm_status < len(ARM_STATUS)
            status = ARM_STATUS[self.arm_status] if known else f"status {self.arm_status}"
            return f"the arm reports {status}; {self.motors.trouble()}".rstrip("; ")
        if self.error_code != 0:
            return f"the arm reports error code 0x{self.error_code:04x}: {self.errors()}".rstrip(": ")
        if self.control_mode not in (STANDBY, CAN_CONTROL):
            known = self.control_mode < len(CONTROL_MODES)
            mode = f"the arm is in {CONTROL_MODES[self.control_mode] if known else f'mode {self.control_mode}'}"
            return mode + TAUGHT * (self.control_mode == TEACHING)
        if trouble := self.motors.trouble():
            return f"the arm reports {trouble}"
        if bad := [word for k, word in enumerate(GRIPPER_BITS) if self.gripper_bits >> k & 1]:
            return f"the gripper reports {', '.join(bad)}"
        if motors_off and not all(self.motors_enabled):
            off = [str(i + 1) for i, enabled in enumerate(self.motors_enabled) if not enabled]
            return f"motor {', '.join(off)} {'is' if len(off) == 1 else 'are'} off"
        return ""

    def errors(self) -> str:
        """Put the error code in words, "" when there is none."""
        limits = [str(k + 1) for k in range(6) if self.error_code >> (8 + k) & 1]
        silent = [str(k + 1) for k in range(6) if self.error_code >> k & 1]
        return ", ".join(
            [f"target of joint {k} beyond its limit" for k in limits] + [f"no contact with motor {k}" for k in silent]
        )


# What the arm is asked for, and its state as the controller tells it.

MAX_ACTIONS = 256  # of a chunk
BASE_FRAME = "base_link"  # at the foot of the arm: z up, x forward


@dataclass(frozen=True)
class ActionChunk:
    """Hold the actions that one control step asks for."""

    stamp: float  # s of the arm's clock: when the observation was made
    time_step: float  # s between actions; 0: key frames, each as soon as the one before is reached
    translation: NDArray[np.float64]  # [n, 3] m, base frame, relative to the measured tool position at `stamp`
    orientation: NDArray[np.float64]  # [n, 4] unit quaternion x, y, z, w of the tool in the base frame, absolute
    gripper: NDArray[np.float64]  # [n] 0 closed .. 1 open
    frame_id: str = BASE_FRAME  # frame of translation and orientation


class CommandSource(IntEnum):
    """Name who may move the arm; the numbers are those of tristage_msgs/ArmStatus."""

    POLICY = 0
    TRAJECTORY = 1
    OPERATOR = 2
    LEADER = 3
    JOINTS = 4
    TWIST = 5

    @property
    def leads(self) -> bool:
        """Tell whether it moves the arm live, once engaged."""
        return self in (CommandSource.LEADER, CommandSource.JOINTS, CommandSource.TWIST)


class LeadState(IntEnum):
    """Name how far a leader leads the arm; the numbers are those of tristage_msgs/ArmStatus."""

    NOT_LEADING = 0
    TOO_FAR = 1
    READY = 2
    CATCHING_UP = 3
    LEADING = 4


@dataclass(frozen=True)
class Led:
    """Hold what a leader asks for at one moment: where the joints are to be, or how the tool is to move."""

    stamp: float  # s, monotonic clock: when it was heard
    position: NDArray[np.float64] | None = None  # [6] rad
    twist: NDArray[np.float64] | None = None  # [6] of the grasp centre: m/s and rad/s
    in_tool: bool = False  # the twist is in the tool's frame, not in the base frame
    gripper: float | None = None  # m, total opening; None: as before


LET_GO = "by an operator"  # why a leader leads no longer that was disengaged


@dataclass(frozen=True)
class LeadStatus:
    """Hold how far a leader leads the arm, at one moment."""

    state: LeadState = LeadState.NOT_LEADING
    words: str = ""  # why it does not lead, what it waits for, or what was left out of what it asks for
    missing: NDArray[np.float64] = field(default_factory=lambda: np.full(6, math.nan))  # [6] rad, from arm to leader
    age: float = math.inf  # s since it was heard
    led: Led | None = None  # the newest
    ended: str = ""  # why it leads no longer


class ArmMode(IntEnum):
    """Name what the arm is doing; the numbers are those of tristage_msgs/ArmStatus."""

    DISCONNECTED = 0
    DISABLED = 1
    HOLDING = 2
    MOVING = 3
    FAULT = 4


class ChunkState(IntEnum):
    """Name what became of the newest chunk; the numbers are those of tristage_msgs/ArmStatus."""

    NONE = 0
    EXECUTING = 1
    REACHED = 2
    REFUSED = 3
    ABORTED = 4


@dataclass(frozen=True)
class ArmState:
    """Hold a consistent picture of the arm at one moment."""

    stamp: float  # s of the arm's clock
    mode: ArmMode
    reason: str  # why it is in this mode, for a person
    dry_run: bool  # nothing is sent
    source: CommandSource
    position: NDArray[np.float64]  # [6] rad, measured
    velocity: NDArray[np.float64]  # [6] rad/s, measured
    target: NDArray[np.float64]  # [6] rad, the joint target last sent
    gripper: float  # m, measured total opening
    gripper_target: float  # m, last sent
    chunk_stamp: float  # s of the arm's clock: observation stamp of the newest chunk, NaN before the first
    chunk_state: ChunkState
    chunk_reason: str
    feedback_age: float  # s since the last joint feedback
    feedback: ArmFeedback  # all that the arm reported
    firmware: str
    speed_scale: float  # 0..1 of the velocity limits
    target_smoothness: Smoothness  # of the joint targets, over the last seconds
    measured_smoothness: Smoothness  # of the measured joints, likewise
    setpoints_sent: int
    setpoints_limited: int  # set-points that the guard had to slow down or clamp
    chunks_accepted: int
    chunks_refused: int
    lead: LeadStatus  # of the command sources that lead
    dilation: float  # how many times slower its time passes; 1: an arm's, or an emulated one's in real time
