"""What a policy server answers as a chunk of this arm's actions, or why it is refused.

Everything becomes poses of the tool, which the arm takes of every policy: of joint positions the pose that they give,
from which the arm finds the same joints again, as they are near. So whatever answers, the same checks and the same
guard stand between it and the arm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from tristage_ros.devices.arm.kinematics import JOINT_LIMITS, forward, matrix_to_quaternion, rpy_to_matrix, tool_pose
from tristage_ros.devices.arm.values import MAX_ACTIONS, ActionChunk
from tristage_ros.openpi.mapping import Key, Part, PolicyMap
from tristage_ros.openpi.questions import Moment
from tristage_ros.words import one_line, shown

RESERVE = 0.8  # s for which a chunk goes on beyond the steps after which the next one is asked for
_BEYOND = 0.1  # rad beyond a limit that a policy may miss it by; the arm stays at the limit
_OPEN = 0.25  # of the gripper's range, likewise
# How far a step may be from the one before, the first from the arm: this, and what is covered in the time of a step.
_LEAPS = {"joint": (0.3, 3.0, "rad"), "tool": (0.1, 1.5, "m"), "rotation of the tool": (0.5, 4.0, "rad")}
Floats = NDArray[np.float64]


class AnswerError(ValueError):
    """Say why an answer is not carried out; one line that names the value."""


def contradiction(mapped: PolicyMap, metadata: Mapping[Any, Any]) -> str:
    """Return what a server says of itself that the map does not; "" where they agree, or the server does not say."""
    for key, wanted in mapped.metadata.items():
        said = metadata.get(key, wanted)
        said = said.tolist() if isinstance(said, (np.ndarray, np.generic)) else said
        if list(said) != list(wanted) if isinstance(said, tuple) and isinstance(wanted, list) else said != wanted:
            return f"the server's metadata say {key}: {shown(said)}, and {mapped.path.name} {shown(wanted)}"
    return ""


def chunk(
    mapped: PolicyMap, answer: Mapping[Any, Any], moment: Moment, limits: ArrayLike = JOINT_LIMITS
) -> ActionChunk:
    """Return what an answer asks for, no more than is to be carried out of it, stamped as the moment it answers.

    Args:
        mapped: what the numbers mean.
        answer: of the server.
        moment: that the server was asked about.
        limits: [6, 2] rad, of the joints.

    Raises:
        AnswerError: something in it cannot be meant; the message names the value.
    """
    numbers = _steps(mapped, answer)
    columns, at = {}, 0
    for part in mapped.columns:
        columns[part.kind], at = (part, numbers[:, at : at + part.width]), at + part.width
    gripper = _shares(*columns["gripper"])
    step = 1.0 / mapped.rate if mapped.rate else 0.0
    tools = (
        _of_joints(*columns["joints"], moment, np.asarray(limits, float), step)
        if mapped.in_joints
        else _of_poses(columns, moment, step)
    )
    return ActionChunk(
        moment.stamp,
        step,
        tools[:, :3, 3] - moment.tool[:3, 3],
        np.array([matrix_to_quaternion(tool[:3, :3]) for tool in tools]),
        gripper,
    )


def _steps(mapped: PolicyMap, answer: Mapping[Any, Any]) -> Floats:
    """Return the numbers [n, width] that are to be carried out."""
    told, name = _found(answer, mapped.actions), "/".join(mapped.actions)
    if not isinstance(told, np.ndarray):
        raise AnswerError(f"{name} is {shown(told)}, no array of numpy")
    if told.dtype.kind != "f":
        raise AnswerError(f"{name} is of {told.dtype}; floats are wanted")
    told = told[None] if told.ndim == 1 else told
    if told.ndim != 2 or told.shape[1] != mapped.width:
        raise AnswerError(f"{name} has shape {told.shape}; {mapped.path.name} says [steps, {mapped.width}]")
    if not 1 <= len(told) <= MAX_ACTIONS:
        raise AnswerError(f"{name} has {len(told)} steps; a chunk has 1 to {MAX_ACTIONS}")
    if len(told) < mapped.execute:
        raise AnswerError(f"{name} has {len(told)} steps; {mapped.path.name} executes {mapped.execute} of them")
    used = mapped.execute + (math.ceil(RESERVE * mapped.rate) if mapped.rate else 0)
    numbers = told[:used].astype(np.float64)
    if not np.isfinite(numbers).all():
        step, column = np.argwhere(~np.isfinite(numbers))[0]
        raise AnswerError(f"number {column + 1} of step {step + 1} of {name} is {numbers[step, column]}")
    return numbers


def _found(answer: Mapping[Any, Any], key: Key) -> Any:
    told: Any = answer
    for name in key:
        if not isinstance(told, Mapping) or name not in told:
            there = ", ".join(map(str, told)) if isinstance(told, Mapping) else shown(told)
            raise AnswerError(f"the answer has no {'/'.join(key)}; it has {one_line(there) or 'nothing'}")
        told = told[name]
    return told


def _shares(part: Part, numbers: Floats) -> Floats:
    """Return how far the gripper is to be open, [n] 0 closed .. 1 open."""
    shares = (numbers[:, 0] - part.closed) / (part.opened - part.closed)
    if (wrong := (shares < -_OPEN) | (shares > 1.0 + _OPEN)).any():
        step = int(wrong.argmax())
        raise AnswerError(
            f"the gripper of step {step + 1} is {numbers[step, 0]:.4g}; closed is {part.closed:g}, open {part.opened:g}"
        )
    return np.clip(shares, 0.0, 1.0)


def _of_joints(part: Part, numbers: Floats, moment: Moment, limits: Floats, step: float) -> Floats:
    """Return the poses [n, 4, 4] of the tool where the joints are as asked."""
    here, asked = moment.joints[:6], numbers * part.unit
    joints = {"absolute": asked, "step": here + np.cumsum(asked, axis=0), "observation": here + asked}[part.of]
    beyond = (joints < limits[:, 0] - _BEYOND) | (joints > limits[:, 1] + _BEYOND)
    if beyond.any():
        at, joint = np.argwhere(beyond)[0]
        low, high = limits[joint]
        raise AnswerError(
            f"joint {joint + 1} of step {at + 1} is {joints[at, joint]:.4g} rad, beyond {low:g} to {high:g}"
            + _degrees(part)
        )
    changes = np.abs(np.diff(joints, axis=0, prepend=here[None]))
    _require_near("joint", changes.max(axis=1), step, _degrees(part))
    return tool_pose(forward(np.clip(joints, limits[:, 0], limits[:, 1]), moment.dh_is_offset), moment.tcp)


def _of_poses(columns: Mapping[str, tuple[Part, Floats]], moment: Moment, step: float) -> Floats:
    """Return the poses [n, 4, 4] of the tool that are asked for."""
    (place, positions), (turn, rotations) = columns["position"], columns["rotation"]
    turns = _matrices(turn, rotations)
    tools = [moment.tool]
    for position, rotation in zip(positions * place.unit, turns, strict=True):
        tool, from_here = np.eye(4), {"step": tools[-1], "observation": tools[0]}
        tool[:3, 3], tool[:3, :3] = position, rotation
        if place.of in from_here:
            base = from_here[place.of]
            tool[:3, 3] = base[:3, 3] + (base[:3, :3] @ position if place.in_tool else position)
        if turn.of in from_here:
            base = from_here[turn.of]
            tool[:3, :3] = base[:3, :3] @ rotation if turn.in_tool else rotation @ base[:3, :3]
        tools.append(tool)
    poses = np.array(tools)
    _require_near("tool", np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1), step, "")
    angles = [
        Rotation.from_matrix(before.T @ after).magnitude()
        for before, after in zip(poses[:-1, :3, :3], poses[1:, :3, :3], strict=True)
    ]
    _require_near("rotation of the tool", angles, step, "")
    return poses[1:]


def _matrices(part: Part, numbers: Floats) -> Floats:
    """Return the rotations [n, 3, 3] that are meant."""
    if part.form == "rpy":
        return np.array([rpy_to_matrix(angles) for angles in numbers * part.unit])
    if part.form == "axis_angle":
        return np.asarray(Rotation.from_rotvec(numbers * part.unit).as_matrix())
    quaternions = numbers if part.form == "quaternion_xyzw" else numbers[:, [1, 2, 3, 0]]
    lengths = np.linalg.norm(quaternions, axis=1)
    if (wrong := np.abs(lengths - 1.0) > 0.3).any():
        step = int(wrong.argmax())
        raise AnswerError(f"the quaternion of step {step + 1} has length {lengths[step]:.3g} instead of 1")
    return np.asarray(Rotation.from_quat(quaternions).as_matrix())


def _require_near(what: str, changes: Floats | Sequence[float], step: float, hint: str) -> None:
    """Refuse steps of `step` s that are too far from the one before; how far key frames may be, the arm knows."""
    if not step:
        return
    least, speed, unit = _LEAPS[what]
    allowed = least + speed * step
    if (wrong := np.asarray(changes) > allowed).any():
        at = int(wrong.argmax())
        before = "where the arm was observed" if at == 0 else "the step before"
        raise AnswerError(
            f"the {what} of step {at + 1} is {changes[at]:.3g} {unit} from {before}, more than {allowed:.3g}{hint}"
        )


def _degrees(part: Part) -> str:
    return "; are these degrees? then the map needs unit: deg" if part.unit == 1.0 else ""
