"""The banana and its plate on stands: heights of the scene, and an expert that goes by them."""

import numpy as np
import pytest

from tristage_ros.simulation.episode import Episode
from tristage_ros.simulation.tasks.stack import HIGHEST


@pytest.fixture(scope="module")
def episode():
    with Episode("stack", 0) as episode:
        yield episode


def test_things_stand_on_their_stands_at_every_height(episode):
    heights = []
    for seed in range(930_000, 930_025):
        episode.reset(seed)
        truth = episode.truth()
        heights.append([truth["plate_stand"], truth["banana_stand"]])
        assert episode.world.pose("plate")[2, 3] == pytest.approx(truth["plate_stand"], abs=1e-9)
        assert episode.world.pose("banana")[2, 3] == pytest.approx(truth["banana_stand"] + 0.016, abs=4e-3)
        np.testing.assert_allclose(
            episode.world.pose("banana")[:2, 3], episode.world.pose("banana_stand")[:2, 3], atol=6e-3
        )
    heights = np.array(heights)
    assert heights.min() >= 0.0 and heights.max() <= HIGHEST
    assert (np.ptp(heights, axis=0) > 0.7 * HIGHEST).all()
    assert abs(np.corrcoef(heights.T)[0, 1]) < 0.6


def test_the_tool_goes_by_the_heights_of_the_stands(episode):
    seeds = range(930_000, 930_025)
    by_stage = {}
    for seed in sorted(seeds, key=lambda seed: episode.reset(seed) or episode.truth()["banana_stand"])[
        :: len(seeds) - 1
    ]:
        episode.reset(seed)
        frame, stand = episode.key_frame(), episode.truth()["banana_stand"]
        by_stage.setdefault(frame.stage, []).append((stand, frame.position[2] - stand))
    ((low, under), (high, over)) = by_stage["above"]
    assert high - low > 0.05 and under == pytest.approx(over, abs=1e-6)


def test_a_banana_beside_its_stand_is_fetched_from_the_table(episode):
    episode.reset(930_003)
    while episode.key_frame().stage != "over plate":
        episode.step(episode.expert())
    stand = episode.world.pose("banana_stand")[:3, 3]
    away = episode.world.tool[:3, 3] - stand
    assert episode.key_frame().position[2] > episode.truth()["plate_stand"] + 0.14
    action = episode.expert()
    toward = np.array([0.30, 0.0]) - stand[:2]
    action.translation[0] = [*(0.12 * toward / np.linalg.norm(toward) - away[:2]), -0.02]
    action.gripper[:] = 1.0
    episode.step(action)
    while not episode.finished:
        episode.step(episode.expert())
    assert episode.success()
