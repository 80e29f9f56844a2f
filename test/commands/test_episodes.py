"""`tristage episodes`: what is listed, marked, trimmed and shown; and that a bag is never touched."""

import hashlib
import shutil

import cv2
import pytest
from episode_bags import brightening

from tristage_ros.bags.episodes.episode import SIDECAR, Episode
from tristage_ros.bags.episodes.folder import Collection
from tristage_ros.cli import main
from tristage_ros.resources import resource

KNOWN = Episode(
    task="put the banana on the blue plate",
    operator="Ana",
    outcome="success",
    reason="the operator ended it",
    began="2026-01-01 12:00:00",
    seconds=3.9,
    messages=40,
    frames={"front": 40},
    rates={"front": 10.0},
    complaints=["front colour: down to 10.0 of 15 Hz"],
    command_source=["leader"],
    firmware="S-V1.6-3",
)


@pytest.fixture
def folder(tmp_path):
    """Make a whole episode, one without a file, and one that was cut off."""
    collection = Collection(tmp_path / "episodes")
    for _ in range(3):
        place = collection.begin()
        brightening(place.bag)
        shutil.copy(resource("config", "cameras.yaml"), place.path / "cameras.yaml")
        KNOWN.written(place.path)
        if place.number < 3:
            collection.finish(place)
    (collection.place(2).path / SIDECAR).unlink()
    Episode(task=KNOWN.task).written(place.path)
    file = next(place.bag.glob("*.mcap"))
    file.write_bytes(file.read_bytes()[:-200])
    (place.bag / "metadata.yaml").unlink()
    return collection.path


def digests(folder):
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*.mcap")}


def test_the_list_says_what_became_of_each_and_what_is_wrong_with_it(folder, capsys):
    assert main(["episodes", str(folder)]) == 0
    out = capsys.readouterr().out
    first, second, third = (next(line for line in out.splitlines() if line.strip().startswith(n)) for n in "123")
    for words in (
        "put the banana",
        "Ana",
        "success",
        "the operator ended it",
        "3.9",
        "front 40",
        "front 10.0",
        "down to",
    ):
        assert words in first
    assert "cannot be read" in second and SIDECAR in second
    assert "unfinished" in third and "front 40" in third and "is cut off" in out


def test_marks_and_trims_change_the_file_alone(folder, capsys):
    before = digests(folder)
    assert main(["episodes", str(folder), "mark", "1", "discard"]) == 0
    assert main(["episodes", str(folder), "trim", "1", "--from", "0.5", "--to", "3"]) == 0
    assert Episode.read(folder / "0001").span == (0.5, 3.0)
    assert Episode.read(folder / "0001").standing == "discarded"
    assert main(["episodes", str(folder), "mark", "1", "failure"]) == 0
    assert main(["episodes", str(folder), "trim", "1"]) == 0
    episode = Episode.read(folder / "0001")
    assert (episode.outcome, episode.standing, episode.trim) == ("failure", "kept", [])
    assert main(["episodes", str(folder), "mark", "3", "failure"]) == 0, "one that was cut off, too"
    assert digests(folder) == before


def test_one_is_shown_with_a_strip_of_its_images(folder, capsys, tmp_path):
    picture = tmp_path / "strip.png"
    assert main(["episodes", str(folder), "show", "1", "--picture", str(picture)]) == 0
    out = capsys.readouterr().out
    for words in ("episode 1: put the banana", "by Ana", "leader", "S-V1.6-3", "! front colour: down to", str(picture)):
        assert words in out
    assert cv2.imread(str(picture)).shape[1] > 1000
    assert main(["episodes", str(folder), "show", "3"]) == 0
    assert "is cut off" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["mark", "9", "success"], "has no episode 9; it has 1 to 3"),
        (["mark", "1", "great"], "'great' is no mark"),
        (["mark", "1"], "mark wants the number of an episode, not nothing"),
        (["trim", "1", "--from", "3", "--to", "2"], "give two times in s"),
        (["trim", "x"], "trim wants the number of an episode, not x"),
        (["show", "2"], "cannot be read"),
        (["sell", "1"], "'sell' is nothing that can be done"),
    ],
)
def test_what_is_not_possible_is_said_in_a_line(folder, capsys, words, told):
    assert main(["episodes", str(folder), *words]) == 2
    err = capsys.readouterr().err
    assert told in err and err.count("\n") == 1
