"""Folders of episodes: parted, put together, listed; read one by one in the same memory however many there are."""

import shutil
import tracemalloc

import pytest
from damage import SMALL_BAG

from tristage_ros.bags.episodes.episode import Episode
from tristage_ros.bags.episodes.folder import Collection
from tristage_ros.cli import main
from tristage_ros.datasets.bagged import open_dataset
from tristage_ros.datasets.sampling import Sampling
from tristage_ros.datasets.values import DatasetError

RATE, KEY_FRAMES = Sampling(rate=3.0, trims=False), Sampling(rate=0.0, trims=False)


def collected(folder, *tasks, **known):
    """Make a folder of episodes that all have the small bag."""
    for number, task in enumerate(tasks, 1):
        bag = folder / f"{number:04d}" / "bag"
        shutil.copytree(SMALL_BAG, bag)
        Episode(task=task, seconds=1.8, **known).written(bag.parent)
    return folder


def numbers(folder):
    return [place.read().others["from"].rsplit(" ", 1)[-1] for place in Collection(folder).places()]


def test_parts_have_the_same_shares_of_every_task_and_no_episode_twice(tmp_path, capsys):
    folder = collected(tmp_path / "set", *["close the box"] * 10, *["put the banana away"] * 5)
    command = ["dataset", "split", str(folder), "--into", "train=0.8", "check=0.2", "--out"]
    assert main([*command, str(tmp_path / "parts")]) == 0
    train, check = tmp_path / "parts" / "train", tmp_path / "parts" / "check"
    assert f"{train}: 12 episodes\n{check}: 3 episodes" in capsys.readouterr().out
    assert sorted(map(int, numbers(train) + numbers(check))) == list(range(1, 16))
    assert sorted(place.read().task for place in Collection(check).places()) == [
        "close the box", "close the box", "put the banana away",
    ]  # fmt: skip
    assert main([*command, str(tmp_path / "again")]) == 0
    assert numbers(tmp_path / "again" / "train") == numbers(train), "the seed decides"
    assert next(train.glob("0001/bag/*.mcap")).stat().st_nlink > 1, "linked, not copied"
    assert len(list(next(iter(open_dataset(train, RATE))).frames())) > 3


def test_folders_and_bags_become_one_and_marks_in_it_touch_nothing_else(tmp_path, capsys):
    folder = collected(tmp_path / "set", "close the box", outcome="success")
    assert main(["dataset", "merge", str(folder), str(SMALL_BAG), "--out", str(tmp_path / "all")]) == 0
    first, second = (place.read() for place in Collection(tmp_path / "all").places())
    assert (first.task, first.outcome) == ("close the box", "success")
    assert second.task == "put the banana on the blue plate", "as the bag knows"
    assert main(["episodes", str(tmp_path / "all"), "mark", "1", "failure"]) == 0
    assert Collection(folder).place(1).read().outcome == "success"
    capsys.readouterr()
    assert main(["dataset", "list", str(tmp_path / "all")]) == 0
    out = capsys.readouterr().out
    assert "no: it failed" in out and "1 episode used: put the banana on the blue plate" in out


@pytest.mark.parametrize("action", ["split", "merge"])
def test_what_goes_wrong_on_the_way_leaves_nothing(tmp_path, capsys, action):
    folder, out = collected(tmp_path / "set", *["close the box"] * 3), tmp_path / "new"
    (folder / "0003" / "episode.yaml").write_text("task: 3")
    assert main(["dataset", action, str(folder), "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "0003" in error and "task is 3; write a str" in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set"]
    (folder / "0003" / "episode.yaml").write_text("task: close the box")
    out.mkdir()
    assert main(["dataset", action, str(folder), "--out", str(out)]) == 2
    assert "it is there already" in capsys.readouterr().err and not list(out.iterdir())


@pytest.mark.parametrize(
    ("into", "words"),
    [
        (["train=0.8"], "shares make 0.8, not 1"),
        (["train=1.5"], "a share between 0 and 1"),
        (["train"], "write NAME=SHARE"),
        (["../train=0.5", "check=0.5"], "write NAME=SHARE"),
        (["train=0.99", "check=0.01"], "leave nothing for check"),
    ],
)
def test_parts_that_cannot_be_are_refused(tmp_path, capsys, into, words):
    folder = collected(tmp_path / "set", "close the box", "close the box")
    assert main(["dataset", "split", str(folder), "--into", *into, "--out", str(tmp_path / "parts")]) == 2
    assert words in capsys.readouterr().err and not (tmp_path / "parts").exists()


@pytest.mark.long
def test_what_is_held_in_memory_does_not_grow_with_the_number_of_episodes(tmp_path):
    def peak(folder):
        tracemalloc.start()
        frames = sum(1 for episode in open_dataset(folder, KEY_FRAMES) for _ in episode.frames())
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return frames, most

    peak(collected(tmp_path / "warm", "close the box"))  # imports and caches
    few, one = peak(collected(tmp_path / "one", "close the box"))
    many, four = peak(collected(tmp_path / "four", *["close the box"] * 4))
    assert many == 4 * few and four < 2.2 * one  # what is done with may wait for Python's collector


def test_an_episode_is_read_when_its_turn_comes(tmp_path):
    folder = collected(tmp_path / "set", "close the box", "close the box")
    broken = next((folder / "0002" / "bag").glob("*.mcap"))
    broken.write_bytes(b"no bag")
    episodes = iter(open_dataset(folder, RATE))
    assert list(next(episodes).frames())
    with pytest.raises(DatasetError, match="0002/bag: episode 2"):
        next(episodes)


def test_statistics_and_one_episode_are_told(tmp_path, capsys):
    folder = collected(tmp_path / "set", "close the box", "close the box")
    assert main(["dataset", "stats", str(folder), "--rate", "3", "--json", str(tmp_path / "stats.json")]) == 0
    out = capsys.readouterr().out
    assert "action gripper" in out and "2 episodes, " in out and "2 episodes: close the box" in out
    assert '"deviation"' not in (tmp_path / "stats.json").read_text()
    assert main(["dataset", "show", str(folder), "2", "--keyframes"]) == 0
    out = capsys.readouterr().out
    for words in (
        "close the box",
        "camera wrist: 640x480",
        "key frames; colour front 640x480; depth front",
        "led by policy",
    ):
        assert words in out
    assert main(["dataset", "show", str(folder), "9"]) == 2
    assert "no episode 9 is used" in capsys.readouterr().err
