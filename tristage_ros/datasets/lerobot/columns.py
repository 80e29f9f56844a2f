"""A frame as columns of numbers, and what is known of an episode as JSON beside them: what a dataset of ours has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tristage_ros.datasets.lerobot.layout import OWN, Feature
from tristage_ros.datasets.values import Calibration, Episode, Frame, Trim
from tristage_ros.devices.arm.values import ActionChunk
from tristage_ros.json_text import parse
from tristage_ros.perception.camera import CameraModel
from tristage_ros.perception.extrinsics import PARENTS, CameraMount
from tristage_ros.perception.lens import Lens
from tristage_ros.words import shown

FOLDER = "meta/tristage"
DATASET = f"{FOLDER}/dataset.json"
EPISODE = FOLDER + "/episode-{number:06d}.json"
FORMAT = 1
STATE, JOINTS, ACTION = "observation.state", "observation.joints", "action"
STAMP, STEP, SOURCE = "tristage.stamp", "tristage.time_step", "tristage.source"
COLUMNS = {
    STATE: Feature("float32", (7,), ("x", "y", "z", "roll", "pitch", "yaw", "gripper")),
    JOINTS: Feature("float32", (7,), (*(f"joint{number}" for number in range(1, 7)), "gripper")),
    ACTION: Feature("float32", (8,), ("x", "y", "z", "qx", "qy", "qz", "qw", "gripper")),
    STAMP: Feature("float64", (1,)),
    STEP: Feature("float64", (1,)),
    SOURCE: Feature("string", (1,)),
    **OWN,
}
UNITS = {
    STATE: "tool in the base frame, m and rad (roll, pitch, yaw about fixed axes); gripper 0 closed, 1 open",
    JOINTS: "rad; gripper: opening, m",
    ACTION: "tool: m relative to the measured one, quaternion in the base frame; gripper 0 closed, 1 open",
    STAMP: "s, ROS time of the observation",
    STEP: "s to the next frame; 0: key frames",
    SOURCE: "who moved the arm",
}


def color_key(camera: str) -> str:
    """Return the feature of a camera's colour."""
    return f"observation.images.{camera}"


def depth_key(camera: str) -> str:
    """Return the feature of a camera's depth."""
    return f"observation.images.{camera}_depth"


def values_of(frame: Frame) -> dict[str, Any]:
    """Return the columns of a frame that `COLUMNS` begins with."""
    action = frame.action
    return {
        STATE: np.asarray(frame.state, np.float32),
        JOINTS: np.asarray(frame.joints, np.float32),
        ACTION: np.concatenate([action.translation[0], action.orientation[0], action.gripper[:1]]).astype(np.float32),
        STAMP: float(frame.stamp),
        STEP: float(action.time_step),
        SOURCE: frame.source,
    }


def frame_of(
    row: Mapping[str, Any], images: Mapping[str, NDArray[np.uint8]], depths: Mapping[str, NDArray[np.float32]]
) -> Frame:
    """Return the frame of a row."""
    action = np.asarray(row[ACTION], np.float64)
    stamp, step = float(row[STAMP]), float(row[STEP])
    chunk = ActionChunk(stamp, step, action[None, :3], action[None, 3:7], action[7:8])
    state = np.asarray(row[STATE], np.float32)
    return Frame(stamp, images, depths, state, np.asarray(row[JOINTS], np.float64), chunk, str(row[SOURCE]))


def dataset_text(rate: float) -> str:
    """Return the file that says that a dataset is one of ours, and what its numbers mean."""
    return json.dumps({"format": FORMAT, "rate": float(rate), "units": UNITS}, indent=2) + "\n"


def rate_of(text: bytes) -> float:
    """Return the rate that such a file says, Hz; 0: key frames.

    Raises:
        ValueError: it is another format.
    """
    content = parse(text)
    rate = content.get("rate")
    if content.get("format") != FORMAT:
        raise ValueError(f"format is {shown(content.get('format'))}; this version reads {FORMAT}")
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0.0 <= rate < 1e6:
        raise ValueError(f"rate is {shown(rate)}, not Hz")
    return float(rate)


