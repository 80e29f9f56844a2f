from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from tristage_ros.perception.camera import CameraModel, patch_of_points, project, projection_matrix
from tristage_ros.perception.cloud import Workspace, deproject

EVERYWHERE = Workspace((-50, -50, -50), (50, 50, 50))


def camera_640() -> CameraModel:
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("xyz", [100, -20, 40], degrees=True).as_matrix()
    pose[:3, 3] = 0.9, -0.1, 0.6
    return CameraModel(640, 480, 610.0, 605.0, 318.2, 243.9, pose)


def point_at(camera: CameraModel, u: float, v: float, depth: float) -> np.ndarray:
    local = np.array([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, 1.0]) * depth
    return camera.pose[:3, :3] @ local + camera.pose[:3, 3]


def test_projection_of_deprojected_pixels_returns_the_pixels(real_frames) -> None:
    frame = real_frames[2].frame
    points = deproject(frame.depth, frame.camera, EVERYWHERE)
    uv, depth = project(points, frame.camera)
    v, u = np.nonzero(np.isfinite(frame.depth))
    np.testing.assert_allclose(uv, np.stack([u, v], axis=1), atol=2e-3)
    np.testing.assert_allclose(depth, frame.depth[v, u], atol=1e-5)
    np.testing.assert_array_equal(patch_of_points(points, frame.camera), v // 30 * 16 + u // 40)


@given(st.floats(-0.49, 639.49), st.floats(-0.49, 479.49), st.floats(0.1, 5.0))
def test_projection_inverts_the_camera(u: float, v: float, depth: float) -> None:
    uv, seen = project(point_at(camera_640(), u, v, depth)[None], camera_640())
    np.testing.assert_allclose(uv[0], [u, v], atol=1e-6)
    np.testing.assert_allclose(seen, [depth])


@pytest.mark.parametrize(
    ("u", "v", "depth", "patch"),
    [
        (-0.4, -0.4, 1.0, 0),  # the top left pixel's outer corner
        (39.4, 0.0, 1.0, 0),  # the last pixel column of patch column 0 is 39 and ends at 39.5
        (39.6, 0.0, 1.0, 1),
        (0.0, 29.4, 1.0, 0),
        (0.0, 29.6, 1.0, 16),
        (639.4, 479.4, 1.0, 255),
        (-0.6, 5.0, 1.0, -1),
        (639.6, 5.0, 1.0, -1),
        (5.0, -0.6, 1.0, -1),
        (5.0, 479.6, 1.0, -1),
        (320.0, 240.0, -1.0, -1),  # behind
    ],
)
def test_patch_boundaries(u: float, v: float, depth: float, patch: int) -> None:
    camera = camera_640()
    assert patch_of_points(point_at(camera, u, v, depth)[None], camera).tolist() == [patch]


def test_patches_are_those_of_the_stretched_image() -> None:
    camera, points = camera_640(), np.random.default_rng(0).uniform(-3, 3, (3000, 3))
    patches = patch_of_points(points, camera)
    np.testing.assert_array_equal(patches, patch_of_points(points, camera.scaled(224, 224)))
    assert patches.dtype == np.int64
    assert len(np.unique(patches)) > 30


def test_the_projection_is_a_matrix_into_widths_and_heights_of_the_image() -> None:
    camera, points = camera_640(), np.random.default_rng(0).uniform(-3, 3, (300, 3))
    uv, depth = project(points, camera)
    seen = np.column_stack([points, np.ones(300)]) @ projection_matrix(camera).T
    np.testing.assert_allclose(seen[:, 2], depth)
    front = depth > 0.05
    places = (seen[:, :2] / seen[:, 2:])[front]
    np.testing.assert_allclose(places, (uv[front] + 0.5) / (640, 480), atol=1e-9)
    np.testing.assert_allclose(projection_matrix(camera.scaled(224, 224)), projection_matrix(camera))


@pytest.mark.parametrize("point", [[np.nan, 0, 0], [0.9, -0.1, 0.6]])
def test_points_without_a_place_in_the_image(point: list[float]) -> None:
    assert patch_of_points(np.array([point]), camera_640()).tolist() == [-1]


def test_no_points() -> None:
    assert patch_of_points(np.zeros((0, 3)), camera_640()).shape == (0,)
