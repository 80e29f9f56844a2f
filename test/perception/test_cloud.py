from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from tristage_ros.perception.camera import CameraModel
from tristage_ros.perception.cloud import RgbdFrame, Workspace, build_cloud, deproject, sample, thin

EVERYWHERE = Workspace((-50, -50, -50), (50, 50, 50))
NO_COLOR = np.zeros((0, 0, 3), np.uint8)


def looking(rotation: Rotation, translation: tuple[float, float, float]) -> CameraModel:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation.as_matrix(), translation
    return CameraModel(64, 48, 60.0, 55.0, 31.8, 24.3, pose)


def plane_seen(camera: CameraModel, height: float) -> RgbdFrame:
    """Return the frame in which `camera` sees nothing but the plane z = `height` of the base frame."""
    u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(u.shape)], axis=2)
    depth = (height - camera.pose[2, 3]) / (rays @ camera.pose[2, :3])
    return RgbdFrame(NO_COLOR, np.where(depth > 0, depth, np.nan).astype(np.float32), camera, 1.0)


DOWN = Rotation.from_euler("x", 160, degrees=True)
ASIDE = Rotation.from_euler("zx", [70, 150], degrees=True)


def test_deprojection_inverts_the_camera() -> None:
    camera = looking(ASIDE, (0.3, -0.2, 0.9))
    depth = np.full((48, 64), np.nan, np.float32)
    depth[11, 37] = 0.8
    local = [(37 - camera.cx) / camera.fx * 0.8, (11 - camera.cy) / camera.fy * 0.8, 0.8]
    expected = camera.pose[:3, :3] @ local + camera.pose[:3, 3]
    np.testing.assert_allclose(deproject(depth, camera, EVERYWHERE), expected[None], atol=1e-6)


def test_two_cameras_see_one_plane() -> None:
    frames = [plane_seen(looking(DOWN, (0.0, 0.1, 1.0)), 0.05), plane_seen(looking(ASIDE, (0.2, 0.0, 0.7)), 0.05)]
    cloud = build_cloud(frames, EVERYWHERE, count=100_000, stride=1, voxel=0.0)
    seen = sum(int(np.isfinite(frame.depth).sum()) for frame in frames)
    assert len(cloud.points) == seen > 3000
    np.testing.assert_allclose(cloud.points[:, 2], 0.05, atol=2e-6)


def test_stamp_is_that_of_the_first_frame() -> None:
    frame = plane_seen(looking(DOWN, (0, 0, 1)), 0.0)
    frames = [replace(frame, stamp=3.5), replace(frame, stamp=2.5), replace(frame, stamp=3.0)]
    assert build_cloud(frames, EVERYWHERE).stamp == 3.5


@pytest.mark.parametrize("stride", [1, 2, 3, 7])
def test_stride_takes_whole_pixels(stride: int) -> None:
    frame = plane_seen(looking(DOWN, (0, 0, 1)), 0.0)
    full = deproject(frame.depth, frame.camera, EVERYWHERE).reshape(48, 64, 3)
    thinned = deproject(frame.depth, frame.camera, EVERYWHERE, stride)
    np.testing.assert_allclose(thinned, full[::stride, ::stride].reshape(-1, 3), atol=1e-6)


@pytest.mark.parametrize("depth", [np.nan, 100.0])
def test_nothing_inside_gives_an_empty_cloud(depth: float) -> None:
    camera = looking(DOWN, (0, 0, 1))
    frame = RgbdFrame(NO_COLOR, np.full((48, 64), depth, np.float32), camera, 4.0)
    cloud = build_cloud([frame], EVERYWHERE)
    assert cloud.points.shape == (0, 3)
    assert cloud.points.dtype == np.float32
    assert cloud.stamp == 4.0


def test_few_points_are_returned_as_they_are() -> None:
    points = np.arange(30, dtype=np.float32).reshape(10, 3)
    np.testing.assert_array_equal(sample(points, 10), points)


def test_real_frames_give_1024_finite_points_inside_the_crop(real_frames) -> None:
    frames = [real_frames[0].frame, real_frames[4].frame]
    center = np.median(deproject(frames[0].depth, frames[0].camera, EVERYWHERE), axis=0)
    box = Workspace(tuple(center - 0.4), tuple(center + 0.4))
    cloud = build_cloud(frames, box, count=1024)
    assert cloud.points.shape == (1024, 3)
    assert cloud.points.dtype == np.float32
    assert ((cloud.points >= box.lower) & (cloud.points <= box.upper)).all()
    assert len(np.unique(cloud.points, axis=0)) == 1024
    np.testing.assert_array_equal(cloud.points, build_cloud(frames, box, count=1024).points)
    # Nothing that either camera saw lies far from the sample: 1024 points over this crop are about 3 cm apart.
    full = np.concatenate([deproject(frame.depth, frame.camera, box) for frame in frames])
    apart, _ = cKDTree(cloud.points).query(full)
    assert len(full) > 50_000
    assert np.quantile(apart, 0.99) < 0.03
    assert apart.max() < 0.06


def test_real_frames_of_two_places_agree(real_frames) -> None:
    first, last = (deproject(real_frames[i].frame.depth, real_frames[i].frame.camera, EVERYWHERE, 4) for i in (0, 4))
    apart, _ = cKDTree(first).query(last)
    assert np.median(apart) < 0.015, "the same wall, seen twice, lies in the same place within sensor noise"


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(np.float32, st.tuples(st.integers(0, 300), st.just(3)), elements=st.floats(-1, 1, width=32)),
    st.sampled_from([0.01, 0.1, 0.5]),
)
def test_thinning_empties_no_cube(points: np.ndarray, voxel: float) -> None:
    thinned = thin(points, voxel)
    cubes, left = (np.floor(p * np.float32(1 / voxel)).astype(int) for p in (points, thinned))
    assert {*map(tuple, left)} == {*map(tuple, cubes)}
    assert {*map(tuple, thinned)} <= {*map(tuple, points)}


def test_thinning_leaves_about_one_point_per_cube() -> None:
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (50_000, 3)).astype(np.float32)
    cubes = len(np.unique(np.floor(points * np.float32(20)), axis=0))
    assert cubes <= len(thin(points, 0.05)) <= 1.01 * cubes


@pytest.mark.parametrize(
    ("lower", "upper"),
    [((0, 0, 0), (1, 0, 1)), ((0, 2, 0), (1, 1, 1)), ((0, 0, np.nan), (1, 1, 1)), ((-np.inf, 0, 0), (1, 1, 1))],
)
def test_empty_workspace_is_refused(lower, upper) -> None:
    with pytest.raises(ValueError, match="empty"):
        Workspace(lower, upper)


def test_depth_that_does_not_fit_its_camera_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(10, 10\).*64x48"):
        deproject(np.ones((10, 10), np.float32), looking(DOWN, (0, 0, 1)), EVERYWHERE)
    with pytest.raises(ValueError, match="at least one frame"):
        build_cloud([], EVERYWHERE)
