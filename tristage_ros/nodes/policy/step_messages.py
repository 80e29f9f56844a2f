"""What one control step says, as messages."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from geometry_msgs.msg import Quaternion, Vector3
from tristage_msgs.msg import ActionChunk, PruningStats, StageTimings

from tristage_ros.devices.arm.kinematics import matrix_to_quaternion, rpy_to_matrix
from tristage_ros.mla.values import Action, StepReport
from tristage_ros.ros.convert import header, to_stamp


@dataclass(frozen=True)
class StepTiming:
    """Hold what only the node knows about a step."""

    observation_age: float  # s, when the step began
    action_age: float  # s, camera stamp to action published
    control_rate: float  # Hz
    frames_skipped: int


def chunk_message(action: Action, stamp: float, base_frame: str, sequence: int, time_step: float) -> ActionChunk:
    """Return the chunk of an action; roll, pitch and yaw become a quaternion, so that nothing wraps on the wire."""
    quaternions = [matrix_to_quaternion(rpy_to_matrix(rotation)) for rotation in action.rotation]
    return ActionChunk(
        header=header(stamp, base_frame),
        sequence=sequence,
        time_step=time_step,
        translation=[Vector3(x=float(x), y=float(y), z=float(z)) for x, y, z in action.translation],
        orientation=[Quaternion(x=float(x), y=float(y), z=float(z), w=float(w)) for x, y, z, w in quaternions],
        gripper=[float(value) for value in action.gripper],
    )


def pruning_message(report: StepReport, stamp: float) -> PruningStats:
    """Return the pruning statistics of a step."""
    pruning, masks = report.pruning, report.masks
    message = PruningStats()
    message.header.stamp = to_stamp(stamp)
    for field in (
        "step",
        "pruned",
        "rate",
        "rate_2d",
        "rate_3d",
        "stage1_rate_2d",
        "stage1_rate_3d",
        "stage2_rate_2d",
        "stage2_rate_3d",
        "fused_rate_2d",
        "fused_rate_3d",
        "ema_changed",
        "salience_2d_stage1",
        "salience_3d_stage1",
        "salience_2d_stage2",
        "salience_3d_stage2",
        "tokens_2d",
        "tokens_3d",
        "changed_patches",
        "oldest_patch",
        "budget_excess",
    ):
        setattr(message, field, getattr(pruning, field))
    message.salience_2d_by_set = np.array(pruning.salience_2d_by_set, np.float32)
    message.salience_3d_by_set = np.array(pruning.salience_3d_by_set, np.float32)
    message.set_sizes = np.array(pruning.set_sizes, np.uint16)
    message.stage_rates_2d = np.array(
        [pruning.stage1_rate_2d, pruning.stage2_rate_2d, pruning.fused_rate_2d, pruning.rate_2d], np.float32
    )
    message.stage_rates_3d = np.array(
        [pruning.stage1_rate_3d, pruning.stage2_rate_3d, pruning.fused_rate_3d, pruning.rate_3d], np.float32
    )
    message.keep_2d = masks.keep_2d.tolist()
    message.keep_3d = masks.keep_3d.tolist()
    message.patch_of_point = report.patch_of_point.tolist()
    message.semantic_set = pruning.semantic_set.tolist()
    return message


def timings_message(report: StepReport, stamp: float, timing: StepTiming) -> StageTimings:
    """Return the timings of a step."""
    cost = {"total": math.nan} | report.milliseconds
    get = lambda *names: float(sum(cost.get(name, 0.0) for name in names))  # noqa: E731
    pruning = get("plan", "observe")
    message = StageTimings(step=report.step)
    message.header.stamp = to_stamp(stamp)
    for name in (
        "preprocess",
        "image_tokens",
        "point_tokens",
        "stage1",
        "stage2",
        "stage3",
        "fusion",
        "prefill",
        "denoise",
        "total",
    ):
        setattr(message, f"{name}_ms", get(name))
    message.pruning_ms = pruning
    message.parts_ms = np.array(
        [get("preprocess"), get("image_tokens", "point_tokens"), pruning, get("prefill"), get("denoise")], np.float32
    )
    message.overhead_percent = 100.0 * pruning / cost["total"]
    message.observation_age_ms, message.action_age_ms = timing.observation_age * 1e3, timing.action_age * 1e3
    message.control_rate_hz, message.frames_skipped = timing.control_rate, timing.frames_skipped
    return message
