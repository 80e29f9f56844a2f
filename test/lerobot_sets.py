"""Small datasets: one of ours, and one as other people's tools write it, in both versions of the format."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tristage_ros.datasets.lerobot.codecs import VideoWriter, color_codec
from tristage_ros.datasets.values import Calibration, Episode, Frame, Trim
from tristage_ros.devices.arm.values import ActionChunk
from tristage_ros.perception.camera import CameraModel
from tristage_ros.perception.extrinsics import CameraMount
from tristage_ros.perception.lens import Lens

HEIGHT, WIDTH, RATE = 48, 64, 15
CAMERAS = ("front", "wrist")
TASKS = ("put the banana on the plate", "close the box")
JOINTS = tuple(f"main_joint_{number}" for number in range(1, 7))
MAPPING = """\
robot_type: [piper, agilex_piper]
zero: new
joints: {column: observation.state, names: [main_joint_1, main_joint_2, main_joint_3, main_joint_4, main_joint_5,
  main_joint_6], unit: deg}
gripper: {column: observation.state, names: [main_gripper], unit: mm}
action:
  joints: {column: action, names: [main_joint_1, main_joint_2, main_joint_3, main_joint_4, main_joint_5,
    main_joint_6], unit: deg}
  gripper: {column: action, names: [main_gripper], unit: mm}
cameras:
  front:
    color: observation.images.top
    intrinsics: [60.0, 60.0, 31.5, 23.5]
    parent: base_link
    translation: [0.9, 0.0, 0.6]
    rotation: [0.64126261, 0.64126261, -0.29796353, -0.29796353]
"""


def scene(at: int, seed: int = 0) -> np.ndarray:
    """Return a colour image that moves."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    planes = ((np.sin((x + 3 * at + seed) / 17) + 1) * 100, (np.cos((y - 2 * at) / 11) + 1) * 110, 2 * (x + y) + at)
    return np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)


def depth_in_mm(at: int, seed: int = 0) -> np.ndarray:
    """Return depth with holes, with what is near, and with what is farther than is kept."""
    rng = np.random.default_rng(1000 * seed + at)
    depth = rng.integers(100, 2001, (HEIGHT, WIDTH))
    depth[0], depth[1], depth[2] = 0, 60, 4200
    return depth


def calibration(camera: str) -> Calibration:
    """Return a calibration with numbers that are not round."""
    pose = np.eye(4)
    pose[:3, 3] = 0.1, 1 / 3, np.pi
    model = CameraModel(
        WIDTH, HEIGHT, 60.1, 60.2, 31.7, 23.3, frame_id=camera, lens=Lens.of("plumb_bob", (0.1, -0.02, 0, 0))
    )
    return Calibration(model, CameraMount(camera, "flange" if camera == "wrist" else "base_link", pose))


class Demonstrations:
    """A dataset whose frames are worked out when they are asked for."""

    def __init__(self, lengths: Sequence[int], rate: float = RATE, depth: bool = True) -> None:
        self.lengths, self.rate, self.depth = lengths, rate, depth

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[Episode]:
        for number, length in enumerate(self.lengths):
            yield Episode(
                number,
                f"made/{number:04d}",
                TASKS[number % 2],
                {camera: calibration(camera) for camera in CAMERAS},
                Trim(0.5, 4.25, 6.0),
                lambda number=number, length=length: self.frames(number, length),
                "success" if number % 2 else "",
                ["front colour: down to 11.5 of 15 Hz"],
                True,
                {"operator": "Ana", "firmware": "S-V1.8-9"},
            )

    def frames(self, number: int, length: int) -> Iterator[Frame]:
        for at in range(length):
            stamp = 1700000000.0 + at / RATE + 0.004 * np.sin(at)
            images = {camera: scene(at, number + 30 * place) for place, camera in enumerate(CAMERAS)}
            depths = {
                camera: depth_in_mm(at, number + 50 * place).astype(np.float32) * np.float32(1e-3)
                for place, camera in enumerate(CAMERAS if self.depth else ())
            }
            quaternion = np.array([[0.1, 0.2, 0.3, at + 1.0]]) / np.linalg.norm([0.1, 0.2, 0.3, at + 1.0])
            action = ActionChunk(stamp, 1 / RATE + 0.001 * at, np.full((1, 3), 0.01 * at), quaternion, np.array([0.5]))
            state = np.linspace(-1, 1, 7, dtype=np.float32) + np.float32(0.01 * at)
            joints = np.linspace(0.0, 0.6, 7) + 0.013 * at
            yield Frame(stamp, images, depths, state, joints, action, "leader" if at < 3 else "policy")


def degrees(number: int, length: int) -> np.ndarray:
    """Return joints in degrees and the gripper in mm of an episode, [F, 7]."""
    at = np.arange(length)[:, None] + 10 * number
    return np.hstack([10 + at * [0.5, 1.0, 0.0, 0.3, 0.2, 0.1] + [0, 30, -60, 0, 0, 0], 20.0 + at]).astype(np.float32)


