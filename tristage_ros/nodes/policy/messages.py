"""What one control step says: action chunk, statistics, timings, the cloud by what was kept, diagnostics.

`PARAMETERS` are the values from which on the diagnostics warn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
from geometry_msgs.msg import Quaternion, Vector3
from scipy.spatial import cKDTree
from sensor_msgs.msg import PointCloud2, PointField
from tristage_msgs.msg import ActionChunk, PruningStats, StageTimings

from tristage_ros.devices.arm.kinematics import matrix_to_quaternion, rpy_to_matrix
from tristage_ros.mla.values import Action, Observation, StepReport
from tristage_ros.perception.color import KEPT_COLORS
from tristage_ros.pruning.report import PruningReport
from tristage_ros.ros.convert import header, to_array, to_stamp
from tristage_ros.ros.diagnostics import OK, WARN, Part
from tristage_ros.ros.parameters import Parameter


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
    message = PruningStats(step=report.step)  # the pruner counts looks as well
    message.header.stamp = to_stamp(stamp)
    for field in (
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


# The model's cloud, every point in the colour of what was kept of the 3D token next to it: for RViz and Foxglove.

CLOUD_FIELDS = [
    PointField(name=name, offset=4 * index, datatype=kind, count=1)
    for index, (name, kind) in enumerate(
        [("x", PointField.FLOAT32), ("y", PointField.FLOAT32), ("z", PointField.FLOAT32), ("rgb", PointField.FLOAT32)]
    )
]
CLOUD_LAYOUT = np.dtype([("xyz", "<f4", 3), ("rgb", "<u4")])  # the bits 0xRRGGBB of rgb are called a float by custom


def kept_cloud_message(observation: Observation, report: StepReport, frame_id: str) -> PointCloud2:
    """Return the cloud of a step; colours as in the overlay, by the nearest 3D token and the 2D token of its patch."""
    points = observation.points[np.isfinite(observation.points).all(axis=1)]
    cloud = np.empty(len(points), CLOUD_LAYOUT)
    if len(points):
        nearest = cKDTree(report.token_centres).query(points)[1]
        cloud["xyz"], cloud["rgb"] = points, _token_colors(report)[nearest]
    return PointCloud2(
        header=header(observation.stamp, frame_id),
        height=1,
        width=len(cloud),
        fields=CLOUD_FIELDS,
        is_bigendian=False,
        point_step=CLOUD_LAYOUT.itemsize,
        row_step=CLOUD_LAYOUT.itemsize * len(cloud),
        data=to_array(cloud.view(np.uint8)),
        is_dense=True,
    )


def _token_colors(report: StepReport) -> np.ndarray:
    """Return [N3] 0xRRGGBB, one for every 3D token; one outside the image has no 2D token."""
    patch = report.patch_of_point
    keep_2d, keep_3d = report.masks.keep_2d.cpu().numpy(), report.masks.keep_3d.cpu().numpy()
    kind = np.where(patch >= 0, keep_2d[patch], False) + 2 * keep_3d.astype(np.int64)  # in the order of KEPT_COLORS
    red, green, blue = np.array(list(KEPT_COLORS.values()), np.uint32)[kind].T
    return (red << 16) | (green << 8) | blue


# What the diagnostics say about a control step, and from which values on they warn.

PARAMETERS = (
    Parameter("slow_step", 1000.0, "a control step that takes longer is a warning", "ms", 1.0, 60000.0),
    Parameter("high_overhead", 20.0, "a larger share of pruning in the step is a warning", "%", 0.0, 100.0),
    Parameter("long_unseen", 30, "a patch unseen for more control steps is a warning", "steps", 1, 100000),
    Parameter("low_rate", 0.05, "a smaller share of tokens pruned is a warning", "", 0.0, 1.0),
)


def step_part(
    newest: StageTimings | None, values: dict[str, object], limits: SimpleNamespace, dilation: float = 1.0
) -> Part:
    """Return how the policy's control steps go; `values` are facts that the timings do not know.

    `dilation`: how many of their seconds make one of the arm's, in which a step is slow.
    """
    if newest is None:
        return Part(OK, "no step yet", values)
    values = values | {
        "control rate [Hz]": newest.control_rate_hz,
        "total [ms]": newest.total_ms,
        "action age [ms]": newest.action_age_ms,
        "pruning overhead [%]": newest.overhead_percent,
        "wanted frames missed": newest.frames_skipped,
    }
    if newest.total_ms > limits.slow_step * dilation:
        return Part(WARN, f"the step took {newest.total_ms:.0f} ms, more than slow_step", values)
    if newest.overhead_percent > limits.high_overhead:
        return Part(WARN, f"pruning takes {newest.overhead_percent:.0f} % of the step, more than high_overhead", values)
    return Part(OK, f"{newest.total_ms:.0f} ms per step, {newest.control_rate_hz:.1f} Hz", values)


def pruning_part(report: PruningReport | None, limits: SimpleNamespace, tuning: object) -> Part:
    """Return what the newest step pruned, and how the pruner is set, in words."""
    if report is None:
        return Part(OK, "no step yet", {"settings": tuning})
    names = ("background", "robot", "object")
    values: dict[str, object] = {
        "settings": tuning,
        "rate": report.rate,
        "rate 2D": report.rate_2d,
        "rate 3D": report.rate_3d,
        "tokens kept 2D": report.tokens_2d,
        "tokens kept 3D": report.tokens_3d,
        **{f"patches of {name}": size for name, size in zip(names, report.set_sizes, strict=True)},
        "oldest patch [steps]": report.oldest_patch,
        "changed patches": report.changed_patches,
        "tokens beyond the budget": report.budget_excess,
    }
    if not report.pruned:
        return Part(OK, "this step ran on all tokens", values)
    if report.oldest_patch > limits.long_unseen:
        return Part(WARN, f"a patch was not seen for {report.oldest_patch} steps, more than long_unseen", values)
    if report.rate < limits.low_rate:
        return Part(WARN, f"only {report.rate:.0%} of the tokens pruned: check the thresholds", values)
    return Part(OK, f"{report.rate:.0%} of the tokens pruned", values)
