"""What cannot be used is named with its file, its episode and what is wrong, in one line."""

import math
import shutil

import numpy as np
import pytest
from altered import FRONT_COLOR, FRONT_DEPTH, INFO, JOINTS, SMALL_BAG, STATUS, WRIST_DEPTH, edited, thinned, without
from damage import damaged

from tristage_ros.bags.episodes.episode import Episode
from tristage_ros.cli import main
from tristage_ros.datasets.bagged import open_dataset
from tristage_ros.datasets.sampling import Sampling
from tristage_ros.datasets.values import DatasetError

RATE = Sampling(rate=3.0, trims=False)


def in_degrees(state, number):
    state.position = np.append(np.degrees(state.position[:6]), state.position[6:])


def in_shares(state, number):
    state.position[-1] = 1.0


def called_otherwise(state, number):
    state.name = [f"main_joint_{place}" for place in range(1, len(state.name) + 1)]


def lost(status, number):
    if number == 20:
        status.joint_target[2] = math.nan


def unmeasured(state, number):
    if number == 20:
        state.position[2] = math.inf


def smaller(info, number):
    info.width, info.height = 320, 240


def cut_off(message, number):
    return [message._replace(data=message.data[:-100])]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        pytest.param(lambda p: without(p, FRONT_DEPTH), "lacks /front/aligned_depth_to_color/image_raw", id="depth"),
        pytest.param(lambda p: without(p, WRIST_DEPTH), "lacks /wrist/aligned_depth_to_color/image_raw", id="wrist"),
        pytest.param(lambda p: without(p, FRONT_COLOR), "lacks /front/color/image_raw", id="colour"),
        pytest.param(lambda p: without(p, JOINTS), "nothing on /joint_states", id="joints"),
        pytest.param(lambda p: thinned(p, 6), "Hz, not at the 3 Hz that are asked for: give a lower rate", id="rate"),
        pytest.param(lambda p: edited(p, STATUS, lost), "the target in /arm/status at", id="NaN in an action"),
        pytest.param(lambda p: edited(p, JOINTS, unmeasured), "joint_states are not finite", id="NaN in a state"),
        pytest.param(lambda p: edited(p, JOINTS, in_degrees), "which cannot be rad", id="degrees"),
        pytest.param(lambda p: edited(p, JOINTS, in_shares), "gripper is 1, which cannot be m", id="gripper"),
        pytest.param(lambda p: edited(p, JOINTS, called_otherwise), "they have main_joint_1", id="names"),
        pytest.param(lambda p: edited(p, INFO, smaller), "camera_info says 320x240", id="size"),
        pytest.param(lambda p: damaged(p, cut_off, [FRONT_DEPTH]), "is damaged", id="damage"),
    ],
)
def test_it_is_named_in_one_line_with_file_and_episode(tmp_path, make, words):
    bag = make(tmp_path / "bag")
    with pytest.raises(DatasetError) as told:
        for episode in open_dataset(bag, RATE):
            assert list(episode.frames())
    text = str(told.value)
    assert text.startswith(f"{bag}: episode 1: ") and "\n" not in text
    assert words in text
    assert text.count(str(bag)) == 1


def collected(folder, *known):
    """Make a folder of episodes of the small bag, with what is known of each."""
    for number, one in enumerate(known, 1):
        place = folder / f"{number:04d}"
        shutil.copytree(SMALL_BAG, place / "bag")
        one.written(place)
    return folder


@pytest.mark.parametrize(
    ("known", "words"),
    [
        (Episode(task="x", seconds=1.8, trim=[3.0, 4.0]), "length 0: trimmed from 3 to 4 s, the bag has 1.89 s"),
        (Episode(task="x", seconds=1.8, trim=[0.01, 0.02]), "length 0: none of"),
    ],
)
def test_an_episode_of_which_nothing_is_left_is_named(tmp_path, known, words):
    folder = collected(tmp_path / "set", known)
    with pytest.raises(DatasetError, match=words) as told:
        list(open_dataset(folder, RATE))
    assert str(told.value).startswith(f"{folder / '0001' / 'bag'}: episode 1: ")


def test_an_arm_that_never_moves_is_no_demonstration(tmp_path):
    still = edited(tmp_path / "bag", JOINTS, lambda state, _: state.position.fill(0.05))
    with pytest.raises(DatasetError, match="episode 1: the arm never moves from"):
        list(open_dataset(still, Sampling(rate=3.0)))


def test_without_a_task_there_is_nothing_to_tell_the_policy(tmp_path):
    bag = without(tmp_path / "bag", "/tristage/run")
    with pytest.raises(DatasetError, match="episode 1: no task"):
        list(open_dataset(bag, RATE))


def test_check_names_what_is_bad_and_counts_what_is_good(tmp_path, capsys):
    folder = collected(tmp_path / "set", Episode(task="x"), Episode(task="x", trim=[5.0, 6.0]), Episode(task="x"))
    shutil.rmtree(folder / "0003" / "bag")
    without(folder / "0003" / "bag", FRONT_DEPTH)
    assert main(["dataset", "check", str(folder), "--rate", "3", "--untrimmed"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert "episode 2: length 0" in lines[0] and "episode 3: the bag lacks /front/aligned" in lines[1]
    assert lines[2].startswith("1 of 3 episodes can be used, ") and not lines[2].endswith(" 0 frames")


def test_a_folder_without_episodes_or_with_unwanted_ones_alone_is_told(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    unwanted = collected(tmp_path / "set", Episode(task="x", outcome="failure"), Episode(task="x", standing="redone"))
    for folder, words in (("empty", "no episodes in it"), ("nowhere", "nothing of that name")):
        assert main(["dataset", "list", str(tmp_path / folder)]) == 2
        assert words in capsys.readouterr().err
    with pytest.raises(DatasetError, match="all 2 episodes failed or were discarded"):
        open_dataset(unwanted)
    assert len(open_dataset(unwanted, failures=True)) == 1