def foreign(root: Path, version: str = "v3.0", lengths: Sequence[int] = (6, 4)) -> Path:
    """Write joints in degrees and one camera as others do: in v3.0 all episodes in one file of each kind."""
    names = [*JOINTS, "main_gripper"]
    new = version == "v3.0"
    features = {
        key: {"dtype": "float32", "shape": [7], "names": {"motors": names}} for key in ("observation.state", "action")
    }
    features["observation.images.top"] = {
        "dtype": "video", "shape": [HEIGHT, WIDTH, 3], "names": ["height", "width", "channels"],
        "info": {"video.fps": RATE, "video.codec": "av1"},
    }  # fmt: skip
    for key, dtype in (
        ("timestamp", "float32"),
        *((key, "int64") for key in ("frame_index", "episode_index", "index", "task_index")),
    ):
        features[key] = {"dtype": dtype, "shape": [1], "names": None}
    place = "chunk-{episode_chunk:03d}/episode_{episode_index:06d}"
    if new:
        place = "chunk-{chunk_index:03d}/file-{file_index:03d}"
    info = {
        "codebase_version": version, "robot_type": "agilex_piper", "fps": RATE, "features": features,
        "total_episodes": len(lengths), "total_frames": sum(lengths), "total_tasks": 2, "chunks_size": 1000,
        "splits": {"train": f"0:{len(lengths)}"},
        "data_path": f"data/{place}.parquet",
        "video_path": f"videos/{{video_key}}/{place}.mp4" if new else
        "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
    }  # fmt: skip
    tables = []
    for number, length in enumerate(lengths):
        begin = sum(lengths[:number])
        rows = degrees(number, length)
        numbers = np.arange(length)
        tables.append(
            pa.table(
                {
                    "observation.state": list(rows), "action": list(rows + np.float32(0.5)),
                    "timestamp": pa.array((numbers / RATE).astype(np.float32)), "frame_index": numbers,
                    "episode_index": np.full(length, number), "index": begin + numbers,
                    "task_index": np.full(length, number % 2),
                }
            )
        )  # fmt: skip
    (root / "meta").mkdir(parents=True)
    (root / "meta/info.json").write_text(json.dumps(info))
    (_write_new if new else _write_old)(root, tables, lengths)
    return root


def _film(path: Path, lengths: Sequence[int], first: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = VideoWriter(path, RATE, (HEIGHT, WIDTH), color_codec())
    for number, length in enumerate(lengths, first):
        for at in range(length):
            writer.add(scene(at, 40 * number))
    writer.close()


def _write_new(root: Path, tables: Sequence[pa.Table], lengths: Sequence[int]) -> None:
    _film(root / "videos/observation.images.top/chunk-000/file-000.mp4", lengths, 0)
    for folder in ("data", "meta/episodes"):
        (root / folder / "chunk-000").mkdir(parents=True)
    with pq.ParquetWriter(root / "data/chunk-000/file-000.parquet", tables[0].schema) as writer:
        for table in tables:
            writer.write_table(table)
    rows = [
        {
            "episode_index": number, "tasks": [TASKS[number % 2]], "length": length, "data/chunk_index": 0,
            "data/file_index": 0, "dataset_from_index": sum(lengths[:number]),
            "dataset_to_index": sum(lengths[: number + 1]), "videos/observation.images.top/chunk_index": 0,
            "videos/observation.images.top/file_index": 0,
            "videos/observation.images.top/from_timestamp": sum(lengths[:number]) / RATE,
            "videos/observation.images.top/to_timestamp": sum(lengths[: number + 1]) / RATE,
        }
        for number, length in enumerate(lengths)
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), root / "meta/episodes/chunk-000/file-000.parquet")
    tasks = pa.table({"task_index": pa.array([0, 1]), "__index_level_0__": pa.array(list(TASKS))})
    pq.write_table(tasks, root / "meta/tasks.parquet")


def _write_old(root: Path, tables: Sequence[pa.Table], lengths: Sequence[int]) -> None:
    (root / "data/chunk-000").mkdir(parents=True)
    for number, (table, length) in enumerate(zip(tables, lengths, strict=True)):
        pq.write_table(table, root / f"data/chunk-000/episode_{number:06d}.parquet")
        _film(root / f"videos/chunk-000/observation.images.top/episode_{number:06d}.mp4", [length], number)
    episodes = [{"episode_index": n, "tasks": [TASKS[n % 2]], "length": length} for n, length in enumerate(lengths)]
    tasks = [{"task_index": number, "task": task} for number, task in enumerate(TASKS)]
    for name, lines in (("episodes", episodes), ("tasks", tasks)):
        (root / f"meta/{name}.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
