"""Buttons: the sentence decides which, the press has to be aimed anew, and it is one press."""

from dataclasses import replace

import numpy as np
import pytest

from tristage_ros.mla.values import Action
from tristage_ros.simulation.buttons import DOWN, NAMES, RISE, SHIFT
from tristage_ros.simulation.episode import Episode, as_action
from tristage_ros.simulation.tasks import TASKS

PRESSED = ("button", "button_blue", "higher")
SEEDS = range(920_000, 920_005)


@pytest.fixture(scope="module")
def episode():
    with Episode("button", 0) as episode:
        yield episode


def other_of(episode: Episode) -> str:
    return next(name for name in NAMES if name != episode.task.wanted(episode.world))


def beside(action: Action, by) -> Action:
    return replace(action, translation=action.translation + by)


def test_both_commands_are_about_the_same_scene(episode):
    scenes = []
    for task in ("button", "button_blue"):
        episode.reset(SEEDS[0], task)
        scenes.append((episode.observe().image, episode.task.wanted(episode.world)))
    np.testing.assert_array_equal(scenes[0][0], scenes[1][0])
    assert scenes[0][1] != scenes[1][1]


def test_the_wanted_cap_has_the_colour_of_the_sentence(episode):
    for task, channel in (("button", 0), ("button_blue", 2)):
        for seed in SEEDS:
            episode.reset(seed, task)
            color = episode._model.geom(f"{episode.task.wanted(episode.world)}_cap").rgba[:3]
            assert color.argmax() == channel and color[channel] > 2 * np.delete(color, channel).max()


def test_height_alone_says_which_is_the_higher_one(episode):
    colors, highest = [], set()
    for seed in range(920_000, 920_020):
        episode.reset(seed, "higher")
        wanted, other = episode.task.wanted(episode.world), other_of(episode)
        assert episode.world.pose(wanted)[2, 3] > episode.world.pose(other)[2, 3] + 0.029
        colors.append([episode._model.geom(f"{name}_cap").rgba[:3].copy() for name in NAMES])
        highest.add(wanted)
        if seed < SEEDS[-1]:
            episode.step(episode.expert())
            assert episode.task.wanted(episode.world) == wanted
    assert highest == set(NAMES)
    alike = [bool((one == two).all()) for one, two in colors]
    assert 3 < sum(alike) < 17


@pytest.mark.parametrize("task", PRESSED)
def test_closing_the_fingers_moves_both_and_the_press_is_aimed_anew(episode, task):
    moved = []
    for seed in SEEDS:
        episode.reset(seed, task)
        before = {name: episode.world.pose(name)[:3, 3] for name in NAMES}
        assert episode.key_frame().stage == "above"
        episode.step(episode.expert())
        for name in NAMES:
            shift = episode.world.pose(name)[:3, 3] - before[name]
            assert np.linalg.norm(shift[:2]) <= SHIFT + 1e-9 and abs(shift[2]) <= RISE + 1e-9
            moved.append(np.linalg.norm(shift))
        assert episode.key_frame().stage == "press" and not episode.finished
        episode.step(episode.expert())
        assert episode.success() and episode.world.angle(f"{episode.task.wanted(episode.world)}_cap") > DOWN
    assert min(moved) > 0.001 and np.mean(moved) > 0.015


def test_a_press_where_it_was_at_first_is_a_miss_most_often(episode):
    """Straight down from above: what the arm's own state says is no longer so."""
    hits = 0
    for seed in range(920_000, 920_008):
        episode.reset(seed, "button")
        above = episode.expert()
        episode.step(above)
        down = Action(np.array([[0.0, 0.0, -0.060]]), above.rotation, np.zeros(1))
        episode.step(down)
        assert episode.finished
        hits += episode.success()
    assert hits <= 4


@pytest.mark.parametrize("off", [(0.0, 0.0, 0.010), (0.040, 0.0, -0.015), (0.0, 0.040, 0.0)], ids=str)
def test_a_missed_press_ends_the_attempt(episode, off):
    episode.reset(SEEDS[1], "button")
    episode.step(episode.expert())
    episode.step(beside(episode.expert(), off))
    assert episode.finished and not episode.success()


def test_a_press_of_the_other_one_ends_the_attempt_and_cannot_be_mended(episode):
    episode.reset(SEEDS[2], "button")
    for _ in range(2):
        episode.step(as_action(TASKS["button_blue"].expert(episode.world), episode.world.tool))
    assert episode.world.angle(f"{other_of(episode)}_cap") > DOWN
    assert episode.finished and not episode.success()
    for _ in range(2):
        episode.step(episode.expert())
    assert not episode.success()


def test_the_tools_height_does_not_tell_the_stage(episode):
    """Above a low button it is lower than in the press of a high one."""
    above, pressing = [], []
    for seed in SEEDS:
        episode.reset(seed, "button")
        for heights in (above, pressing):
            episode.step(episode.expert())
            heights.append(episode.world.tool[2, 3])
    assert min(above) < max(pressing) - 0.03
