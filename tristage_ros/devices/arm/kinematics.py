"""Where the Piper's flange and tool are, which joint positions put them there, and the same as the model observes it.

Lengths in m, angles in rad, poses as 4x4 matrices in the frame of the arm's base. The modified Denavit-Hartenberg
parameters are those of piper_sdk 0.6.2 (`C_PiperForwardKinematics`), so poses equal the arm's own end pose feedback.
"""

from __future__ import annotations

import math
import re

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

LINK_LENGTH = (0.0, 0.0, 0.28503, -0.02198, 0.0, 0.0)  # a, m
LINK_TWIST = (0.0, -math.pi / 2, 0.0, math.pi / 2, -math.pi / 2, math.pi / 2)  # alpha
LINK_OFFSET = (0.123, 0.0, 0.0, 0.25075, 0.0, 0.091)  # d, m
JOINT_ZERO = (0.0, -math.radians(172.22), -math.radians(102.78), 0.0, 0.0, 0.0)  # firmware S-V1.6-3 and newer
JOINT_ZERO_OLD = (0.0, -math.radians(174.22), -math.radians(100.78), 0.0, 0.0, 0.0)  # J2 and J3 zeroed 2 deg away

# piper_sdk 0.6.2, documentation of JointCtrl
JOINT_LIMITS = np.array(
    [(-2.6179, 2.6179), (0.0, 3.14), (-2.967, 0.0), (-1.745, 1.745), (-1.22, 1.22), (-2.09439, 2.09439)]
)
JOINT_LIMITS.flags.writeable = False
JOINT_MAX_VELOCITY = 3.0  # rad/s, every joint: factory value of MotorMaxSpdSet, piper_sdk 0.6.2
GRIPPER_RANGE = (0.0, 0.07)  # m, total opening: GetSDKGripperRangeParam, piper_sdk 0.6.2
TOOL_OFFSET = 0.120  # m from the flange to the grasp centre, along the flange's z
FINGERTIP_OFFSET = 0.135  # m from the flange to the fingertips

_SINGULAR = 1e-6
_LIMIT_TOLERANCE = 1e-6
_FOREARM = math.hypot(LINK_LENGTH[3], LINK_OFFSET[3])
_FOREARM_ANGLE = math.atan2(LINK_OFFSET[3], LINK_LENGTH[3])


class UnreachablePoseError(ValueError):
    """Say why no joint position within the limits gives a pose."""


def firmware_number(firmware: str) -> tuple[int, int, int]:
    """Return a firmware version, as the arm tells it, as numbers that can be compared.

    Raises:
        ValueError: `firmware` does not look like "S-V1.8-9".
    """
    match = re.fullmatch(r"S-V(\d+)\.(\d+)-(\d+)", firmware)
    if match is None:
        raise ValueError(f"firmware version {firmware!r} is not of the form 'S-V1.8-9'")
    major, minor, patch = match.groups()
    return int(major), int(minor), int(patch)


def dh_is_offset(firmware: str) -> bool:
    """Tell whether a firmware counts J2 and J3 from the zero introduced with S-V1.6-3.

    Raises:
        ValueError: `firmware` does not look like "S-V1.8-9".
    """
    return firmware_number(firmware) >= (1, 6, 3)


def link_poses(joints: ArrayLike, dh_is_offset: bool = True) -> Floats:
    """Return the poses [..., 6, 4, 4] of all link frames, the flange last, for joint positions [..., 6]."""
    theta = np.asarray(joints, dtype=float) + (JOINT_ZERO if dh_is_offset else JOINT_ZERO_OLD)
    poses = [_link(0, theta[..., 0])]
    for i in range(1, 6):
        poses.append(poses[-1] @ _link(i, theta[..., i]))
    return np.stack(poses, axis=-3)


def forward(joints: ArrayLike, dh_is_offset: bool = True) -> Floats:
    """Return the flange pose [..., 4, 4] for joint positions [..., 6]."""
    flange: Floats = link_poses(joints, dh_is_offset)[..., 5, :, :]
    return flange


def jacobian(joints: ArrayLike, dh_is_offset: bool = True, offset: float = TOOL_OFFSET) -> Floats:
    """Return how the grasp centre, `offset` m from the flange, moves with the joints [6]: [6, 6] in the base frame.

    Rows are its velocity (m/s) and its turning (rad/s), columns the joints: z x (tool - origin) and z of each link
    frame, about whose z its joint turns.
    """
    links = link_poses(joints, dh_is_offset)
    axes, origins = links[:, :3, 2], links[:, :3, 3]
    tool = tool_pose(links[5], offset)[:3, 3]
    columns: Floats = np.concatenate([np.cross(axes, tool - origins), axes], axis=1).T
    return columns


