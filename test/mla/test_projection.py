import numpy as np
import pytest

from tristage_ros.perception.camera import CameraModel, patch_of_points, project

POSE = np.eye(4)
POSE[:3] = [
    [1.19209290e-07, -4.22617942e-01, -9.06307936e-01, 1.34999919],
    [-1.0, -5.96046448e-07, 1.49011612e-07, 3.71546562e-08],
    [-5.66244125e-07, 9.06307936e-01, -4.22617912e-01, 1.57999933],
]
# RLBench's front camera, which looks along +z with x and y mirrored, stretched to the model's image. Its principal
# point, 112 of 224, counts from the corner of a pixel, as the pixels below do; ours counts from its centre.
CORNER = 0.5
RLBENCH_FRONT = CameraModel(672, 672, 3 * -307.7174807, 3 * -307.7174807, 3 * 112 - CORNER, 3 * 112 - CORNER, POSE)


@pytest.mark.parametrize(
    ("point", "pixel", "patch"),
    [
        ((0.30, 0.02, 0.76), (350.22, 548.93), 216),
        ((0.2785, -0.03, 1.4719), (308.76, 13.82), 7),
        ((0.0, 0.3, 0.8), (514.31, 417.06), 156),
        ((0.45, -0.35, 0.77), (56.98, 618.01), 225),
        ((0.25, 0.11, 1.0), (417.76, 381.17), 153),
        ((1.2, 0.02, 1.2), (398.26, 1210.78), -1),  # below the image
    ],
)
def test_points_fall_on_the_patches_that_the_model_was_trained_with(point, pixel, patch):
    uv, _ = project(np.array([point]), RLBENCH_FRONT)
    np.testing.assert_allclose(uv[0] + CORNER, pixel, atol=0.01)
    assert patch_of_points(np.array([point]), RLBENCH_FRONT).tolist() == [patch]
