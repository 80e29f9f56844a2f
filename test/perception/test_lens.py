"""Lenses against OpenCV, there and back, and in everything that is made of rays."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from board_scene import pose
from lenses import COEFFICIENTS, WIDE, camera
from scipy.optimize import fsolve

from tristage_ros.perception import raycast
from tristage_ros.perception.camera import CameraModel, patch_of_points, project, projection_matrix
from tristage_ros.perception.cloud import RgbdFrame, Workspace, deproject
from tristage_ros.perception.lens import Lens
from tristage_ros.perception.lens_models import COUNTS, EQUIDISTANT, INVERSE, PLUMB_BOB, RATIONAL
from tristage_ros.perception.raycast import Solids, cast
from tristage_ros.perception.surfaces import measured_points

EVERYWHERE = Workspace((-50, -50, -50), (50, 50, 50))
NO_COLOR = np.zeros((0, 0, 3), np.uint8)
LOOKING = pose([0.3, 0.1, 0.9], [2.8, 0.3, 0.1])
PLANE = 0.05  # m, base frame
every_lens = pytest.mark.parametrize("name", COEFFICIENTS)
of_opencv = pytest.mark.parametrize("name", [name for name, (model, _) in COEFFICIENTS.items() if model != INVERSE])


def by_opencv(points, seen: CameraModel):
    """Return where OpenCV sees points [N, 3] of the optical frame."""
    of = cv2.fisheye if seen.lens.model == EQUIDISTANT else cv2
    coefficients = np.array(seen.lens.coefficients)
    return of.projectPoints(points[:, None], np.zeros(3), np.zeros(3), seen.matrix, coefficients)[0][:, 0]


def in_words(points, seen: CameraModel):
    """Return where a point is seen, as librealsense says: the radial part first, then the tangential of that."""
    k1, k2, p1, p2, k3 = seen.lens.coefficients
    x, y = (points[:, :2] / points[:, 2:]).T
    r2 = x * x + y * y
    radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    x, y = x * radial, y * radial
    u = x + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    v = y + 2 * p2 * x * y + p1 * (r2 + 2 * y * y)
    return np.column_stack([u, v]) * (seen.fx, seen.fy) + (seen.cx, seen.cy)


def true_rays(seen: CameraModel, pixels):
    """Return what is seen at pixels [N, 2] by solving for it, one by one."""
    where = in_words if seen.lens.model == INVERSE else by_opencv

    def ray(pixel):
        return fsolve(lambda xy: where(np.array([[*xy, 1.0]]), seen)[0] - pixel, (pixel - (320, 240)) / 436, xtol=1e-12)

    return np.array([ray(pixel) for pixel in pixels])


def sampled():
    u, v = np.meshgrid([*range(0, 640, 70), 639], [*range(0, 480, 53), 479])
    return np.stack([u.ravel(), v.ravel()], axis=1)


def test_there_is_a_camera_of_every_model_and_count():
    assert {(m, len(c)) for m, c in COEFFICIENTS.values()} >= {(m, max(counts)) for m, counts in COUNTS.items()}


@every_lens
def test_points_are_seen_where_opencv_sees_them(name):
    seen = camera(name).at(LOOKING)
    rays = np.random.default_rng(0).uniform([-0.7, -0.5], [0.7, 0.5], (500, 2))
    local = np.column_stack([rays, np.ones(500)]) * np.linspace(0.2, 2.0, 500)[:, None]
    uv, depth = project(local @ LOOKING[:3, :3].T + LOOKING[:3, 3], seen)
    expected = in_words(local, seen) if seen.lens.model == INVERSE else by_opencv(local, seen)
    np.testing.assert_allclose(uv, expected, atol=1e-6)
    np.testing.assert_allclose(depth, local[:, 2])


@of_opencv
def test_rays_are_those_of_opencv(name):
    seen = camera(name)
    pixels = sampled().astype(float)
    undistort = cv2.fisheye.undistortPoints if seen.lens.model == EQUIDISTANT else cv2.undistortPoints
    expected = undistort(pixels[:, None], seen.matrix, np.array(seen.lens.coefficients))[:, 0]
    u, v = pixels.astype(int).T
    np.testing.assert_allclose(seen.rays()[:, v, u].T * seen.fx, expected * seen.fx, atol=0.05)  # it stops early


@every_lens
def test_every_pixel_comes_back_from_its_ray(name):
    seen = camera(name)
    v, u = np.mgrid[0:480, 0:640]
    rays = seen.rays().reshape(2, -1).T
    uv, _ = project(np.column_stack([rays, np.ones(len(rays))]), seen)
    assert np.abs(uv - np.stack([u.ravel(), v.ravel()], axis=1)).max() < 0.05
    np.testing.assert_array_equal(seen.rays(4), seen.rays()[:, ::4, ::4])


@every_lens
@pytest.mark.parametrize("stride", [1, 2])
def test_a_plane_is_where_it_is_within_a_tenth_of_a_millimetre(name, stride):
    seen = camera(name).at(LOOKING)
    pixels = sampled() // stride * stride
    rays = np.column_stack([true_rays(seen, pixels), np.ones(len(pixels))]) @ LOOKING[:3, :3].T
    z = (PLANE - LOOKING[2, 3]) / rays[:, 2]
    depth = np.full((480, 640), np.nan, np.float32)
    depth[pixels[:, 1], pixels[:, 0]] = z
    points = deproject(depth, seen, EVERYWHERE, stride)
    expected = LOOKING[:3, 3] + z[:, None] * rays
    ordered = expected[np.lexsort(pixels.T)]
    np.testing.assert_allclose(points, ordered, atol=1e-4)
    np.testing.assert_allclose(measured_points(RgbdFrame(NO_COLOR, depth, seen, 0.0), stride), ordered, atol=1e-4)
    ignored = deproject(depth, replace(seen, lens=None), EVERYWHERE, stride)
    assert np.abs(ignored - ordered).max() > 2e-3, "and without its lens it is not"


@every_lens
def test_a_point_falls_into_the_patch_of_the_image_that_came(name):
    seen = camera(name)
    rays = seen.rays()[:, 15::30, 20::40].reshape(2, -1).T  # of the middle of every patch
    patches = patch_of_points(np.column_stack([rays, np.ones(256)]), seen, 16)
    np.testing.assert_array_equal(patches, np.arange(256))


@pytest.mark.parametrize("name", ["plumb_bob", "inverse_brown_conrady"])
def test_what_is_far_outside_is_not_seen_though_the_polynomial_brings_it_back(name):
    seen = camera(name)
    far = np.array([[0.0, np.tan(angle), 1.0] for angle in np.deg2rad(np.arange(45, 90, 0.25))])
    assert (seen.lens.distort(far[:, :2]) * 435 + 241 < 479).all(axis=1).any()  # it does
    assert (patch_of_points(far, seen) == -1).all()


def test_pixels_that_see_nothing_are_left_out_and_an_image_of_them_is_no_image():
    wide = CameraModel(640, 480, 150.0, 150.0, 320.0, 240.0, lens=Lens.of(EQUIDISTANT, (1e-4, 0.0, 0.0, 0.0)))
    wide.check()
    points = deproject(np.full((480, 640), 0.5, np.float32), wide, EVERYWHERE)
    assert np.isfinite(points).all() and 170_000 < len(points) < 175_000  # inside of 90 degrees
    folded = CameraModel(640, 480, 435.0, 435.0, 320.0, 240.0, lens=Lens.of(PLUMB_BOB, (-30.0, 0.1, 0.0, 0.0)))
    with pytest.raises(ValueError, match=r"plumb_bob with \[-30.0, .*9\d % of 640x480"):
        folded.check()


@every_lens
def test_solids_are_seen_in_the_windows_that_they_are_looked_for_in(name, monkeypatch):
    seen = camera(name).at(LOOKING)
    rng = np.random.default_rng(1)
    poses = np.stack([pose([*rng.uniform([0, -0.3], [0.6, 0.5]), 0.2], rng.normal(size=3)) for _ in range(12)])
    solids = Solids(poses, rng.uniform(0.02, 0.06, (12, 3)), rng.integers(0, 2, 12).astype(bool))
    found = cast(solids, seen, 4)
    monkeypatch.setattr(raycast, "_window", lambda *_: (slice(None), slice(None)))
    whole = cast(solids, seen, 4)
    np.testing.assert_array_equal(found.solid, whole.solid)
    np.testing.assert_allclose(found.depth, whole.depth)
    assert len(np.unique(found.solid)) > 8


@pytest.mark.parametrize(
    ("model", "count"), [(PLUMB_BOB, 5), (PLUMB_BOB, 0), (RATIONAL, 8), ("", 0), ("unheard_of", 3)]
)
def test_nothing_but_zeros_is_no_lens(model, count):
    assert Lens.of(model, [0.0] * count) is None


def test_zeros_behind_the_coefficients_say_nothing():
    assert Lens.of(PLUMB_BOB, (*WIDE, 0.0, 0.0, 0.0)) == Lens.of(PLUMB_BOB, WIDE)
    assert Lens.of(EQUIDISTANT, (0.1, 0.2, 0.0, 0.0, 0.0)) == Lens.of(EQUIDISTANT, (0.1, 0.2, 0.0, 0.0))


@pytest.mark.parametrize(
    ("model", "coefficients", "words"),
    [
        ("fisheye", WIDE, "'fisheye'; known: plumb_bob, rational_polynomial, equidistant, inverse_brown_conrady"),
        (PLUMB_BOB, (*WIDE, 0.1, 0.1, 0.1), "plumb_bob with 8 coefficients, which has 4 or 5"),
        (EQUIDISTANT, WIDE, "equidistant with 5 coefficients, which has 4"),
        (RATIONAL, (0.1, 0.2), "rational_polynomial with 2 coefficients, which has 4 or 5 or 8 or 12 or 14"),
        (PLUMB_BOB, (0.1, np.nan, 0.0, 0.0, 0.0), r"\[0.1, nan, .*not calibrated"),
        (PLUMB_BOB, (np.inf, 0.0, 0.0, 0.0, 0.0), "inf.*not calibrated"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(model, coefficients, words):
    with pytest.raises(ValueError, match=words):
        Lens.of(model, coefficients)


def test_no_matrix_is_the_projection_of_a_lens():
    with pytest.raises(ValueError, match=r"the lens of front distorts: rectify"):
        projection_matrix(replace(camera("plumb_bob"), frame_id="front"))
