from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tristage_ros.bags.messages import IMAGE, new_message, typestore
from tristage_ros.bags.writer import BagWriter
from tristage_ros.perception.color import draw_overlay

STEP = 0.4  # s between control steps


@pytest.fixture
def record_run(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that records a made-up run; topics that contain a word of `without` are left out.

    `also`: what else was said, by time (s) and topic. `name`: of the run's folder.
    """

    def record(
        steps: int = 12,
        without: Sequence[str] = (),
        also: Sequence[tuple[float, str, Any]] = (),
        name: str = "run",
    ) -> Path:
        path = tmp_path / name / "bag"
        path.parent.mkdir(exist_ok=True)
        with BagWriter(path, queue_bytes=1 << 30) as writer:
            for time, topic, message in (*also, *made_up_run(steps)):
                if not any(word in topic for word in without):
                    data = bytes(typestore().serialize_cdr(message, message.__msgtype__))
                    writer.write(topic, message.__msgtype__, data, 10**18 + round(time * 1e9))
        return path

    return record


def made_up_run(steps: int) -> Iterator[tuple[float, str, Any]]:
    """Yield time (s), topic and message of a run that prunes from its second step on."""
    draw = np.random.default_rng(0)
    for step in range(1, steps + 1):
        start = step * STEP
        header = header_at(start)
        keep_2d, keep_3d, patch_of_point = masks(step, steps)
        pruning = pruning_stats(header, step, keep_2d, keep_3d, patch_of_point)
        timings = stage_timings(header, step, draw)
        yield start, "/front/color/image_raw", image(scene(step, steps), header)
        yield start, "/wrist/color/image_raw", image(scene(step, steps)[::-1], header)
        done = start + timings.action_age_ms / 1e3
        yield done, "/tristage/action", new_message("tristage_msgs/msg/ActionChunk", header=header, sequence=step)
        yield done, "/tristage/pruning", pruning
        yield done, "/tristage/timings", timings
        overlay = draw_overlay(scene(step, steps), keep_2d, keep_3d, patch_of_point)
        yield done, "/tristage/overlay", image(overlay, header)
        yield from arm(start, step, steps)
        yield start, "/diagnostics", diagnostics(step)


def header_at(time: float) -> Any:
    stamp = new_message("builtin_interfaces/msg/Time", sec=10**9 + int(time), nanosec=round(time % 1 * 1e9))
    return new_message("std_msgs/msg/Header", stamp=stamp, frame_id="base_link")


def masks(step: int, steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    row, column = np.mgrid[:16, :16]
    patch_of_point = np.random.default_rng(1).permutation(256).astype(np.int64)
    patch_of_point[:16] = -1
    if step == 1:
        return np.ones(256, bool), np.ones(256, bool), patch_of_point
    centre = 4 + 8 * step / steps
    keep_2d = (np.hypot(row - 9, column - centre) < 4).ravel()
    near = (np.hypot(row - 10, column - centre - 1) < 4).ravel()
    return keep_2d, np.append(near, False)[patch_of_point], patch_of_point


def pruning_stats(header: Any, step: int, keep_2d: np.ndarray, keep_3d: np.ndarray, patch_of_point: np.ndarray) -> Any:
    wave = 0.1 * np.sin(step / 2)
    rate_2d, rate_3d = 1 - keep_2d.mean(), 1 - keep_3d.mean()
    return new_message(
        "tristage_msgs/msg/PruningStats",
        header=header,
        step=step,
        pruned=step > 1,
        rate=(rate_2d + rate_3d) / 2,
        rate_2d=rate_2d,
        rate_3d=rate_3d,
        keep_2d=keep_2d,
        keep_3d=keep_3d,
        patch_of_point=patch_of_point.astype(np.int16),
        stage_rates_2d=np.array([0.5 + wave, 0.7 - wave, 0.85 + wave / 2, rate_2d], np.float32),
        stage_rates_3d=np.array([0.3 + wave, 0.6 - wave, 0.8 + wave / 2, rate_3d], np.float32),
    )


def stage_timings(header: Any, step: int, draw: np.random.Generator) -> Any:
    parts = np.array([4, 22, 2.5, 150 if step == 1 else 70, 45], np.float32) * draw.uniform(0.9, 1.2)
    return new_message(
        "tristage_msgs/msg/StageTimings",
        header=header,
        step=step,
        parts_ms=parts,
        total_ms=float(parts.sum()) + 6,
        pruning_ms=float(parts[2]),
        overhead_percent=100 * float(parts[2] / parts.sum()),
        frames_skipped=step // 3,
        action_age_ms=float(parts.sum()) + draw.uniform(30, 60),
        control_rate_hz=0.0 if step == 1 else 1 / STEP,
    )


def image(pixels: np.ndarray, header: Any) -> Any:
    height, width = pixels.shape[:2]
    data = np.ascontiguousarray(pixels).reshape(-1)
    return new_message(IMAGE, header=header, height=height, width=width, encoding="rgb8", step=3 * width, data=data)


def scene(step: int, steps: int) -> np.ndarray:
    v, u = np.mgrid[:240, :320]
    picture = np.stack([90 + v / 3, 80 + v / 4, 70 + u / 5], axis=2)
    picture[np.hypot(v - 150, u - 60 - 180 * step / steps) < 25] = (230, 200, 40)
    picture[100:180, 250:300] = (60, 90, 200)
    return picture.astype(np.uint8)


def arm(start: float, step: int, steps: int) -> Iterator[tuple[float, str, Any]]:
    for tick in range(8):
        time = start + tick * STEP / 8
        phase = time / (steps * STEP)
        bends = [1.2 + 0.4 * phase, -1.1, 0.2 * np.sin(9 * phase), 0.9 - phase, 1.5 * phase]
        position = np.array([np.sin(3 * phase), *bends, 0.06 * phase])
        names = [*(f"joint{i}" for i in range(1, 7)), "gripper"]
        header = header_at(time)
        joints = new_message("sensor_msgs/msg/JointState", header=header, name=names, position=position)
        yield time, "/joint_states", joints
        mode = 1 if step == 1 else 2 if tick > 5 else 3
        yield (
            time,
            "/arm/status",
            new_message(
                "tristage_msgs/msg/ArmStatus",
                header=header,
                mode=mode,
                joint_position=position[:6],
                joint_target=position[:6],
                target_jerk=2.5 if step > 1 else np.nan,
                setpoints_sent=20 * step,
                setpoints_limited=step // 2,
                chunks_accepted=step,
            ),
        )


def diagnostics(step: int) -> Any:
    kind = "diagnostic_msgs/msg/DiagnosticStatus"
    value = new_message("diagnostic_msgs/msg/KeyValue", key="checkpoint", value="mini.safetensors")
    good = new_message(kind, name="policy: policy", message="running", values=[value])
    level, text = (1, "front: no frame for 0.6 s") if step == 3 else (0, "running")
    other = new_message(kind, level=level, name="point_cloud: front depth", message=text)
    return new_message("diagnostic_msgs/msg/DiagnosticArray", status=[good, other])
