from __future__ import annotations

import numpy as np

from tristage_ros.perception.camera import CameraModel, project


def test_scaling_keeps_the_place_in_the_image() -> None:
    camera = CameraModel(640, 480, 610.0, 605.0, 318.2, 243.9)
    points = np.random.default_rng(0).uniform([-0.3, -0.3, 0.5], [0.3, 0.3, 2.0], (50, 3))
    stretched = camera.scaled(224, 168 * 2)
    uv, _ = project(points, camera)
    again, _ = project(points, stretched)
    np.testing.assert_allclose((again + 0.5) / (224, 336), (uv + 0.5) / (640, 480))
