"""A folder of episodes: numbers, marks that delete nothing, files that are whole or not there."""

import os
from pathlib import Path

import numpy as np
import pytest
import yaml
from episode_bags import brightening

from tristage_ros.bags.episodes.episode import SIDECAR, Episode, EpisodeError
from tristage_ros.bags.episodes.folder import Collection
from tristage_ros.bags.episodes.judging import judged
from tristage_ros.bags.episodes.pictures import BORDER, HEIGHT, blended, strip
from tristage_ros.bags.reader import BagReader

COLOUR = "/front/color/image_raw"


@pytest.fixture
def bag(tmp_path):
    return brightening(tmp_path / "bag")


def test_an_episode_gets_its_name_when_it_is_whole(tmp_path):
    collection = Collection(tmp_path / "episodes")
    first = collection.begin()
    Episode(task="x").written(first.path)
    assert not first.is_whole and first.path.name == "0001.unfinished"
    whole = collection.finish(first)
    assert whole.is_whole and whole.path.name == "0001" and not first.path.exists()
    cut_off = collection.begin()
    assert collection.begin().number == 3, "a number is not given twice, nor is what was cut off written over"
    assert [(place.number, place.is_whole) for place in collection.places()] == [(1, True), (2, False), (3, False)]
    assert cut_off.path.is_dir()
    with pytest.raises(EpisodeError, match="no episode 9; it has 1 to 3"):
        collection.place(9)


def test_what_a_person_marks_is_kept_and_changes_nothing_else(tmp_path):
    episode = Episode(task="put it: there", operator="Ana", seconds=20.0, frames={"front": 300}, others={"mine": [1]})
    episode.marked("success").trimmed(1.5, 18.0).written(tmp_path)
    read = Episode.read(tmp_path)
    assert (read.outcome, read.standing, read.span) == ("success", "kept", (1.5, 18.0))
    assert read.others == {"mine": [1]}, "what others wrote there"
    discarded = read.marked("discard")
    assert (discarded.outcome, discarded.standing) == ("success", "discarded")
    assert discarded.marked("failure").standing == "kept"
    assert read.trimmed(0.0, 25.0).span == (0.0, 20.0)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("outcome: great", "outcome is 'great'; write one of success, failure, ''"),
        ("task: 5", "task is 5; write a str"),
        ("seconds: long", "seconds is 'long'; write a float"),
        ("trim: [5, 2]", "trim is [5, 2]"),
        ("trim: [1, .nan]", "trim is [1, nan]"),
        ("- a", "not keys and values"),
        ("task: [", "line 1"),
    ],
)
def test_a_file_that_is_wrong_is_named_with_its_value(tmp_path, content, words):
    (tmp_path / SIDECAR).write_text(content)
    with pytest.raises(EpisodeError) as error:
        Episode.read(tmp_path)
    assert words in str(error.value) and str(tmp_path) in str(error.value)


def test_a_file_that_cannot_be_written_leaves_the_one_before(tmp_path, monkeypatch):
    Episode(task="before").written(tmp_path)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        Episode(task="after").written(tmp_path)
    assert Episode.read(tmp_path).task == "before"
    assert [path.name for path in tmp_path.iterdir()] == [SIDECAR]
    assert yaml.safe_load((tmp_path / SIDECAR).read_text())["task"] == "before"


def test_a_bag_is_judged_afterwards_as_it_was_while_it_ran(bag):
    judge, seconds, told = judged(bag, ["front"])
    lines = judge.verdict.complaints(103.9)
    assert seconds == pytest.approx(3.9) and told == []
    assert any("frozen: the same image 20 times in 1.9 s" in line for line in lines)
    assert any(line.startswith("front depth: no image") for line in lines)
    assert judge.verdict.images[COLOUR].rate == pytest.approx(10.0)


def test_a_bag_that_was_cut_off_is_judged_as_far_as_it_goes(bag):
    file = next(bag.glob("*.mcap"))
    content = file.read_bytes()
    file.write_bytes(content[: len(content) * 2 // 3])
    (bag / "metadata.yaml").unlink()
    with BagReader(bag) as reader:
        assert not reader.complete
    judge, _, told = judged(bag, ["front"])
    assert told and judge.verdict.images[COLOUR].frames >= 0


def test_the_strip_shows_start_and_end(bag):
    picture = strip(bag, ["front"], (0.5, 3.9), 5)
    width = round(32 * HEIGHT / 24)
    assert picture.shape == (HEIGHT + BORDER, 5 * (width + BORDER), 3)
    levels = [int(picture[HEIGHT - 10, k * (width + BORDER) + width // 2, 0]) for k in range(5)]
    assert levels[0] == 25 and levels[-1] == 100 and levels == sorted(levels)
    with pytest.raises(EpisodeError, match="no colour image of wrist"):
        strip(bag, ["wrist"], (0.0, 1.0))


def test_the_start_picture_is_half_of_what_is_shown_whatever_its_size():
    start, live = np.full((48, 64, 3), 200, np.uint8), np.zeros((24, 32, 3), np.uint8)
    assert blended(start, live).shape == (24, 32, 3) and set(blended(start, live).ravel().tolist()) == {100}


def test_a_folder_that_is_not_there_has_no_episodes():
    assert Collection(Path("/nowhere/at/all")).places() == []
