import numpy as np
import pytest
import torch
from PIL import Image

from tristage_ros.mla.inputs import patch_colors, patch_depths, preprocess, sample_cloud, stretch
from tristage_ros.mla.normalisation import DatasetStatistics
from tristage_ros.pruning import PruningConfig

STATISTICS = DatasetStatistics.tabletop()


@pytest.mark.parametrize("shape", [(24, 24), (48, 64), (480, 640), (10, 7)])
def test_stretching_is_pillows_bicubic(shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(image).resize((24, 24), Image.Resampling.BICUBIC), np.int16)
    assert np.abs(stretch(image, 24).numpy().astype(np.int16) - expected).max() <= 1


def test_images_may_go_through_the_size_that_training_kept_them_at(observation, tiny_config):
    seen = observation()
    image = preprocess(seen, STATISTICS, tiny_config(image_squash=8)).image
    assert torch.equal(image, stretch(stretch(seen.image, 8).numpy(), 24))
    assert torch.equal(preprocess(seen, STATISTICS, tiny_config()).image, stretch(seen.image, 24))


@pytest.mark.parametrize("watched", [{}, {"change_guard": 0.1}, {"change_guard_depth": 0.1}])
def test_means_of_patches_are_taken_as_far_as_a_guard_watches_them(observation, tiny_config, watched):
    frame = preprocess(observation(), STATISTICS, tiny_config(), PruningConfig(**watched)).frame
    assert (frame.color_mean is not None) is ("change_guard" in watched)
    assert (frame.depth_mean is not None) is ("change_guard_depth" in watched)


def test_cloud_of_the_right_size_stays():
    points = np.random.default_rng(0).random((64, 3)).astype(np.float32)
    cloud, dropped = sample_cloud(points, 64)
    assert cloud.tolist() == points.tolist() and dropped == 0


def test_a_small_cloud_is_repeated_without_its_holes():
    points = np.array([[1, 2, 3], [np.nan, 0, 0], [4, 5, 6], [0, np.inf, 0]], np.float32)
    cloud, dropped = sample_cloud(points, 5)
    assert dropped == 2
    assert cloud[:, 0].tolist() == [1, 4, 1, 4, 1]


def test_a_large_cloud_is_thinned_evenly():
    points = np.random.default_rng(0).random((500, 3)).astype(np.float32)
    cloud, _ = sample_cloud(points, 64)
    nearest = torch.cdist(cloud, cloud).fill_diagonal_(9).min()
    assert cloud.shape == (64, 3) and float(nearest) > 0.1


def test_patch_means():
    image = np.zeros((32, 48, 3), np.uint8)
    image[16:, 24:] = (255, 51, 0)
    np.testing.assert_allclose(patch_colors(image, 2), [[0, 0, 0]] * 3 + [[1, 0.2, 0]], atol=1e-6)
    depth = np.full((32, 48), 0.5, np.float32)
    depth[:8, :24], depth[16:, :24], depth[16:20] = np.nan, 0, 1.5
    means = patch_depths(depth, 2)
    assert means.tolist() == pytest.approx([0.5, 0.5, 1.5, 0.75])
    assert patch_depths(np.zeros((32, 48), np.float32), 2).isnan().all()
    assert patch_depths(None, 2) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": np.zeros((48, 64), np.uint8)}, r"\[48, 64\]"),
        ({"image": np.zeros((48, 64, 4), np.uint8)}, r"\[48, 64, 4\]"),
        ({"image": np.zeros((48, 64, 3), np.float32)}, "float32"),
        ({"image": np.zeros((24, 64, 3), np.uint8), "depth": None}, "64x24"),
        ({"depth": np.zeros((24, 32), np.float32)}, r"\[24, 32\]"),
        ({"points": np.zeros((5, 6), np.float32)}, r"\[5, 6\]"),
        ({"points": np.zeros((0, 3), np.float32)}, "none of the 0 points"),
        ({"points": np.full((7, 3), np.nan, np.float32)}, "none of the 7 points"),
        ({"state": np.zeros(6, np.float32)}, "state"),
        ({"state": np.full(7, np.nan, np.float32)}, "state"),
    ],
)
def test_bad_observations_are_refused(observation, tiny, change, message):
    with pytest.raises(ValueError, match=message):
        preprocess(observation(**change), STATISTICS, tiny.config)
