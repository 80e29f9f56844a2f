"""`tristage dataset export --format arrays`: an .npz per episode, step by step, whole or not there."""

import json
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from damage import SMALL_BAG
from lerobot_sets import CAMERAS, TASKS, Demonstrations, depth_in_mm, scene

from tristage_ros.cli import main
from tristage_ros.datasets.arrays import write_arrays
from tristage_ros.datasets.bagged import open_dataset
from tristage_ros.datasets.values import DatasetError
from tristage_ros.devices.arm.kinematics import quaternion_to_matrix, rpy_to_matrix


def read(path):
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


class Changed(Demonstrations):
    """Frames that `change` makes others of, told episode and step."""

    def __init__(self, lengths, change):
        super().__init__(lengths)
        self.change = change

    def frames(self, number, length):
        for at, frame in enumerate(super().frames(number, length)):
            yield self.change(frame, number, at)


def test_every_step_is_a_frame_and_ends_are_told(tmp_path):
    cloud = np.arange(3000, dtype=np.float32).reshape(1000, 3)
    dataset = Changed((4, 3), lambda frame, number, at: replace(frame, points=cloud))
    assert write_arrays(dataset, tmp_path / "set") == (2, 7)
    features = json.loads((tmp_path / "set/features.json").read_text())
    assert features["rate"] == 15 and features["features"]["observation.image.front"] == ["uint8", [48, 64, 3]]
    for number, (episode, length) in enumerate(zip(dataset, (4, 3), strict=True)):
        arrays = read(tmp_path / f"set/episode_{number:06d}.npz")
        assert str(arrays["language_instruction"]) == TASKS[number]
        assert arrays["is_first"].tolist() == [True] + [False] * (length - 1)
        assert arrays["is_last"].tolist() == [False] * (length - 1) + [True]
        done = number == 1  # the other one nobody marked
        assert arrays["is_terminal"].any() == done and arrays["reward"].sum() == done
        assert arrays["discount"].tolist() == [1] * (length - 1) + [0 if done else 1]
        for at, frame in enumerate(episode.frames()):
            assert (arrays["observation.state"][at] == frame.state).all() and arrays["stamp"][at] == frame.stamp
            assert (arrays["action"][at][:3] == frame.action.translation[0].astype(np.float32)).all()
            turned = rpy_to_matrix(arrays["action"][at][3:6])
            np.testing.assert_allclose(turned, quaternion_to_matrix(frame.action.orientation[0]), atol=1e-6)
            np.testing.assert_array_equal(arrays["observation.points"][at], np.concatenate([cloud, cloud[:24]]))
            for place, camera in enumerate(CAMERAS):
                np.testing.assert_array_equal(arrays[f"observation.image.{camera}"][at], scene(at, number + 30 * place))
                depth = depth_in_mm(at, number + 50 * place)
                kept = np.where(depth <= 4095, depth, 0)
                np.testing.assert_array_equal(arrays[f"observation.depth.{camera}"][at], kept)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda f, n, at: replace(f, state=f.state * np.float32(np.nan)) if at == 2 else f,
            "state of frame 2 is not fi",
        ),
        (lambda f, n, at: replace(f, images={"front": f.images["front"][:9]}) if at else f, "wrist is not in every"),
        (
            lambda f, n, at: replace(f, depths={k: d[:9] for k, d in f.depths.items()}) if at else f,
            r"frame 1 is.*\(9, 64",
        ),
        (lambda f, n, at: replace(f, points=np.zeros((1025, 3), np.float32)), "a cloud of 1025 points; 1024 are kept"),
    ],
)
def test_an_episode_that_cannot_be_written_is_refused_by_name_and_nothing_is_left(change, told, tmp_path):
    with pytest.raises(DatasetError, match=f"made/0000: .*{told}"):
        write_arrays(Changed((4,), change), tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_an_episode_unlike_the_others_is_refused_and_these_stay(tmp_path):
    dataset = Changed((3, 3), lambda f, n, at: replace(f, depths={}) if n else f)
    with pytest.raises(DatasetError, match=r"made/0001: observation\.depth\.front is None, in the episodes before"):
        write_arrays(dataset, tmp_path / "set")
    assert sorted(path.name for path in (tmp_path / "set").iterdir()) == ["episode_000000.npz", "features.json"]


def test_what_was_begun_is_gone_on_with_and_nothing_else(tmp_path):
    class First(Demonstrations):
        def __iter__(self):
            yield from islice(super().__iter__(), 1)

    root = tmp_path / "set"
    write_arrays(First((3, 2)), root)
    kept = (root / "episode_000000.npz").stat().st_mtime_ns
    with pytest.raises(DatasetError, match="not empty; give a folder that is not there yet, or --resume"):
        write_arrays(Demonstrations((3, 2)), root)
    assert write_arrays(Demonstrations((3, 2)), root, resume=True) == (2, 2)
    assert (root / "episode_000000.npz").stat().st_mtime_ns == kept and len(
        read(root / "episode_000001.npz")["stamp"]
    ) == 2
    (root / "episode_000000.npz").write_bytes(b"PK")
    with pytest.raises(DatasetError, match=r"episode_000000\.npz is no whole episode; delete it"):
        write_arrays(Demonstrations((3, 2)), root, resume=True)


def test_a_bag_becomes_arrays_with_the_cloud_that_the_policy_sees(tmp_path, capsys):
    out = tmp_path / "set"
    assert main(["dataset", "export", str(SMALL_BAG), "--format", "arrays", "--out", str(out)]) == 0
    assert "of a processor" in capsys.readouterr().out
    arrays, (episode,) = read(out / "episode_000000.npz"), open_dataset(SMALL_BAG)
    for at, frame in enumerate(episode.frames()):
        np.testing.assert_array_equal(arrays["observation.points"][at], np.resize(frame.points, (1024, 3)))
    assert arrays["observation.image.front"].dtype == np.uint8 and not list(out.glob(".*"))
