"""From the policy's action chunk to joint waypoints, or a reason why not."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tristage_ros.devices.arm import kinematics
from tristage_ros.devices.arm.guard import GuardConfig, RefusedError
from tristage_ros.devices.arm.trajectory import Waypoint
from tristage_ros.devices.arm.values import BASE_FRAME, MAX_ACTIONS, ActionChunk

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ChunkLimits:
    """Bound what one chunk may ask for."""

    max_age: float = 0.5  # s since its observation
    max_distance: float = 0.6  # m, tool: from the measured pose to the first action, then from one to the next
    max_joint_change: float = 3.0  # rad, likewise
    small_joint_change: float = 0.3  # rad, for an action of up to 5 mm and 3 degrees; more for more
    max_time_step: float = 10.0  # s between two actions
    max_duration: float = 60.0  # s of all actions together
    clamp_distance: float = 0.02  # m that an action outside the workspace is moved back in; farther out it is refused
    max_overrun: float = 1.0  # s that the last of the timed actions may be late: then the rest is given up
    key_frame_time: float = 30.0  # s for each key frame, likewise

    def __post_init__(self) -> None:
        """Refuse limits that make no sense.

        Raises:
            ValueError: a limit is negative or not finite.
        """
        if not all(0.0 <= limit < math.inf for limit in vars(self).values()):
            raise ValueError(f"chunk limits are finite and not negative, not {self}")


def check(chunk: ActionChunk, now: float, limits: ChunkLimits) -> None:
    """Check shapes, numbers and age of a chunk at monotonic time `now`.

    Raises:
        RefusedError: something does not fit; the reason names the value.
    """
    n = len(chunk.gripper)
    shapes = {"translation": (n, 3), "orientation": (n, 4), "gripper": (n,)}
    for name, shape in shapes.items():
        array = np.asarray(getattr(chunk, name))
        if not 1 <= n <= MAX_ACTIONS or array.shape != shape:
            raise RefusedError(f"{name} has shape {array.shape}; every field has the same 1 to {MAX_ACTIONS} actions")
        if not np.isfinite(array).all():
            raise RefusedError(f"{name} of action {int(np.argwhere(~np.isfinite(array))[0][0]) + 1} is not finite")
    if chunk.frame_id != BASE_FRAME:
        raise RefusedError(f"its frame is {chunk.frame_id!r}; actions are given in {BASE_FRAME!r}")
    if not 0.0 <= chunk.time_step <= limits.max_time_step:
        raise RefusedError(f"time_step is 0 to {limits.max_time_step} s, not {chunk.time_step}")
    if n * chunk.time_step > limits.max_duration:
        raise RefusedError(f"{n} actions of {chunk.time_step} s are more than {limits.max_duration:g} s together")
    if (outside := (chunk.gripper < 0.0) | (chunk.gripper > 1.0)).any():
        raise RefusedError(f"gripper is 0 (closed) to 1 (open), not {chunk.gripper[outside][0]}")
    lengths = np.linalg.norm(chunk.orientation, axis=1)
    if np.abs(lengths - 1.0).max() > 0.01:
        raise RefusedError(f"orientation has length {lengths[np.abs(lengths - 1.0).argmax()]:.3f} instead of 1")
    age = now - chunk.stamp
    if not age <= limits.max_age:
        raise RefusedError(f"its observation is {age:.2f} s old, more than {limits.max_age}")


def horizon(chunk: ActionChunk, now: float, limits: ChunkLimits) -> float:
    """Return until when, s on the monotonic clock, a chunk that begins now may be acted on."""
    n = len(chunk.gripper)
    if chunk.time_step > 0.0:
        return max(now, chunk.stamp + n * chunk.time_step) + limits.max_overrun
    return now + n * limits.key_frame_time


def waypoints(
    chunk: ActionChunk,
    now: float,
    observed: Floats,
    measured: Floats,
    limits: ChunkLimits,
    guard: GuardConfig,
    dh_is_offset: bool = True,
) -> list[Waypoint]:
    """Return the joint waypoints of a checked chunk; actions whose time has passed are dropped.

    Args:
        chunk: passed `check`.
        now: s, monotonic clock.
        observed: [6] rad, joints measured at the chunk's stamp.
        measured: [6] rad, joints measured now.
        limits: how far the actions may go.
        guard: joint limits, workspace and gripper range.
        dh_is_offset: which zero J2 and J3 have.

    Raises:
        RefusedError: all actions are in the past, or one is unreachable, too far away or outside the workspace.
    """
    tcp = guard.body.tool.tcp
    origin = kinematics.tool_pose(kinematics.forward(observed, dh_is_offset), tcp)[:3, 3]
    low, high = guard.gripper_range
    joints, tool = measured, kinematics.tool_pose(kinematics.forward(measured, dh_is_offset), tcp)
    result = []
    for i in range(len(chunk.gripper)):
        due = chunk.stamp + (i + 1) * chunk.time_step if chunk.time_step > 0.0 else None
        if due is not None and due <= now:
            continue
        wish = np.eye(4)
        wish[:3, :3] = kinematics.quaternion_to_matrix(chunk.orientation[i])
        wish[:3, 3] = origin + chunk.translation[i]
        try:
            pose = _within(wish, tool[:3, 3], limits, guard)
            joints = _joints(pose, tool, joints, limits, guard, dh_is_offset)
        except ValueError as error:
            raise RefusedError(f"action {i + 1} of {len(chunk.gripper)}: {error}") from error
        tool = pose
        opening = low + float(np.clip(chunk.gripper[i], 0.0, 1.0)) * (high - low)
        result.append(Waypoint(joints, opening, due))
    if not result:
        late = now - chunk.stamp - len(chunk.gripper) * chunk.time_step
        raise RefusedError(f"all {len(chunk.gripper)} actions were due before now, the last {late:.2f} s ago")
    return result


def _within(wish: Floats, previous: Floats, limits: ChunkLimits, guard: GuardConfig) -> Floats:
    """Return the tool pose [4, 4] moved into the workspace, if it is near that and the previous tool position [3]."""
    pose = guard.workspace.nearest(wish, guard.body.tool)
    moved = float(np.linalg.norm(pose[:3, 3] - wish[:3, 3]))
    if moved > limits.clamp_distance:
        where = ", ".join(f"{value:.3f}" for value in wish[:3, 3])
        raise RefusedError(f"tool at ({where}) m is {moved:.3f} m outside the workspace")
    distance = float(np.linalg.norm(pose[:3, 3] - previous))
    if distance > limits.max_distance:
        raise RefusedError(f"the tool would go {distance:.3f} m, more than {limits.max_distance} m at once")
    return pose


def _joints(
    tool: Floats, before: Floats, seed: Floats, limits: ChunkLimits, guard: GuardConfig, dh_is_offset: bool
) -> Floats:
    """Return the joints of a tool pose on the branch of `seed`, those of the pose before; both poses [4, 4].

    Near a singularity, or where that branch ends at a joint limit, the nearest solution may be one for which the elbow
    swings over or the wrist turns around while the tool hardly moves: it is refused.
    """
    margin = np.array([guard.position_margin, -guard.position_margin])
    flange = kinematics.flange_pose(tool, guard.body.tool.tcp)
    joints = kinematics.inverse(flange, seed, dh_is_offset, np.array(guard.joint_limits) + margin)
    change = np.abs(joints - seed)
    if change.max() > limits.max_joint_change:
        raise RefusedError(
            f"joint {int(change.argmax()) + 1} would turn {change.max():.2f} rad, more than {limits.max_joint_change}"
        )
    distance = float(np.linalg.norm(tool[:3, 3] - before[:3, 3]))
    angle = float(np.arccos(np.clip((np.trace(tool[:3, :3].T @ before[:3, :3]) - 1.0) / 2.0, -1.0, 1.0)))
    allowed = limits.small_joint_change + 20.0 * max(0.0, distance - 0.005) + 5.0 * max(0.0, angle - 0.055)
    if change.max() > allowed:
        raise RefusedError(
            f"joint {int(change.argmax()) + 1} would turn {change.max():.2f} rad for {1e3 * distance:.0f} mm and "
            f"{np.degrees(angle):.0f} degrees of the tool: near a singularity, or the end of a joint's range"
        )
    return joints
