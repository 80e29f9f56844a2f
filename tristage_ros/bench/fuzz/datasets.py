"""A dataset of other people's tools: each of its files damaged in turn, the rest as it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from tristage_ros.bench.fuzz.judge import Kind
from tristage_ros.bench.fuzz.mutations import mangled, spoiled, spoiled_json, spoiled_yaml
from tristage_ros.datasets.lerobot.codecs import VideoWriter, color_codec
from tristage_ros.datasets.lerobot.dataset import open_lerobot
from tristage_ros.datasets.lerobot.layout import DATA, EPISODES, INFO, TASKS, V30, VIDEOS, LerobotError

HEIGHT, WIDTH, FRAMES, RATE = 16, 16, 4, 10
KEY = "observation.images.front"
PLACE = {"chunk_index": 0, "file_index": 0}
JOINTS = [f"joint{number}" for number in range(1, 7)]
NAMED = {"joints": {"column": "observation.state", "names": JOINTS, "unit": "rad"},
         "gripper": {"column": "observation.state", "names": ["gripper"], "unit": "m"}}  # fmt: skip
MAPPING = {
    "robot_type": ["piper"],
    "zero": "new",
    **NAMED,
    "action": {part: {**told, "column": "action"} for part, told in NAMED.items()},
    "cameras": {
        "front": {
            "color": KEY,
            "intrinsics": [20.0, 20.0, 7.5, 7.5],
            "parent": "base_link",
            "translation": [0.9, 0.0, 0.6],
            "rotation": [0.0, 0.0, 0.0, 1.0],
        }
    },
}


def kinds(folder: Path) -> dict[str, Kind]:
    """Return the kinds by name, a file each; the dataset is in `folder`."""
    root, mapping = folder / "set", folder / "mapping.yaml"
    _write(root)
    mapping.write_text(json.dumps(MAPPING), encoding="utf-8")

    def kind(path: Path, inputs: SearchStrategy[bytes]) -> Kind:
        return Kind(inputs, _in_place(path, lambda: _read(root, mapping)), (LerobotError,))

    rows, episodes = root / DATA.format(**PLACE), root / EPISODES.format(**PLACE)
    video = root / VIDEOS.format(video_key=KEY, **PLACE)
    return {
        "lerobot_info": kind(root / INFO, spoiled_json(json.loads((root / INFO).read_text(encoding="utf-8")))),
        "lerobot_rows": kind(rows, st.one_of(mangled([rows.read_bytes()]), _tables(rows))),
        "lerobot_episodes": kind(episodes, st.one_of(mangled([episodes.read_bytes()]), _tables(episodes))),
        "lerobot_video": kind(video, mangled([video.read_bytes()])),
        "lerobot_mapping": kind(mapping, spoiled_yaml(MAPPING)),
    }


def _read(root: Path, mapping: Path) -> None:
    for episode in open_lerobot(root, mapping):
        for _ in episode.frames():
            pass


def _in_place(path: Path, read: Callable[[], object]) -> Callable[[bytes], object]:
    """Return what reads with `path` damaged, and puts it right again."""
    whole = path.read_bytes()

    def write_and_read(data: bytes) -> object:
        path.write_bytes(data)
        try:
            return read()
        finally:
            path.write_bytes(whole)

    return write_and_read


@st.composite
def _tables(draw: DrawFn, path: Path) -> bytes:
    """Return a whole file whose columns hold other values, or are other columns."""
    tree = draw(spoiled(pq.read_table(path).to_pydict()))
    if not isinstance(tree, dict):
        tree = {"column": tree}
    columns = {}
    for name, values in tree.items():
        try:
            columns[str(name)] = pa.array(values if isinstance(values, list) else [values])
        except (pa.ArrowException, OverflowError, UnicodeError, ValueError, TypeError):
            columns[str(name)] = pa.array([str(values).encode("utf-8", "replace")])
    sizes = {len(column) for column in columns.values()}
    length = min(sizes, default=0)
    sink = pa.BufferOutputStream()
    try:
        pq.write_table(pa.table({name: column[:length] for name, column in columns.items()}), sink)
    except pa.ArrowException:  # nothing that a file can hold
        return path.read_bytes()
    return bytes(sink.getvalue())


def _write(root: Path) -> None:
    numbers = np.arange(FRAMES)
    joints = np.tile(np.array([0.1, 0.5, -0.5, 0.0, 0.1, 0.2, 0.03], np.float32), (FRAMES, 1))
    names = {"dtype": "float32", "shape": [7], "names": [*JOINTS, "gripper"]}
    one = {
        key: {"dtype": "int64", "shape": [1], "names": None} for key in ("frame_index", "episode_index", "task_index")
    }
    features = {
        "observation.state": names, "action": names, "timestamp": {"dtype": "float32", "shape": [1]}, **one,
        KEY: {"dtype": "video", "shape": [HEIGHT, WIDTH, 3], "names": ["height", "width", "channels"]},
    }  # fmt: skip
    info = {
        "codebase_version": V30, "robot_type": "piper", "fps": RATE, "features": features, "total_episodes": 1,
        "total_frames": FRAMES, "total_tasks": 1, "chunks_size": 1000, "data_path": DATA, "video_path": VIDEOS,
    }  # fmt: skip
    rows = {
        "observation.state": list(joints), "action": list(joints),
        "timestamp": (numbers / RATE).astype(np.float32), "frame_index": numbers,
        "episode_index": np.zeros(FRAMES, np.int64), "task_index": np.zeros(FRAMES, np.int64),
    }  # fmt: skip
    row = {
        "episode_index": 0,
        "tasks": ["close the box"],
        "length": FRAMES,
        "data/chunk_index": 0,
        "data/file_index": 0,
    }
    row |= {f"videos/{KEY}/{name}": 0 for name in PLACE} | {f"videos/{KEY}/from_timestamp": 0.0}
    tables = {
        DATA.format(**PLACE): pa.table(rows),
        EPISODES.format(**PLACE): pa.Table.from_pylist([row]),
        TASKS: pa.table({"task_index": [0], "task": ["close the box"]}),
    }
    for place, table in tables.items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, root / place)
    (root / INFO).write_text(json.dumps(info), encoding="utf-8")
    video = root / VIDEOS.format(video_key=KEY, **PLACE)
    video.parent.mkdir(parents=True)
    writer = VideoWriter(video, RATE, (HEIGHT, WIDTH), color_codec())
    for at in range(FRAMES):
        writer.add(np.full((HEIGHT, WIDTH, 3), 50 * at, np.uint8))
    writer.close()
