"""Experts of the simulated cell as recorded episodes: what is read back is what they saw, and were told to do."""

from itertools import pairwise

import numpy as np
import pytest

from tristage_ros.bags.episodes.folder import Collection
from tristage_ros.cli import main
from tristage_ros.datasets.bagged import open_dataset
from tristage_ros.datasets.sampling import Sampling
from tristage_ros.simulation.episode import Episode

pytestmark = pytest.mark.timeout(600)
SEED = 41


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "set"
    words = ["--tasks", "box", "--episodes", "1", "--rate", "2", "--color", "png", "--workers", "1", "--seed", SEED]
    assert main(["dataset", "make", "--out", str(folder), *map(str, words)]) == 0
    return folder


def test_an_episode_is_whole_and_says_how_it_was_made(folder):
    (place,) = Collection(folder).places()
    known = place.read()
    assert place.is_whole and known.outcome == "success" and known.task == "close the box"
    assert known.others["simulated"] == {"task": "box", "seed": SEED}
    assert known.frames["front"] == known.frames["wrist"] == int(known.seconds * 2) + 1
    assert {"bag", "cameras.yaml", "episode.yaml", "start.png"} == {path.name for path in place.path.iterdir()}


def test_the_first_frame_is_what_the_simulated_policy_sees_bit_by_bit(folder):
    (episode,) = open_dataset(folder, Sampling(rate=2.0, trims=False))
    frame = next(episode.frames())
    with Episode("box", SEED) as simulated:
        seen, every = simulated.observe(), simulated.frames()
    np.testing.assert_array_equal(frame.state, seen.state)
    np.testing.assert_array_equal(frame.points, seen.points)
    for name, image in frame.images.items():
        np.testing.assert_array_equal(image, every[name].color)
        np.testing.assert_array_equal(frame.depths[name], np.nan_to_num(every[name].depth))
    assert list(frame.images) == list(episode.calibration) == ["front", "wrist"]


def test_actions_lead_from_each_frame_to_where_the_tool_is_at_the_next(folder):
    (episode,) = open_dataset(folder, Sampling(rate=2.0))
    frames = list(episode.frames())
    went = np.array([after.state[:3] - before.state[:3] for before, after in pairwise(frames)])
    told = np.array([frame.action.translation[0] for frame in frames[:-1]])
    assert np.abs(went).max() > 0.03
    assert np.abs(told - went).max() < 0.02, "the arm lags behind its set-points by a little"
    assert [frame.action.time_step for frame in frames[:-1]] == pytest.approx([0.5] * len(told))
    assert {frame.source for frame in frames} == {"policy"}


def test_key_frames_are_few_and_end_where_the_arm_was_told_to_go(folder):
    every = list(next(iter(open_dataset(folder, Sampling(rate=2.0)))).frames())
    few = list(next(iter(open_dataset(folder, Sampling(rate=0.0)))).frames())
    assert 1 < len(few) < len(every)
    assert {frame.action.time_step for frame in few} == {0.0}
    goal = few[-1].state[:3] + few[-1].action.translation[0]
    last = every[-1].state[:3] + every[-1].action.translation[0]
    assert goal == pytest.approx(last, abs=0.03)


def test_more_come_behind_with_scenes_of_their_own(folder, capsys):
    words = ["--tasks", "box", "--episodes", "1", "--rate", "1", "--workers", "1", "--control", "keyframe"]
    assert main(["dataset", "make", "--out", str(folder), *words]) == 0
    assert "box: 1 of 1 episode succeeded" in capsys.readouterr().out
    places = Collection(folder).places()
    assert [place.number for place in places] == [1, 2] and all(place.is_whole for place in places)
    assert places[1].read().others["simulated"]["seed"] > SEED
