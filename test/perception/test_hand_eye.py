"""Camera calibration on rendered boards: the known mounts come back, and views that cannot tell are refused."""

from dataclasses import replace

import numpy as np
import pytest
from board_scene import BoardScene, pose, random_joints, seeing
from lenses import COEFFICIENTS, camera
from scipy.spatial.transform import Rotation

from tristage_ros.devices.arm.kinematics import forward
from tristage_ros.perception.camera import project
from tristage_ros.perception.charuco import Board, Corners
from tristage_ros.perception.extrinsics import load_extrinsics
from tristage_ros.perception.hand_eye import CalibrationError, View, calibrate
from tristage_ros.resources import resource

BOARD = Board()
MODELS = {name: seeing(name) for name in ("front", "wrist")}
PARENTS = {"front": "base_link", "wrist": "flange"}
UP = pose([0, 0, 0], [np.pi, 0, 0])  # the board's z looks into the board: down
LEANING = UP @ pose([0, 0, 0], [-0.2, 0, 0])
MIDDLE = pose([-BOARD.size[0] / 2, -BOARD.size[1] / 2, 0], [0, 0, 0])
# Beside each other on the table, leaning towards the front camera.
ON_TABLE = [
    pose([0.30 + 0.03 * k, 0.08 * (k - 1), 0.04], [0, 0, 0.3 * k - np.pi / 2]) @ LEANING @ MIDDLE for k in range(3)
]
IN_GRIPPER = pose([0, 0, 0.16], [0.2, 0.1, 0]) @ UP @ MIDDLE


@pytest.fixture(scope="module")
def truth():
    """The shipped mounts, a little off, as no drawing is ever right."""
    rng = np.random.default_rng(3)
    mounts = load_extrinsics(resource("config", "cameras.yaml"))
    return {n: m.pose @ pose(rng.normal(0, 0.01, 3), rng.normal(0, 0.03, 3)) for n, m in mounts.items()}


@pytest.fixture(scope="module")
def scene():
    made = BoardScene(BOARD)
    yield made
    made.close()


@pytest.fixture(scope="module")
def views(scene, truth):
    """Ten wrist views and one front view of each of three placements on the table."""
    rng, found = np.random.default_rng(0), []
    for placement, board in enumerate(ON_TABLE):
        found.append(View("front", placement, np.eye(4), BOARD.find(scene.see("front", truth["front"], board))))
        while sum(v.placement == placement for v in found) < 11:
            flange = forward(random_joints(rng))
            corners = BOARD.find(scene.see("wrist", flange @ truth["wrist"], board))
            if corners is not None and len(corners.ids) >= 8:
                found.append(View("wrist", placement, flange, corners))
    return found


def apart(first, second):
    """Return how far two poses are apart, in mm and degrees."""
    turn = Rotation.from_matrix(first[:3, :3].T @ second[:3, :3]).magnitude()
    return 1e3 * np.linalg.norm(first[:3, 3] - second[:3, 3]), np.rad2deg(turn)


def test_known_mounts_are_recovered_within_2_mm_and_a_fifth_of_a_degree(views, truth):
    found = calibrate(views, PARENTS, MODELS, BOARD, "base_link")
    for name, result in found.items():
        millimetres, degrees = apart(result.pose, truth[name])
        print(f"{name}: {millimetres:.2f} mm, {degrees:.3f} deg, {result.pixels:.2f} px, {result.millimetres:.2f} mm")
        assert millimetres < 2.0 and degrees < 0.2
        assert result.pixels < 0.5 and result.millimetres < 0.5


@pytest.mark.parametrize("name", COEFFICIENTS)
def test_a_lens_is_taken_out_of_the_views(truth, name):
    rng, seen, views = np.random.default_rng(2), camera(name), []
    ids = np.arange(12)
    while len(views) < 12:
        flange = forward(random_joints(rng))
        corners = BOARD.points(ids) @ ON_TABLE[0][:3, :3].T + ON_TABLE[0][:3, 3]
        pixels, _ = project(corners, seen.at(flange @ truth["wrist"]))
        if ((pixels > 0) & (pixels < (639, 479))).all():
            views.append(View("wrist", 0, flange, Corners(ids, pixels)))

    def calibrated(model):
        return calibrate(views, {"wrist": "flange"}, {"wrist": model}, BOARD, "base_link")["wrist"]

    found = calibrated(seen)
    millimetres, degrees = apart(found.pose, truth["wrist"])
    assert millimetres < 0.01 and degrees < 0.001 and found.pixels < 1e-3
    assert calibrated(replace(seen, lens=None)).pixels > 0.2, "and it does not fit without"


def test_a_board_in_the_gripper_calibrates_the_front_camera_alone(scene, truth):
    rng, views = np.random.default_rng(1), []
    while len(views) < 12:
        flange = forward(random_joints(rng, 0.8))
        corners = BOARD.find(scene.see("front", truth["front"], flange @ IN_GRIPPER))
        if corners is not None and len(corners.ids) >= 8:
            views.append(View("front", 0, flange, corners))
    found = calibrate(views, {"front": "base_link"}, MODELS, BOARD, "flange")["front"]
    millimetres, degrees = apart(found.pose, truth["front"])
    assert millimetres < 2.0 and degrees < 0.2


def test_a_corner_that_was_mistaken_does_not_spoil_the_rest(views, truth):
    spoiled = list(views)
    corners = spoiled[5].corners
    spoiled[5] = View("wrist", 0, spoiled[5].flange, type(corners)(corners.ids, corners.pixels + 25.0))
    millimetres, degrees = apart(calibrate(spoiled, PARENTS, MODELS, BOARD, "base_link")["wrist"].pose, truth["wrist"])
    assert millimetres < 2.0 and degrees < 0.2


@pytest.mark.parametrize(
    ("choose", "words"),
    [
        (lambda views: [v for v in views if v.camera == "wrist"][:3], "3 views.*at least 5"),
        (lambda views: [v for v in views if v.camera == "wrist"], "front has not seen"),
        (lambda views: [next(v for v in views if v.camera == "wrist")] * 8, "too alike"),
        (lambda views: [], "0 views"),
    ],
)
def test_views_that_cannot_tell_are_refused_with_what_they_lack(views, choose, words):
    with pytest.raises(CalibrationError, match=words):
        calibrate(choose(views), PARENTS, MODELS, BOARD, "base_link")


def test_a_front_camera_alone_needs_a_board_that_moves(views):
    with pytest.raises(CalibrationError, match="no camera moves against the board"):
        calibrate(views[:1], {"front": "base_link"}, MODELS, BOARD, "base_link")