def tool_pose(flange: Floats, offset: float = TOOL_OFFSET) -> Floats:
    """Return the pose [..., 4, 4] of the grasp centre, `offset` m from it along z, for a flange pose [..., 4, 4]."""
    return _along_z(flange, offset)


def flange_pose(tool: Floats, offset: float = TOOL_OFFSET) -> Floats:
    """Return the flange pose [..., 4, 4] for a pose [..., 4, 4] of the grasp centre, `offset` m from it along z."""
    return _along_z(tool, -offset)


def inverse(flange: Floats, seed: ArrayLike, dh_is_offset: bool = True, limits: ArrayLike = JOINT_LIMITS) -> Floats:
    """Return the joint positions [6] nearest to `seed` that give a flange pose [4, 4].

    The wrist axes meet in a point, so position and orientation separate (Pieper): the wrist centre gives J1 to J3,
    the remaining rotation J4 to J6. Where an axis is free (wrist centre above the base, straight wrist) the seed's
    value is kept.

    Raises:
        UnreachablePoseError: out of reach, or every solution breaks `limits` [6, 2].
    """
    near, bounds = np.asarray(seed, dtype=float), np.asarray(limits, dtype=float)
    zero = JOINT_ZERO if dh_is_offset else JOINT_ZERO_OLD
    solutions = [
        wrist
        for arm in _arm_solutions(flange, near, zero)
        for wrist in _wrist_solutions(flange, arm, near, dh_is_offset)
    ]
    if not solutions:
        raise UnreachablePoseError(f"{describe(flange)} is farther away than the arm reaches")
    candidates = np.array(solutions)
    inside = ((candidates >= bounds[:, 0] - _LIMIT_TOLERANCE) & (candidates <= bounds[:, 1] + _LIMIT_TOLERANCE)).all(1)
    if not inside.any():
        raise UnreachablePoseError(f"{describe(flange)} needs joints beyond their limits")
    candidates = np.clip(candidates[inside], bounds[:, 0], bounds[:, 1])
    nearest: Floats = candidates[np.square(candidates - near).sum(1).argmin()]
    return nearest


def describe(flange: Floats) -> str:
    """Put a flange pose [4, 4] in words."""
    x, y, z = flange[:3, 3]
    roll, pitch, yaw = np.degrees(matrix_to_rpy(flange[:3, :3]))
    return f"flange at ({x:.3f}, {y:.3f}, {z:.3f}) m, roll pitch yaw ({roll:.0f}, {pitch:.0f}, {yaw:.0f}) deg"


def matrix_to_rpy(rotation: Floats) -> Floats:
    """Return roll, pitch, yaw [3] about fixed axes: R = Rz(yaw) Ry(pitch) Rx(roll); yaw is 0 at pitch +-90 deg."""
    r = rotation
    pitch = math.atan2(-r[2, 0], math.hypot(r[0, 0], r[1, 0]))
    if abs(r[2, 0]) > 1.0 - 1e-4:  # the SDK's threshold, so that reported poses agree there too
        return np.array([math.copysign(1.0, -r[2, 0]) * math.atan2(r[0, 1], r[1, 1]), pitch, 0.0])
    return np.array([math.atan2(r[2, 1], r[2, 2]), pitch, math.atan2(r[1, 0], r[0, 0])])


def rpy_to_matrix(rpy: ArrayLike) -> Floats:
    """Return the rotation matrix [3, 3] of roll, pitch, yaw [3] about fixed axes."""
    (cr, cp, cy), (sr, sp, sy) = np.cos(rpy), np.sin(rpy)
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )


def quaternion_to_matrix(quaternion: ArrayLike) -> Floats:
    """Return the rotation matrix [3, 3] of a quaternion x, y, z, w of any length.

    Raises:
        ValueError: the quaternion is zero or not finite.
    """
    q = np.asarray(quaternion, dtype=float)
    length = float(np.linalg.norm(q))
    if not 1e-9 < length < math.inf:
        raise ValueError(f"quaternion {q.tolist()} has no direction")
    x, y, z, w = q / length
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def matrix_to_quaternion(rotation: Floats) -> Floats:
    """Return the unit quaternion x, y, z, w [4] of a rotation matrix [3, 3], with w >= 0."""
    r = rotation
    # four times the products of the quaternion's components; the largest row is the best conditioned
    products = np.array(
        [
            [1 + r[0, 0] - r[1, 1] - r[2, 2], r[0, 1] + r[1, 0], r[0, 2] + r[2, 0], r[2, 1] - r[1, 2]],
            [r[0, 1] + r[1, 0], 1 - r[0, 0] + r[1, 1] - r[2, 2], r[1, 2] + r[2, 1], r[0, 2] - r[2, 0]],
            [r[0, 2] + r[2, 0], r[1, 2] + r[2, 1], 1 - r[0, 0] - r[1, 1] + r[2, 2], r[1, 0] - r[0, 1]],
            [r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], 1 + r[0, 0] + r[1, 1] + r[2, 2]],
        ]
    )
    row: Floats = products[np.diag(products).argmax()]
    return row / math.copysign(float(np.linalg.norm(row)), row[3])