def episode_text(episode: Episode) -> str:
    """Return what is known of an episode beside its frames."""
    content = {
        "task": episode.task,
        "outcome": episode.outcome,
        "complaints": list(episode.complaints),
        "trim": [float(s) for s in (episode.trim.begin, episode.trim.end, episode.trim.recorded)],
        "dh_is_offset": episode.dh_is_offset,
        "facts": dict(episode.facts),
        "calibration": {name: _described(one) for name, one in episode.calibration.items()},
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def known_of(text: bytes) -> dict[str, Any]:
    """Return what such a text says, as keywords of `Episode`.

    Raises:
        ValueError: it says something else; the message names it.
    """
    content = parse(text)
    told: dict[str, Any] = {key: content.get(key) for key in ("task", "outcome", "complaints", "dh_is_offset", "facts")}
    kinds = {"task": str, "outcome": str, "complaints": list, "dh_is_offset": bool, "facts": dict}
    for key, kind in kinds.items():
        if not isinstance(told[key], kind):
            raise ValueError(f"{key} is {shown(told[key])}")
    if not all(isinstance(word, str) for word in (*told["complaints"], *told["facts"], *told["facts"].values())):
        raise ValueError("complaints and facts are not all words")
    trim, cameras = content.get("trim"), content.get("calibration")
    if not isinstance(cameras, dict) or not cameras:
        raise ValueError(f"calibration is {shown(cameras)}")
    return told | {
        "trim": Trim(*_numbers("trim", trim, 3)),
        "calibration": {name: _calibration(name, one) for name, one in cameras.items()},
    }


def _described(one: Calibration) -> dict[str, Any]:
    camera, mount = one.camera, one.mount
    lens = camera.lens and {"model": camera.lens.model, "coefficients": list(camera.lens.coefficients)}
    return {
        "size": [camera.width, camera.height],
        "intrinsics": [camera.fx, camera.fy, camera.cx, camera.cy],
        "lens": lens,
        "frame_id": camera.frame_id,
        "parent": mount.parent,
        "pose": np.asarray(mount.pose).tolist(),
        "lens_of_file": mount.lens,
    }


def _calibration(name: str, told: Any) -> Calibration:
    if not isinstance(told, dict):
        raise ValueError(f"calibration of {name} is {shown(told)}")
    width, height = _numbers(f"size of {name}", told.get("size"), 2)
    fx, fy, cx, cy = _numbers(f"intrinsics of {name}", told.get("intrinsics"), 4)
    lens, rows = told.get("lens"), told.get("pose")
    parent, texts = told.get("parent"), (told.get("frame_id"), told.get("lens_of_file"))
    if parent not in PARENTS or not all(isinstance(text, str) for text in texts) or fx <= 0 or fy <= 0:
        raise ValueError(f"calibration of {name}: parent is {shown(parent)}, intrinsics {shown(told['intrinsics'])}")
    if lens is not None:
        if not isinstance(lens, dict) or not isinstance(lens.get("coefficients"), list):
            raise ValueError(f"lens of {name} is {shown(lens)}")
        lens = Lens.of(lens.get("model", ""), _numbers(f"lens of {name}", lens["coefficients"]))
    if not isinstance(rows, list) or len(rows) != 4:
        raise ValueError(f"pose of {name} is {shown(rows)}, not 4 rows")
    pose = np.array([_numbers(f"pose of {name}", row, 4) for row in rows])
    camera = CameraModel(int(width), int(height), fx, fy, cx, cy, frame_id=str(texts[0]), lens=lens)
    return Calibration(camera, CameraMount(name, parent, pose, str(texts[1])))


def _numbers(what: str, told: Any, count: int | None = None) -> list[float]:
    if not isinstance(told, list) or (count is not None and len(told) != count):
        raise ValueError(f"{what} is {shown(told)}, not {count or ''} numbers")
    if not all(isinstance(n, (int, float)) and not isinstance(n, bool) and abs(n) < 1e12 for n in told):
        raise ValueError(f"{what} is {shown(told)}, not finite numbers")
    return [float(number) for number in told]
