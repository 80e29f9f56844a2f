"""Two buttons in the air: where they may be, that both are seen, and that neither shape nor size tells the height."""

import numpy as np
import pytest

from tristage_ros.simulation.buttons import APART, HEIGHTS, NAMES, RADII, RISE, SHIFT, TRAVEL, X, Y, draw
from tristage_ros.simulation.episode import Episode
from tristage_ros.simulation.sensing import FRONT
from tristage_ros.simulation.setting import Variation

EYE = np.array([0.9, 0.0, 0.6])


@pytest.fixture(scope="module")
def layouts():
    rng = np.random.default_rng(0)
    return [draw(rng, EYE) for _ in range(150)]


def test_layouts_are_spread_over_what_they_may_be(layouts):
    first, then = (np.array([getattr(layout, name) for layout in layouts]) for name in ("first", "then"))
    radii = np.array([layout.radii for layout in layouts])
    low, high = np.array([(X[0], Y[0], HEIGHTS[0]), (X[1], Y[1], HEIGHTS[1])])
    for places in (first, then):
        assert (places >= low).all() and (places <= high).all()
        assert (np.abs(np.diff(places[:, :, 1])) >= APART).all()
        spread = places.reshape(-1, 3).max(0) - places.reshape(-1, 3).min(0)
        assert (spread > 0.85 * (high - low)).all()
    assert RADII[0] <= radii.min() < 1.1 * RADII[0] and 0.9 * RADII[1] < radii.max() <= RADII[1]
    shift = then - first
    assert np.linalg.norm(shift[..., :2], axis=2).max() <= SHIFT and np.abs(shift[..., 2]).max() <= RISE
    assert np.abs(shift[..., 2]).max() > 0.8 * RISE


def test_size_does_not_tell_height(layouts):
    heights = np.concatenate([layout.first[:, 2] for layout in layouts])
    radii = np.concatenate([layout.radii for layout in layouts])
    assert abs(np.corrcoef(heights, np.log(radii))[0, 1]) < 0.2  # 3.5 standard errors


@pytest.mark.parametrize("camera", ["fixed", "anywhere"])
def test_both_are_seen_at_first(camera):
    with Episode("button", 0, Variation(camera=camera)) as episode:
        for seed in range(910_000, 910_004):
            episode.reset(seed)
            observation, shown = episode.observe(), episode._look_through().segment(episode._data, FRONT)
            for name in NAMES:
                cap, top = episode._model.geom(f"{name}_cap"), episode.world.pose(name)[:3, 3]
                far = np.linalg.norm(top - observation.camera.pose[:3, 3])
                flat = (observation.camera.pose[2, 3] - top[2]) / far  # of a disc that lies, as the camera sees it
                area = np.pi * (cap.size[0] * observation.camera.fx / far) ** 2 * flat
                assert (shown == cap.id).sum() > 0.75 * area, (seed, name)
                off = observation.points - top
                on_it = (np.linalg.norm(off[:, :2], axis=1) < cap.size[0] + 0.004) & (np.abs(off[:, 2]) < 0.012)
                assert on_it.any(), (seed, name)


def test_one_shape_in_every_size():
    ratios = []
    with Episode("button", 0) as episode:
        for seed in range(910_000, 910_004):
            episode.reset(seed)
            for name in NAMES:
                sizes = [episode._model.geom(f"{name}_{part}").size for part in ("cap", "drum", "beam")]
                ratios.append([sizes[0][1], *sizes[1][:2], sizes[2][0]] / sizes[0][0])
    np.testing.assert_allclose(ratios, np.broadcast_to(ratios[0], np.shape(ratios)), rtol=1e-6)


def test_a_cap_that_nobody_presses_stays_up():
    with Episode("button", 0) as episode:
        episode.advance(2.0)
        for name in NAMES:
            assert abs(episode.world.angle(f"{name}_cap")) < 0.1 * TRAVEL