def _along_z(pose: Floats, distance: float) -> Floats:
    moved = np.array(pose, dtype=float)
    moved[..., :3, 3] += distance * moved[..., :3, 2]
    return moved


def _link(i: int, theta: Floats) -> Floats:
    """Return the transform [..., 4, 4] from link i to the one before (modified DH: Rx(alpha) Tx(a) Rz(theta) Tz(d))."""
    c, s = np.cos(theta), np.sin(theta)
    ca, sa, d = math.cos(LINK_TWIST[i]), math.sin(LINK_TWIST[i]), LINK_OFFSET[i]
    transform = np.zeros((*np.shape(theta), 4, 4))
    transform[..., 0, 0], transform[..., 0, 1] = c, -s
    transform[..., 1, 0], transform[..., 1, 1], transform[..., 1, 2] = s * ca, c * ca, -sa
    transform[..., 2, 0], transform[..., 2, 1], transform[..., 2, 2] = s * sa, c * sa, ca
    transform[..., :3, 3] = LINK_LENGTH[i], -sa * d, ca * d
    transform[..., 3, 3] = 1.0
    return transform


def _arm_solutions(flange: Floats, seed: Floats, zero: tuple[float, ...]) -> list[tuple[float, float, float]]:
    """Return up to four (q1, q2, q3) that bring the wrist centre to its place, limits aside."""
    centre = flange[:3, 3] - LINK_OFFSET[5] * flange[:3, 2]
    radius, height = math.hypot(centre[0], centre[1]), centre[2] - LINK_OFFSET[0]
    azimuth = math.atan2(centre[1], centre[0]) if radius > _SINGULAR else float(seed[0])
    upper = LINK_LENGTH[2]
    cosine = (radius**2 + height**2 - upper**2 - _FOREARM**2) / (2 * upper * _FOREARM)
    if abs(cosine) > 1.0 + 1e-9:
        return []
    bend = math.acos(min(1.0, max(-1.0, cosine)))
    solutions = []
    for q1, forward_reach in ((azimuth, radius), (_wrap(azimuth + math.pi), -radius)):
        for elbow in (bend, -bend):
            shoulder = math.atan2(height, forward_reach) - math.atan2(
                _FOREARM * math.sin(elbow), upper + _FOREARM * math.cos(elbow)
            )
            q2, q3 = _wrap(-shoulder - zero[1]), _wrap(_FOREARM_ANGLE - elbow - zero[2])
            solutions.append((q1, q2, q3))
    return solutions


def _wrist_solutions(flange: Floats, arm: tuple[float, float, float], seed: Floats, offset: bool) -> list[list[float]]:
    """Return the two (q1 .. q6) that add the flange's orientation to the arm's three joints."""
    theta = np.asarray(arm) + (JOINT_ZERO if offset else JOINT_ZERO_OLD)[:3]
    forearm = (_link(0, theta[0]) @ _link(1, theta[1]) @ _link(2, theta[2]) @ _link(3, np.float64(0.0)))[:3, :3]
    m = forearm.T @ flange[:3, :3]  # = Rz(q4) Ry(q5) Rz(q6)
    sine = math.hypot(m[0, 2], m[1, 2])
    if sine < _SINGULAR:
        q4 = float(seed[3])
        return [[*arm, q4, 0.0, _wrap(math.atan2(m[1, 0], m[0, 0]) - q4)]] if m[2, 2] > 0 else []
    return [
        [
            *arm,
            math.atan2(sign * m[1, 2], sign * m[0, 2]),
            math.atan2(sign * sine, m[2, 2]),
            math.atan2(sign * m[2, 1], -sign * m[2, 0]),
        ]
        for sign in (1.0, -1.0)
    ]


def _wrap(angle: float) -> float:
    return math.remainder(angle, 2 * math.pi)


def robot_state(joints: NDArray[np.float64], dh_is_offset: bool = True) -> NDArray[np.float32]:
    """Return the [7] state of the model from [7] joint positions (rad) with the gripper opening (m).

    The state is tool x, y, z (m), roll, pitch, yaw (rad) in the base frame and the gripper 0 closed .. 1 open.
    """
    tool = tool_pose(forward(joints[:6], dh_is_offset))
    opening = np.clip(joints[6] / GRIPPER_RANGE[1], 0.0, 1.0)
    return np.array([*tool[:3, 3], *matrix_to_rpy(tool[:3, :3]), opening], np.float32)
