"""Every task: its expert does it, nothing else does, and its instruction tells it from its neighbour."""

from dataclasses import replace

import numpy as np
import pytest

from tristage_ros.mla.approach import Pace
from tristage_ros.simulation.closed_loop import ClosedLoop, Doubt
from tristage_ros.simulation.episode import Episode
from tristage_ros.simulation.expert_check import check, disturbed
from tristage_ros.simulation.instructions import HEIGHT, INSTRUCTIONS, VIEWPOINTS
from tristage_ros.simulation.setting import PLAIN, Variation
from tristage_ros.simulation.tasks import TASKS, task_called

PATIENT = [name for name, task in TASKS.items() if task.max_steps > 2]  # a button is pressed once, clumsily or not
NEIGHBOURS = [("banana", "umbrella"), ("umbrella", "banana"), ("box", "fridge"), ("laptop", "fridge")]


@pytest.fixture(scope="module")
def episode():
    with Episode("banana", 0) as episode:
        yield episode


def attempt(episode: Episode) -> list[str]:
    """Let the expert finish; return the stages it went through."""
    stages = []
    while not episode.finished:
        stages.append(episode.key_frame().stage)
        episode.step(episode.expert())
    return stages


@pytest.mark.parametrize("seed", [900_001, 900_002, 900_003])
@pytest.mark.parametrize("task", TASKS)
def test_the_expert_does_the_task(episode, task, seed):
    episode.reset(seed, task)
    assert not episode.success()
    attempt(episode)
    assert episode.success()


@pytest.mark.long
@pytest.mark.parametrize("camera", VIEWPOINTS)
@pytest.mark.parametrize("task", HEIGHT)
def test_the_expert_hardly_ever_fails_where_height_matters(task, camera):
    assert check(task, 50, 940_000, variation=Variation(camera=camera)).succeeded >= 49


@pytest.mark.parametrize("task", PATIENT)
def test_the_expert_recovers_from_clumsy_moves(episode, task):
    rng = np.random.default_rng(1)
    episode.reset(900_011, task)
    while not episode.finished:
        action = episode.expert()
        episode.step(disturbed(action, rng) if rng.random() < 0.4 else action)
    assert episode.success()


@pytest.mark.parametrize("task", TASKS)
def test_the_expert_does_the_task_several_times_a_second(episode, task):
    """Chunks of small steps, replaced before they end, do what key frames do."""
    episode.reset(900_021, task)
    while not episode.finished:
        assert episode.submit(episode.expert_chunk(Pace(actions=8)), 0.1).accepted
        episode.advance(0.2)
    assert episode.success()


@pytest.mark.parametrize("task", TASKS)
def test_a_guided_tool_that_is_pushed_aside_finds_back(episode, task):
    """In a closed loop half of the second long stretches go for a place that is 2 cm beside."""
    episode.reset(900_022, task)
    loop, rng = ClosedLoop(episode), np.random.default_rng(3)
    while not loop.finished:
        beside = rng.normal(0, (0.013, 0.013, 0.006)) * (rng.random() < 0.5)
        for _ in range(5):
            action = episode.guidance()
            assert loop.step(replace(action, translation=action.translation + beside)).accepted
    assert episode.success()


@pytest.mark.long
def test_doubt_does_not_keep_the_guide_from_grasping():
    """Who learns from the guide says the mean over all places that may be true, here around a wrong one."""
    assert check("banana", 6, 900_060, doubt=Doubt(beside=0.018, unsure=0.016)).succeeded >= 5


@pytest.mark.parametrize(("task", "neighbour"), NEIGHBOURS)
def test_doing_the_neighbours_task_is_not_doing_the_task(task, neighbour):
    with Episode(task, 900_031, Variation(company=1.0)) as episode:
        for _ in range(8):
            frame = TASKS[neighbour].act(episode.world)
            episode.task = TASKS[neighbour]
            assert episode.key_frame().stage == frame.stage
            episode.step(episode.expert())
        assert TASKS[neighbour].success(episode.world)
        assert not TASKS[task].success(episode.world)


@pytest.mark.parametrize("task", TASKS)
def test_waiting_does_not_do_the_task(episode, task):
    episode.reset(900_042, task)
    episode.advance(5.0)
    assert not episode.success()


@pytest.mark.parametrize("task", ["banana", "umbrella"])
def test_the_moves_that_did_it_elsewhere_do_not_do_it_here(episode, task):
    episode.reset(900_041, task)
    goals = []
    while not episode.finished:
        action = episode.expert()
        goals.append((action, episode.world.tool[:3, 3] + action.translation[0]))
        episode.step(action)
    episode.reset(900_042, task)
    for action, goal in goals:
        action.translation[0] = goal - episode.world.tool[:3, 3]
        episode.step(action)
    assert not episode.success()


def test_the_fridge_stands_on_either_side_whatever_came_before(episode):
    """Its hinge is the nearer one to the base on both sides."""
    sides = set()
    for seed in range(900_080, 900_092):
        episode.reset(seed, "fridge")
        fridge, pivot = episode.world.pose("fridge"), episode.world.pivot("fridge_door")
        hinge = (episode.world.pose("fridge_door") @ [*pivot, 1.0])[:3]
        assert hinge[0] < fridge[0, 3]
        assert abs(hinge[1]) < abs(fridge[1, 3])
        sides.add(np.sign(fridge[1, 3]))
    assert sides == {-1.0, 1.0}


def test_stages_of_the_banana(episode):
    episode.reset(900_001, "banana")
    assert attempt(episode) == ["above", "grasp", "close", "lift", "over plate", "release"]


def test_a_banana_that_is_still_held_is_not_on_the_plate(episode):
    episode.reset(900_001, "banana")
    while episode.key_frame().stage != "release":
        episode.step(episode.expert())
    action = episode.expert()
    action.gripper[:] = 0.0
    episode.step(action)
    assert not episode.success()
    assert episode.key_frame().stage == "release"


@pytest.mark.parametrize("task", TASKS)
def test_once_done_the_expert_leaves_it_done(episode, task):
    episode.reset(900_002, task)
    attempt(episode)
    for _ in range(3):
        assert episode.key_frame().stage == "rest"
        assert episode.step(episode.expert()).reached
    assert episode.success()


@pytest.mark.parametrize("task", TASKS)
def test_key_frames_go_on_smoothly_past_half_a_turn(episode, task):
    """Angles of labels stay within one turn around a tool that points down, whatever the expert asks for."""
    for seed in range(900_050, 900_056):
        episode.reset(seed, task)
        while not episode.finished:
            action = episode.expert()
            assert (np.abs(action.rotation - (np.pi, 0.0, np.pi)) < (0.9, 1.0, 2.6)).all()
            episode.step(action)


@pytest.mark.parametrize("task", TASKS)
def test_a_lid_or_door_stays_as_it_is_left(episode, task):
    episode.reset(900_061, task)
    before = dict(episode.truth())
    episode.advance(5.0)
    after = episode.truth()
    for name, value in before.items():
        assert after[name] == pytest.approx(value, abs=0.03), name


def test_every_task_has_an_instruction():
    assert list(TASKS) == list(INSTRUCTIONS)
    assert len({task.instruction for task in TASKS.values()}) == len(TASKS)


def test_an_unknown_task_is_named():
    with pytest.raises(ValueError, match="no task is called 'lamp'; there are: banana, box"):
        task_called("lamp")


@pytest.mark.parametrize("task", TASKS)
def test_scenes_without_variation_are_solved_too(task):
    with Episode(task, 900_071, PLAIN) as episode:
        attempt(episode)
        assert episode.success()
