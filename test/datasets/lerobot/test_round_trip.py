"""What is written is what is read: every number, every distance, the colours within what the codec does to them."""

import json
import weakref
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from lerobot_sets import CAMERAS, TASKS, Demonstrations, depth_in_mm, scene

from tristage_ros.datasets.lerobot.dataset import open_lerobot
from tristage_ros.datasets.lerobot.layout import LerobotError
from tristage_ros.datasets.lerobot.writer import Writer, write_dataset
from tristage_ros.datasets.values import DatasetError


def files(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("written") / "set"
    write_dataset(Demonstrations((7, 5, 3)), root)
    return root


def test_export_import_and_export_again_are_equal_byte_for_byte(written, tmp_path):
    write_dataset(open_lerobot(written), tmp_path / "again")
    write_dataset(open_lerobot(tmp_path / "again"), tmp_path / "third")
    assert files(tmp_path / "again") == files(tmp_path / "third") == files(written)


def test_every_number_comes_back_and_what_is_known_of_an_episode(written):
    dataset = open_lerobot(written)
    assert (dataset.rate, len(dataset)) == (15.0, 3)
    for made, read in zip(Demonstrations((7, 5, 3)), dataset, strict=True):
        for name in ("number", "task", "outcome", "complaints", "trim", "dh_is_offset", "facts"):
            assert getattr(read, name) == getattr(made, name), name
        assert list(read.calibration) == list(CAMERAS)
        for camera, one in made.calibration.items():
            assert read.calibration[camera].camera.lens == one.camera.lens
            assert read.calibration[camera].camera.matrix.tolist() == one.camera.matrix.tolist()
            assert read.calibration[camera].mount.pose.tolist() == one.mount.pose.tolist()
        for one, other in zip(made.frames(), read.frames(), strict=True):
            assert (other.stamp, other.source, other.action.time_step) == (one.stamp, one.source, one.action.time_step)
            assert (other.state == one.state).all() and other.state.dtype == np.float32
            assert (other.joints == one.joints.astype(np.float32)).all() and other.joints.dtype == np.float64
            for part in ("translation", "orientation", "gripper"):
                assert (getattr(other.action, part) == getattr(one.action, part).astype(np.float32)).all()


def test_distances_come_back_to_the_millimetre_and_what_was_not_measured_stays_so(written):
    for made, read in zip(Demonstrations((7, 5, 3)), open_lerobot(written), strict=True):
        for one, other in zip(made.frames(), read.frames(), strict=True):
            for camera in CAMERAS:
                near = (one.depths[camera] > 0) & (one.depths[camera] <= 4.095)
                assert (other.depths[camera][near] == one.depths[camera][near]).all() and near[1].all()
                assert (other.depths[camera][~near] == 0).all() and (~near).sum() == 2 * near.shape[1]


def test_colours_are_within_what_the_codec_does_to_them(written):
    for made, read in zip(Demonstrations((7, 5, 3)), open_lerobot(written), strict=True):
        for one, other in zip(made.frames(), read.frames(), strict=True):
            for camera in CAMERAS:
                error = np.abs(one.images[camera].astype(int) - other.images[camera])
                assert 0 < error.mean() < 6.0, camera  # of 255; crf 30
                other_scene = np.abs(scene(3, 200).astype(int) - other.images[camera])
                assert error.mean() < other_scene.mean() / 3  # so that another image would be noticed


def test_statistics_are_those_of_what_a_reader_gets(written):
    stats = json.loads((written / "meta/stats.json").read_text())
    episodes = [list(episode.frames()) for episode in open_lerobot(written)]
    states = np.concatenate([[frame.state for frame in frames] for frames in episodes]).astype(float)
    told = stats["observation.state"]
    np.testing.assert_allclose(told["mean"], states.mean(0), rtol=1e-6)
    np.testing.assert_allclose(told["std"], states.std(0), rtol=1e-5)
    assert told["min"] == states.min(0).tolist() and told["max"] == states.max(0).tolist() and told["count"] == [15]
    by_episode = [np.quantile([frame.state for frame in frames], 0.99, axis=0) for frames in episodes]
    np.testing.assert_allclose(told["q99"], np.max(by_episode, axis=0), rtol=1e-6)
    colors = np.stack([frame.images["front"] for frames in episodes for frame in frames]) / 255
    np.testing.assert_allclose(np.ravel(stats["observation.images.front"]["mean"]), colors.mean((0, 1, 2)), rtol=1e-9)
    np.testing.assert_allclose(np.ravel(stats["observation.images.front"]["std"]), colors.std((0, 1, 2)), rtol=1e-9)
    depths = np.stack([frame.depths["wrist"] for frames in episodes for frame in frames]).astype(float) * 1e3
    np.testing.assert_allclose(
        np.ravel(stats["observation.images.wrist_depth"]["mean"]), depths[depths > 0].mean(), rtol=1e-6
    )
    assert np.shape(stats["observation.images.wrist_depth"]["min"]) == (1, 1, 1)


def test_key_frames_have_no_rate_and_one_that_is_no_whole_number_is_refused(tmp_path):
    write_dataset(Demonstrations((3,), rate=0.0), tmp_path / "keys")
    assert open_lerobot(tmp_path / "keys").rate == 0.0
    with pytest.raises(LerobotError, match=r"frames come at 7\.5 Hz"):
        write_dataset(Demonstrations((3,), rate=7.5), tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_other_frames_of_an_episode_get_videos_of_their_own(written, tmp_path):
    class Shorter:
        rate = 15.0

        def __len__(self):
            return 1

        def __iter__(self):
            episode = next(iter(open_lerobot(written)))
            yield replace(episode, frames=lambda: islice(episode.frames(), 2, 5))

    write_dataset(Shorter(), tmp_path / "part")
    (episode,) = open_lerobot(tmp_path / "part")
    whole = list(next(iter(open_lerobot(written))).frames())
    assert [frame.stamp for frame in episode.frames()] == [frame.stamp for frame in whole[2:5]]
    for one, other in zip(whole[2:5], episode.frames(), strict=True):
        assert (one.depths["front"] == other.depths["front"]).all()


def test_no_more_than_a_few_frames_are_alive_at_a_time(tmp_path):
    made, most = [], 0

    class Counted(Demonstrations):
        def frames(self, number, length):
            nonlocal most
            for frame in super().frames(number, length):
                made.append(weakref.ref(frame.images["front"]))
                most = max(most, sum(image() is not None for image in made))
                yield frame

    write_dataset(Counted((6, 6)), tmp_path / "set")
    assert most <= 3


class Ended(BaseException):
    """As a process that is killed."""


class Ending(Demonstrations):
    def frames(self, number, length):
        yield from islice(super().frames(number, length), 3 if number == 2 else length)
        if number == 2:
            raise Ended


def test_whatever_ends_the_writer_costs_the_episode_that_it_was_at(written, tmp_path):
    root = tmp_path / "set"
    with pytest.raises(Ended):
        write_dataset(Ending((7, 5, 3)), root)
    assert [sum(1 for _ in episode.frames()) for episode in open_lerobot(root)] == [7, 5]
    with pytest.raises(LerobotError, match=r"not empty.*--resume"):
        write_dataset(Demonstrations((7, 5, 3)), root)
    write_dataset(Demonstrations((7, 5, 3)), root, resume=True)
    assert files(root) == files(written)


def test_a_writer_that_is_killed_leaves_what_can_be_gone_on_with(written, tmp_path, monkeypatch):
    """Nothing is tidied up: as when the process is gone at any of the moves of the third episode."""
    for moves in range(12):
        root = tmp_path / str(moves)
        left = [moves]

        def move(self, path, place, left=left, real=Writer._move):
            if self.info.episodes == 3:
                left[0] -= 1
                if left[0] < 0:
                    raise Ended
            real(self, path, place)

        with monkeypatch.context() as patch:
            patch.setattr(Writer, "_move", move)
            patch.setattr(Writer, "_write", lambda self, place, text, real=Writer._write: (
                move(self, None, None, real=lambda *_: real(self, place, text))))  # fmt: skip
            try:
                write_dataset(Demonstrations((7, 5, 3)), root)
            except Ended:
                assert len(list(open_lerobot(root))) == 2
        write_dataset(Demonstrations((7, 5, 3)), root, resume=True)
        assert files(root) == files(written)


def test_going_on_with_another_dataset_is_refused(written, tmp_path):
    root = tmp_path / "set"
    write_dataset(Demonstrations((7,)), root)
    before = files(root)

    class Other(Demonstrations):
        def __iter__(self):
            yield from (replace(episode, task="something else") for episode in super().__iter__())

    with pytest.raises(LerobotError, match="episode 0: it is not made/0000"):
        write_dataset(Other((7, 5)), root, resume=True)
    with pytest.raises(LerobotError, match="15 Hz, not 5"):
        write_dataset(Demonstrations((7, 5), rate=5.0), root, resume=True)
    assert files(root) == before


@pytest.mark.parametrize("length", [0])
def test_an_episode_without_frames_is_refused_by_name_and_nothing_is_left(length, tmp_path):
    with pytest.raises(DatasetError, match="made/0000: it has no frames"):
        write_dataset(Demonstrations((length,)), tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_an_episode_that_is_not_like_the_others_is_refused_by_name(tmp_path):
    class Mixed(Demonstrations):
        def frames(self, number, length):
            for frame in super().frames(number, length):
                yield replace(frame, depths={}) if number else frame

    with pytest.raises(
        LerobotError, match=r"made/0001: it has no observation\.images\.front_depth, .*_depth, which the"
    ):
        write_dataset(Mixed((3, 3)), tmp_path / "set")
    assert len(list(open_lerobot(tmp_path / "set"))) == 1


def test_a_number_that_is_none_is_refused_by_name(tmp_path):
    class Broken(Demonstrations):
        def frames(self, number, length):
            for at, frame in enumerate(super().frames(number, length)):
                state = frame.state * np.float32(np.nan if at == 2 else 1)
                yield replace(frame, state=state)

    with pytest.raises(LerobotError, match=r"made/0000: observation\.state is not finite in frame 2"):
        write_dataset(Broken((4,)), tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_tasks_are_numbered_once(written):
    assert [episode.task for episode in open_lerobot(written)] == [TASKS[0], TASKS[1], TASKS[0]]
    assert json.loads((written / "meta/info.json").read_text())["total_tasks"] == 2


def test_depth_may_be_left_out(tmp_path):
    write_dataset(Demonstrations((3,)), tmp_path / "set", depth=False)
    (episode,) = open_lerobot(tmp_path / "set")
    assert all(not frame.depths for frame in episode.frames())
    assert depth_in_mm(0)[3:].min() >= 100
