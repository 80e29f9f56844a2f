"""A velocity of the tool as velocities of the joints: damped where the arm cannot turn that way, along the same line.

Near a singularity the exact answer is joints of any speed. Damped least squares (Nakamura and Hanafusa 1986) gives up
accuracy there, and only there: the damping grows as the smallest singular value falls (Chiaverini 1997).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tristage_ros.devices.arm.kinematics import TOOL_OFFSET, forward, jacobian
from tristage_ros.devices.arm.values import Led

Floats = NDArray[np.float64]

_ARM = 0.3  # m at which a turn of the tool counts as much as its way
_NEAR = 0.08  # m/rad, singular value of the weighted Jacobian from which on it is damped
_DAMPING = 0.06  # m/rad, at a singularity
FASTEST, FASTEST_TURN = 2.5, 6.3  # m/s and rad/s that no one leads by: another unit is meant


def check_twist(linear: Floats, angular: Floats) -> Floats:
    """Return a twist, [6], of a velocity [3] m/s and a turning [3] rad/s.

    Raises:
        ValueError: not finite, or faster than anybody means; the words say what to do.
    """
    twist = np.concatenate([linear, angular])
    if not np.isfinite(twist).all():
        raise ValueError(f"the twist {[float(value) for value in twist]} is not finite")
    speed, turn = float(np.linalg.norm(linear)), float(np.linalg.norm(angular))
    if speed > FASTEST:
        raise ValueError(f"the twist is {speed:.3g} m/s, more than {FASTEST}: is it in mm/s?")
    if turn > FASTEST_TURN:
        raise ValueError(f"the twist turns by {turn:.3g} rad/s, more than {FASTEST_TURN}: is it in degrees?")
    return twist


def joint_velocity(led: Led, position: Floats, dh_is_offset: bool, offset: float = TOOL_OFFSET) -> Floats:
    """Return the joint velocities, [6] rad/s, that come nearest to a twist with the joints at `position`, [6] rad.

    `offset`: m from the flange to the grasp centre, which the twist is of.
    """
    assert led.twist is not None
    wished = led.twist.copy()
    if led.in_tool:
        rotation = forward(position, dh_is_offset)[:3, :3]
        wished = np.concatenate([rotation @ wished[:3], rotation @ wished[3:]])
    weight = np.array([1.0, 1.0, 1.0, _ARM, _ARM, _ARM])
    left, values, right = np.linalg.svd(weight[:, None] * jacobian(position, dh_is_offset, offset))
    closeness = max(0.0, 1.0 - float(values[-1]) / _NEAR)
    damped = values / (np.square(values) + (closeness * _DAMPING) ** 2 + 1e-12)
    velocity: Floats = right.T @ (damped * (left.T @ (weight * wished)))
    return velocity
