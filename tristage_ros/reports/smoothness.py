"""How the arm moved in a recording: of what was sent, and of what was measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tristage_ros.devices.arm.clock import ArmClock
from tristage_ros.devices.arm.smoothness import Smoothness, smoothness
from tristage_ros.devices.arm.values import ArmMode

ARM_JOINTS = tuple(f"joint{i}" for i in range(1, 7))
SMOOTHNESS = ("Direction reversals", "Total variation", "RMS jerk")  # in the order of `in_words`
_HAS_TARGETS = (ArmMode.HOLDING, ArmMode.MOVING, ArmMode.FAULT)


def of_joint_states(states: Sequence[Any], clock: ArmClock) -> Smoothness:
    """Return how the measured joints moved, from sensor_msgs/JointState by their own stamps; all NaN when unknown.

    `clock` counts the arm's seconds by those of the stamps.
    """
    positions = [dict(zip(state.name, state.position, strict=False)) for state in states]
    known = [k for k, position in enumerate(positions) if position.keys() >= set(ARM_JOINTS)]
    rows = np.array([[positions[k][name] for name in ARM_JOINTS] for k in known]).reshape(-1, len(ARM_JOINTS))
    return smoothness(np.array([clock.at(_seconds(states[k])) for k in known]), rows)


def of_arm_status(messages: Sequence[Any], clock: ArmClock) -> Smoothness:
    """Return how the joint targets moved, from tristage_msgs/ArmStatus; NaN what is unknown; `clock` as above.

    A status has the newest set-point, but not when that was sent, which would be most of its jerk: the jerk is the root
    mean square of what the arm worked out from every set-point; unknown in a recording from before it did so.
    """
    sent = [message for message in messages if message.mode in _HAS_TARGETS]
    targets = np.array([message.joint_target for message in sent]).reshape(-1, len(ARM_JOINTS))
    moved = smoothness(np.array([clock.at(_seconds(message)) for message in sent]), targets)
    given = [getattr(message, "target_jerk", math.nan) for message in sent]  # an older definition lacks it
    told = np.array([jerk for jerk in given if math.isfinite(jerk)])
    return replace(moved, jerk=float(np.sqrt(np.square(told).mean())) if len(told) else math.nan)


def in_words(moved: Smoothness) -> tuple[str, str, str]:
    """Put reversals, variation and jerk in words, "-" what is unknown."""
    values = (f"{100 * moved.reversals:.1f} %", f"{moved.variation:.2f} rad", f"{moved.jerk:.1f} rad/s³")
    numbers = (moved.reversals, moved.variation, moved.jerk)
    first, second, third = ("-" if math.isnan(number) else text for number, text in zip(numbers, values, strict=True))
    return first, second, third


def as_numbers(moved: Smoothness) -> dict[str, float | None]:
    """Return the figures by name as JSON can hold them, None what is unknown."""
    return {name: None if math.isnan(value) else value for name, value in vars(moved).items()}


def _seconds(message: Any) -> float:
    return float(message.header.stamp.sec + message.header.stamp.nanosec * 1e-9)
