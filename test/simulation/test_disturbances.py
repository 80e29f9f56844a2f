"""What may disturb an episode: a depth camera's noise, and a person's hand."""

import numpy as np
import pytest

from tristage_ros.simulation.disturbances import (
    CLEAR,
    COLOR_NOISE,
    DEPTH_NOISE,
    DISPARITY_STEP,
    ENTERS,
    HOLES,
    SWAY,
    SensorNoise,
)
from tristage_ros.simulation.episode import Episode
from tristage_ros.simulation.setting import PLAIN, Variation

FLAT = np.full((480, 640), 1000, np.uint16)  # mm


def test_depth_has_the_noise_the_steps_and_the_holes_that_were_measured():
    depth = SensorNoise(0).depth(FLAT)
    seen = depth[depth > 0] * 1e-3
    assert (depth == 0).mean() == pytest.approx(HOLES, abs=0.01)
    assert np.std(seen) == pytest.approx(DEPTH_NOISE, rel=0.4)
    steps = np.diff(np.unique(seen))
    assert len(steps) and np.allclose(steps, DISPARITY_STEP, atol=0.6e-3)
    far = SensorNoise(0).depth(2 * FLAT)
    assert np.std(far[far > 0]) > 3 * np.std(depth[depth > 0])


def test_what_was_not_measured_stays_so():
    depth = FLAT.copy()
    depth[:100] = 0
    assert (SensorNoise(0).depth(depth)[:100] == 0).all()


def test_color_is_a_little_noisy_and_the_same_seed_gives_the_same_images():
    image = np.full((64, 64, 3), 128, np.uint8)
    first, second = SensorNoise(3), SensorNoise(3)
    one, other = first.color(image), second.color(image)
    assert 0.5 * COLOR_NOISE < np.std(one.astype(float)) < 2 * COLOR_NOISE
    assert np.array_equal(one, other) and not np.array_equal(first.color(image), one)


def test_a_hand_comes_in_clear_of_the_task_and_nothing_touches_it():
    with Episode("banana", 4, Variation(hand=True)) as episode:
        assert not episode.hand().any()
        before, image = {name: episode.world.pose(name) for name in ("banana", "plate")}, episode.observe().image
        episode.advance(ENTERS + 2.0)
        shown = episode.hand()
        assert shown.sum() > 1000
        palm = episode.world.pose("hand")[:2, 3]
        assert all(np.linalg.norm(pose[:2, 3] - palm) > CLEAR - SWAY for pose in before.values())
        for name, pose in before.items():
            np.testing.assert_allclose(episode.world.pose(name), pose, atol=1e-3)
        changed = (episode.observe().image != image).any(axis=2)
        assert changed[shown].mean() > 0.95 and changed[~shown].mean() < 0.02


def test_without_a_hand_none_is_seen_and_noise_leaves_holes_in_the_depth():
    with Episode("banana", 4, PLAIN) as episode:
        assert not episode.hand().any()
        clean = np.isnan(episode.observe().depth).mean()
    with Episode("banana", 4, Variation(sensor_noise=True)) as episode:
        assert np.isnan(episode.observe().depth).mean() > clean + 0.8 * HOLES
        assert len(episode.observe().points) == 1024
