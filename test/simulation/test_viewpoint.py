"""A front camera anywhere: what is told is where it is, and nothing else of the episode depends on it."""

from dataclasses import replace

import numpy as np
import pytest

from tristage_ros.perception.camera import project
from tristage_ros.perception.extrinsics import load_extrinsics
from tristage_ros.simulation.episode import Episode
from tristage_ros.simulation.scene import camera_pose
from tristage_ros.simulation.setting import Variation
from tristage_ros.simulation.viewpoint import AZIMUTH, BESIDE, DISTANCE, ELEVATION, TARGET, anywhere


@pytest.fixture(scope="module")
def front(cameras_file):
    return load_extrinsics(cameras_file)["front"]


def test_poses_are_spread_over_what_they_may_be(front):
    poses = np.array([anywhere(front, seed).pose for seed in range(400)])
    away = poses[:, :3, 3] - TARGET
    azimuth = np.arctan2(away[:, 1], away[:, 0])
    elevation = np.arctan2(away[:, 2], np.linalg.norm(away[:, :2], axis=1))
    distance = np.linalg.norm(away, axis=1)
    slack = BESIDE * np.sqrt(3)  # m, by which it may look beside the middle
    for values, low, high, off in (
        (azimuth, -AZIMUTH, AZIMUTH, slack / 0.35), (elevation, *ELEVATION, slack / 0.7), (distance, *DISTANCE, slack),
    ):  # fmt: skip
        assert low - off < values.min() < low + 0.1 * (high - low)
        assert high - 0.1 * (high - low) < values.max() < high + off
    np.testing.assert_allclose(
        poses[:, :3, :3] @ poses[:, :3, :3].swapaxes(1, 2), np.eye(3)[None].repeat(400, 0), atol=1e-12
    )


@pytest.mark.parametrize(
    "variation",
    [
        Variation(camera="anywhere"),
        Variation(camera_shift=0.02, camera_turn=0.05, recalibrated=True),
        Variation(zoom=1.3, wrist=False),
    ],
)
def test_what_is_told_is_true_and_points_lie_where_things_are(variation, front):
    with Episode("banana", 1, variation) as episode:
        for seed in (1, 2, 3):
            episode.reset(seed)
            observation, truth = episode.observe(), episode.truth()
            assert variation.zoom > 1.0 or np.abs(observation.camera.pose - front.pose).max() > 0.005
            np.testing.assert_allclose(observation.camera.pose, camera_pose(episode._data, "front"), atol=1e-6)
            (pixel,), (depth,) = project(np.array([[truth["x"], truth["y"], 0.035]]), observation.camera)
            u, v = np.round(pixel).astype(int)
            assert observation.depth[v, u] == pytest.approx(depth, abs=0.02)
            near = np.linalg.norm(observation.points[:, :2] - (truth["x"], truth["y"]), axis=1) < 0.02
            assert observation.points[near, 2].max() == pytest.approx(0.033, abs=0.008)


@pytest.mark.parametrize("task", ["banana", "fridge", "stack"])
def test_only_the_view_depends_on_it(task):
    with Episode(task, 5) as fixed, Episode(task, 5, Variation(camera="anywhere")) as moved:
        np.testing.assert_array_equal(fixed._data.qpos, moved._data.qpos)
        np.testing.assert_array_equal(fixed._model.body_pos, moved._model.body_pos)
        np.testing.assert_array_equal(fixed._model.geom_rgba, moved._model.geom_rgba)
        assert np.abs(fixed.observe().camera.pose - moved.observe().camera.pose).max() > 0.02


def test_an_untold_error_comes_on_top():
    told = Variation(camera="anywhere", company=0.0)
    with Episode("banana", 3, told) as true, Episode("banana", 3, replace(told, camera_shift=0.02)) as wrong:
        np.testing.assert_array_equal(true.observe().camera.pose, wrong.observe().camera.pose)
        off = np.linalg.norm(camera_pose(true._data, "front")[:3, 3] - camera_pose(wrong._data, "front")[:3, 3])
        assert 0.002 < off < 0.15


def test_what_is_no_place_for_a_camera_is_named(front):
    with pytest.raises(ValueError, match="camera is 'there'; it must be fixed or anywhere"):
        Variation(camera="there")
    with pytest.raises(ValueError, match=r"zoom is 9\.0; it must be 0\.3 to 3"):
        Variation(zoom=9.0)
    with pytest.raises(ValueError, match="camera front is on flange"):
        anywhere(replace(front, parent="flange"), 0)
