"""Damage is told in one line that names the file, and the episode if it is of one; nothing half written is left."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lerobot_sets import MAPPING, RATE, Demonstrations, _film, foreign

from tristage_ros.datasets.lerobot.dataset import open_lerobot
from tristage_ros.datasets.lerobot.layout import LerobotError
from tristage_ros.datasets.lerobot.writer import write_dataset

DATA = {"v3.0": "data/chunk-000/file-000.parquet", "v2.1": "data/chunk-000/episode_000001.parquet"}
VIDEO = {
    "v3.0": "videos/observation.images.top/chunk-000/file-000.mp4",
    "v2.1": "videos/chunk-000/observation.images.top/episode_000001.mp4",
}


class Case:
    """A dataset in one of the versions, and ways to damage it; the second episode is the one that is hit."""

    def __init__(self, folder, version):
        self.version, self.root = version, foreign(folder / "set", version)
        self.data, self.video = self.root / DATA[version], self.root / VIDEO[version]
        self.mapping = folder / "mapping.yaml"
        self.mapping.write_text(MAPPING)

    def info(self, **changes):
        path = self.root / "meta/info.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    def column(self, key, change):
        table = pq.read_table(self.data)
        values = table[key].to_pylist()
        at = table["episode_index"].to_pylist().index(1)
        change(values, at)
        kind = table.schema.field(key).type
        table = table.set_column(table.schema.get_field_index(key), key, pa.array(values, kind))
        pq.write_table(table, self.data)

    def lengths(self, length):
        if self.version == "v2.1":
            path = self.root / "meta/episodes.jsonl"
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            lines[1]["length"] = length
            path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        else:
            path = self.root / "meta/episodes/chunk-000/file-000.parquet"
            rows = pq.read_table(path).to_pylist()
            rows[1]["length"] = length
            pq.write_table(pa.Table.from_pylist(rows), path)

    def shorten(self, path):
        path.write_bytes(path.read_bytes()[:-200])


def nan(values, at):
    values[at + 2][3] = float("nan")


def gap(values, at):
    values[at + 1] = None


def halves(values, at):
    values[at:] = [value / 2 for value in values[at:]]


def film(case, lengths, rate=RATE):
    import lerobot_sets

    lerobot_sets.RATE, before = rate, lerobot_sets.RATE
    try:
        _film(case.video, lengths if case.version == "v3.0" else lengths[1:], 0)
    finally:
        lerobot_sets.RATE = before


def wider(case):
    features = json.loads((case.root / "meta/info.json").read_text())["features"]
    features["observation.images.top"]["shape"] = [48, 80, 3]
    case.info(features=features)


def no_task(values, at):
    values[at:] = [9] * 4


def half_converted(case):
    case.info(codebase_version="v2.1" if case.version == "v3.0" else "v3.0")


DAMAGES = {
    "NaN in an action": (
        lambda case: case.column("action", nan),
        "{data}: episode 1: action of main_joint_4 is nan in frame 2",
    ),
    "a gap in a column": (
        lambda case: case.column("action", gap),
        "{data}: episode 1: action cannot be read: there are gaps",
    ),
    "length 0": (lambda case: case.lengths(0), "episode 1: its length is 0"),
    "fewer rows": (lambda case: case.lengths(5), "{data}: episode 1: it has 4 rows for 5 frames"),
    "more rows": (lambda case: case.lengths(3), "{data}: episode 1: it has more rows than its 3 frames"),
    "no footer": (
        lambda case: case.shorten(case.data),
        "{data}: episode [01]: it is no whole parquet file: .*to its end",
    ),
    "no data": (lambda case: case.data.unlink(), "{data}: episode [01]: the file is not there"),
    "no video": (lambda case: case.video.unlink(), "{video}: episode [01]: the video is not there"),
    "a video cut off": (lambda case: case.shorten(case.video), "{video}: episode [01]: "),
    "a video shorter than its rows": (
        lambda case: film(case, (6, 2)),
        "{video}: episode 1: the video ends after 2 frames, its rows are 4",
    ),
    "a video of another rate": (
        lambda case: film(case, (6, 4), 30),
        "{video}: episode [01]: frame [01] is at .*; at 15 Hz it would be",
    ),
    "another rate": (
        lambda case: case.info(fps=30),
        "{any}: episode 0: frame 1 is at 0.06667 s; at the 30 Hz of .* at 0.03333 s",
    ),
    "stamps of another rate": (lambda case: case.column("timestamp", halves), "{data}: episode 1: frame 1 is at 0.0"),
    "fps that is none": (lambda case: case.info(fps=0), "info.json: fps is 0, not a whole number"),
    "more a second than a number can be": (lambda case: case.info(fps=10**400), "info.json: fps is 1000"),
    "a path that cannot be shown": (lambda case: case.info(data_path="\x1f"), r"data_path is '\\x1f', not a path"),
    "another version": (lambda case: case.info(codebase_version="v1.6"), "is 'v1.6'; v3.0 and v2.1 can be read"),
    "half converted": (half_converted, "says v[23].[01], but meta/.* is of v[23].[01]: converting it ended half way"),
    "no info": (lambda case: (case.root / "meta/info.json").unlink(), "info.json is not there; give the folder"),
    "an episode too few": (lambda case: case.info(total_episodes=3), "says 3 episodes, and there are 2"),
    "a path that leads out": (lambda case: case.info(data_path="../../x"), "leads out of the dataset"),
    "a path with other fields": (lambda case: case.info(data_path="x/{chunk_index.real}"), "cannot be used"),
    "a video of another size": (wider, "{any}: episode 0: its images are 64 x 48, .* 80 x 48"),
    "another task": (lambda case: case.column("task_index", no_task), "episode 1: task 9 is not among"),
}


@pytest.mark.parametrize("version", ["v3.0", "v2.1"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_told_in_one_line_and_nothing_half_written_stays(damage, version, tmp_path):
    case = Case(tmp_path, version)
    hit, told = DAMAGES[damage]
    hit(case)
    out = tmp_path / "out"
    told = told.format(data=DATA[version], video=VIDEO[version], any=r"(data|videos)/.*\.(parquet|mp4)")
    with pytest.raises(LerobotError, match=told) as error:
        write_dataset(open_lerobot(case.root, case.mapping), out)
    assert str(error.value).isprintable()
    if out.exists():  # what was whole
        assert len(list(open_lerobot(out))) in (1, 2) and not (out / ".unfinished").exists()


@pytest.mark.parametrize(
    ("path", "old", "new", "told"),
    [
        ("meta/tristage/episode-000001.json", '"task"', '"tusk"', "episode-000001.json: episode 1: task is None"),
        ("meta/tristage/episode-000001.json", "60.1", "NaN", "intrinsics of front is .*nan"),
        ("meta/tristage/dataset.json", '"format": 1', '"format": 2', "format is 2; this version reads 1"),
        ("meta/info.json", '"tristage.stamp"', '"tristage.stump"', "tristage.stamp is None, not as ours"),
        ("meta/info.json", '"video.depth_min": 0.0', '"video.depth_min": 5', "depth from 5 to 4.095 m"),
    ],
)
def test_damage_to_what_is_beside_the_format_is_told_too(path, old, new, told, tmp_path):
    root = tmp_path / "set"
    write_dataset(Demonstrations((3, 3)), root)
    text = (root / path).read_text()
    assert old in text
    (root / path).write_text(text.replace(old, new))
    with pytest.raises(LerobotError, match=told):
        for episode in open_lerobot(root):
            list(episode.frames())


def test_a_damaged_byte_in_our_own_rows_is_noticed(tmp_path):
    root = tmp_path / "set"
    write_dataset(Demonstrations((30,), depth=False), root)
    path = root / "data/chunk-000/file-000.parquet"
    data = np.frombuffer(path.read_bytes(), np.uint8).copy()
    data[len(data) // 5] ^= 0x10
    path.write_bytes(data.tobytes())
    with pytest.raises(LerobotError, match=r"file-000\.parquet: episode 0: "):
        for episode in open_lerobot(root):
            list(episode.frames())
