"""An attempt in this process: what is observed, what becomes of actions, what a seed decides."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from tristage_ros.devices.arm.kinematics import rpy_to_matrix
from tristage_ros.mla.approach import Pace
from tristage_ros.mla.values import Action
from tristage_ros.perception.camera import project
from tristage_ros.simulation.episode import Episode
from tristage_ros.simulation.renderer import OBJECT, ROBOT, label_of_patches
from tristage_ros.simulation.setting import EVERYTHING, PLAIN, Variation


@pytest.fixture(scope="module")
def episode():
    with Episode("banana", 0) as episode:
        yield episode


def test_an_observation_is_what_the_nodes_would_make(episode, cameras_file):
    episode.reset(7, "banana")
    observation = episode.observe()
    nodes = yaml.safe_load(Path(cameras_file).with_name("piper_pick.yaml").read_text(encoding="utf-8"))
    settings = nodes["point_cloud"]["ros__parameters"]
    assert observation.image.shape == (480, 640, 3)
    assert observation.image.dtype == np.uint8
    assert observation.points.shape == (settings["points"], 3)
    assert (observation.points >= np.float32(settings["workspace_min"])).all()
    assert (observation.points <= np.float32(settings["workspace_max"])).all()
    assert observation.depth.shape == (480, 640)
    np.testing.assert_allclose(observation.state[:3], episode.world.tool[:3, 3], atol=1e-6)
    np.testing.assert_allclose(rpy_to_matrix(observation.state[3:6]), episode.world.tool[:3, :3], atol=1e-5)
    assert observation.state[6] == pytest.approx(1.0, abs=0.01)


def test_the_banana_is_seen_where_it_is(episode):
    episode.reset(8, "banana")
    observation, truth = episode.observe(), episode.truth()
    (pixel,), (depth,) = project(np.array([[truth["x"], truth["y"], 0.035]]), observation.camera)
    u, v = np.round(pixel).astype(int)
    assert observation.depth[v, u] == pytest.approx(depth, abs=0.015)
    assert episode.segmentation()[v, u] == OBJECT
    near = np.linalg.norm(observation.points[:, :2] - (truth["x"], truth["y"]), axis=1) < 0.02
    assert observation.points[near, 2].max() == pytest.approx(0.033, abs=0.006)


def test_the_same_seed_gives_the_same_attempt(episode):
    images, truths = [], []
    for seed, before in ((11, "banana"), (12, "fridge"), (11, "box")):
        episode.reset(seed + 1, before)
        episode.reset(seed, "banana")
        episode.step(episode.expert())
        images.append(episode.observe().image.astype(int))
        truths.append([*episode.truth().values()])
    np.testing.assert_allclose(truths[0], truths[2], atol=1e-6)
    assert np.abs(images[0] - images[2]).mean() < 0.01
    assert np.abs(np.subtract(truths[0], truths[1])).max() > 0.01


def test_a_refused_action_says_why_and_changes_nothing(episode):
    episode.reset(3, "banana")
    before = episode.world.joints.copy()
    away = Action(np.array([[0.0, 0.0, 0.9]]), episode.expert().rotation, np.array([1.0]))
    outcome = episode.step(away)
    assert not outcome.accepted
    assert not outcome.reached
    assert "outside the workspace" in outcome.reason
    assert outcome.duration == 0.0
    np.testing.assert_array_equal(episode.world.joints, before)
    assert episode.steps == 1
    assert episode.step(episode.expert()).reached


def test_an_attempt_ends_when_its_key_frames_are_used_up(episode):
    episode.reset(3, "banana")
    stay = Action(np.zeros((1, 3)), episode.expert().rotation, np.array([1.0]))
    while not episode.finished:
        episode.step(stay)
    assert episode.steps == episode.task.max_steps
    assert not episode.success()


def test_an_action_is_relative_to_the_observation_it_answers(episode):
    """A chunk that comes late still leads to where it was meant to lead."""
    episode.reset(4, "banana")
    stamp, start = episode.time, episode.world.tool[:3, 3]
    chunk = episode.expert_chunk(Pace(speed=0.1, actions=4))
    episode.submit(chunk, 0.1)
    episode.advance(0.2)
    goal = start + chunk.translation[-1]
    assert episode.submit(chunk, 0.1, stamp).accepted
    episode.advance(1.0)
    assert np.linalg.norm(episode.world.tool[:3, 3] - goal) < 0.01


def test_steps_of_the_expert_keep_its_pace(episode):
    episode.reset(5, "banana")
    chunk = episode.expert_chunk(Pace(speed=0.1, turn=10.0, actions=20))
    distances = np.linalg.norm(np.diff(chunk.translation, axis=0), axis=1)
    assert distances.max() <= 0.01 + 1e-9
    whole = episode.expert()
    np.testing.assert_allclose(episode.expert_chunk(Pace(actions=200)).translation[-1], whole.translation[0])


def test_segmentation_knows_robot_and_objects(episode):
    episode.reset(5, "fridge")
    pixels = episode.segmentation()
    assert pixels.shape == (480, 640)
    patches = label_of_patches(pixels)
    assert patches.shape == (256,)
    assert (patches == ROBOT).sum() > 5
    assert (patches == OBJECT).sum() > 30
    image = episode.observe().image
    np.testing.assert_array_equal(image, episode.observe().image)  # segmenting leaves no trace


def test_things_of_other_tasks_come_along_as_often_as_asked():
    for share in (0.0, 1.0):
        with Episode("banana", 0, Variation(company=share)) as episode:
            for seed in range(4):
                episode.reset(seed)
                assert (episode.world.pose("umbrella")[2, 3] > 0) == bool(share)
                assert episode.world.pose("fridge")[2, 3] < -1


def test_what_is_put_away_is_neither_seen_nor_touched():
    with Episode("banana", 2, PLAIN) as episode:
        points = episode.observe().points
        assert points[:, 2].min() > -0.02
        away = [piece.name for piece in EVERYTHING if episode.world.pose(piece.name)[2, 3] < 0]
        assert {"stand", "umbrella", "box", "laptop", "fridge"} <= set(away)
        assert all(episode.world.speed(name) < 0.01 for name in away)


def test_variation_changes_the_picture_but_not_the_physics():
    joints, means = [], []
    for variation in (PLAIN, Variation(start=0.0, clutter=False, company=0.0)):
        with Episode("banana", 6, variation) as episode:
            joints.append(episode.world.joints.copy())
            means.append([episode.reset(seed) or episode.observe().image[:60].mean() for seed in range(6)])
    np.testing.assert_allclose(joints[0], joints[1], atol=1e-6)
    assert np.std(means[0]) < 2.0  # the same wall every time
    assert np.std(means[1]) > 10.0


def test_a_moved_camera_is_not_told():
    with Episode("banana", 6, PLAIN) as still, Episode("banana", 6, Variation(0, 0, 0, False, 0, 0.02, 0.05)) as moved:
        first, then = still.observe(), moved.observe()
    np.testing.assert_array_equal(first.camera.pose, then.camera.pose)
    np.testing.assert_array_equal(first.state, then.state)
    assert np.abs(first.image.astype(int) - then.image).mean() > 2.0


@pytest.mark.parametrize(("name", "value"), [("start", -0.1), ("light", 1.5), ("company", 2.0), ("camera_turn", -1.0)])
def test_a_variation_that_cannot_be_drawn_is_named(name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}"):
        Variation(**{name: value})


def test_an_unknown_task_is_named():
    with pytest.raises(ValueError, match="no task is called 'lamp'"):
        Episode("lamp")
