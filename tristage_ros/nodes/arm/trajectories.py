"""Joint trajectories as planners send them, on the topic or as goals, as paths of this arm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from builtin_interfaces.msg import Duration, Time
from numpy.typing import NDArray
from trajectory_msgs.msg import JointTrajectory

from tristage_ros.devices.arm.following import Tolerances
from tristage_ros.devices.arm.guard import RefusedError
from tristage_ros.devices.arm.joint_path import MAX_POINTS, JointPath
from tristage_ros.nodes.arm.authority import Stamps
from tristage_ros.ros.convert import seconds
from tristage_ros.ros.joints import ARM_JOINTS, GRIPPER_JOINT

TRAJECTORIES = "arm/joint_trajectory"
Floats = NDArray[np.float64]


class JointsError(RefusedError):
    """Say that a trajectory is not for the joints of this arm."""


def joint_path(message: JointTrajectory, stamps: Stamps, allowed: Tolerances | None = None) -> JointPath:
    """Return what a message asks for, by the arm's clock.

    Velocities, accelerations and efforts of its points are left out: the arm passes them as fast as their times say.

    Raises:
        JointsError: it names other joints.
        RefusedError: its points do not fit those.
    """
    names = list(message.joint_names)
    if sorted(set(names) - {GRIPPER_JOINT}) != sorted(ARM_JOINTS) or len(set(names)) != len(names):
        raise JointsError(f"joint_names are {', '.join(ARM_JOINTS)} and perhaps {GRIPPER_JOINT}, not {names}")
    if len(message.points) > MAX_POINTS:
        raise RefusedError(f"a trajectory has 1 to {MAX_POINTS} points, not {len(message.points)}")
    if any(len(point.positions) != len(names) for point in message.points):
        raise RefusedError(f"every point has {len(names)} positions, one for each joint name")
    points = np.array([point.positions for point in message.points]).reshape(-1, len(names))
    times = np.array([_length(point.time_from_start) for point in message.points])
    start = stamps.arm(seconds(message.header.stamp)) if message.header.stamp != Time() else stamps.now()
    gripper = points[:, names.index(GRIPPER_JOINT)] if GRIPPER_JOINT in names else None
    arm = points[:, [names.index(joint) for joint in ARM_JOINTS]]
    return JointPath(start, times, arm, gripper, allowed or Tolerances())


def _length(duration: Duration) -> float:
    return float(duration.sec + duration.nanosec * 1e-9)


# Tolerances: 0 is ours, -1 none.

_UNLIMITED = -1.0


def tolerances(goal: Any) -> Tolerances:
    """Return the tolerances of a FollowJointTrajectory goal.

    Raises:
        JointsError: one is of another joint.
        RefusedError: one is negative, not finite, or of something that is not measured.
    """
    if goal.multi_dof_trajectory.joint_names or goal.component_path_tolerance or goal.component_goal_tolerance:
        raise RefusedError("no joint of this arm has several degrees of freedom: leave multi_dof and component out")
    ours = Tolerances()
    path, path_velocity, beside = _of_joints("path_tolerance", goal.path_tolerance, ours.path, ours.path_velocity)
    if not math.isinf(beside):
        raise RefusedError(f"path_tolerance: {GRIPPER_JOINT} acts at its points at its own speed; leave it out")
    end, end_velocity, gripper = _of_joints("goal_tolerance", goal.goal_tolerance, ours.goal, ours.goal_velocity)
    leeway = _length(goal.goal_time_tolerance)
    leeway = math.inf if leeway < 0.0 else leeway or ours.leeway
    return Tolerances(path, path_velocity, end, end_velocity, gripper, leeway)


def _of_joints(name: str, given: Sequence[Any], position: Floats, velocity: Floats) -> tuple[Floats, Floats, float]:
    """Return position and velocity tolerances, [6] each, from ours, and the position tolerance of the gripper."""
    position, velocity, gripper = position.copy(), velocity.copy(), math.inf
    for one in given:
        if one.name not in (*ARM_JOINTS, GRIPPER_JOINT):
            raise JointsError(f"{name} names {one.name!r}; joints are {', '.join(ARM_JOINTS)} and {GRIPPER_JOINT}")
        for kind in ("position", "velocity", "acceleration"):
            value = getattr(one, kind)
            if not math.isfinite(value) or (value < 0.0 and value != _UNLIMITED):
                raise RefusedError(f"{name} of {one.name}: {kind} is positive, 0 (default) or -1 (none), not {value}")
        measured = one.name != GRIPPER_JOINT
        if one.acceleration > 0.0 or (one.velocity > 0.0 and not measured):
            what = "acceleration" if one.acceleration > 0.0 else "velocity"
            raise RefusedError(f"{name} of {one.name}: its {what} is not measured; leave it 0 or -1")
        if not measured:
            gripper = _tolerance(one.position, gripper)
            continue
        k = ARM_JOINTS.index(one.name)
        position[k], velocity[k] = _tolerance(one.position, position[k]), _tolerance(one.velocity, velocity[k])
    return position, velocity, gripper


def _tolerance(value: float, ours: float) -> float:
    return math.inf if value == _UNLIMITED else value or ours
