"""Observations: what no camera, no arm and no person says is named in a line."""

import numpy as np
import pytest

from serving.served_policy import DOWN, WORKSPACE, message_of
from tristage_ros.serving.names import Names, load_names
from tristage_ros.serving.observations import CloudSettings, ObservationError, Reader

READER = Reader(Names(), CloudSettings(WORKSPACE, 64))
IMAGE, POINTS = np.zeros((48, 64, 3), np.uint8), np.full((64, 3), 0.3, np.float32)
DEPTH, STATE = np.full((48, 64), 0.6, np.float32), np.array([0.3, 0.0, 0.2, 3.1, 0.3, -3.1, 0.5])
TURN = np.array([0.0, 0.0, 1.0, 0.0])


def changed(array, place, value):
    array = array.copy()
    array[place] = value
    return array


BAD = [
    ({"image": None}, "observation/image is missing; there came observation/camera_pose, "),
    ({"image": IMAGE.astype(np.float32)}, r"float32 \[48, 64, 3\]; it is to be uint8"),
    ({"image": changed(IMAGE.astype(np.float32), (0, 0), np.nan)}, "with nan; it is to be uint8"),
    ({"image": IMAGE.transpose(2, 0, 1)}, r"uint8 \[3, 48, 64\]"),
    ({"image": IMAGE[..., 0]}, r"uint8 \[48, 64\]"),
    ({"image": IMAGE[:8]}, "64x8 pixels; both sides are to be from 32 to 4096"),
    ({"image": np.zeros((32, 5000, 3), np.uint8)}, "5000x32 pixels"),
    ({"image": [[1, 2, 3]]}, "it is to be a numpy array"),
    ({"points": None, "depth": None}, "observation/points or observation/depth is missing"),
    ({"points": np.full((64, 3), np.nan, np.float32)}, "no finite one among 64"),
    ({"points": POINTS.astype(np.float16)}, "points is float16"),
    ({"points": POINTS.astype(np.int32)}, "points is int32"),
    ({"points": POINTS[:, :2]}, r"points is float32 \[64, 2\]"),
    ({"points": POINTS * 1000}, "reaches 300 m from the base: is it in mm"),
    ({"points": np.zeros((70_000, 3), np.float32)}, "70000 points; it is to have 65536 at most"),
    ({"points": "many"}, "points is 'many'"),
    ({"depth": DEPTH[:40]}, r"depth is float32 \[40, 64\]; it is to be uint16 or float \[48, 64\]"),
    ({"depth": DEPTH.astype(np.uint8)}, "depth is uint8"),
    ({"depth": DEPTH * np.nan}, "no pixel that was measured"),
    ({"depth": DEPTH * 0}, "no pixel that was measured"),
    ({"depth": DEPTH * 1000}, "is 600 m and farther: say by observation/depth_scale what its unit is"),
    ({"depth_scale": 0.0}, "depth_scale is 0"),
    ({"depth_scale": "mm"}, "depth_scale is 'mm'"),
    ({"points": None, "camera_pose": changed(DOWN, (2, 3), 9.0)}, r"shows nothing from \[0.0, -0.5, -0.1\]"),
    ({"intrinsics": None}, "intrinsics is missing"),
    ({"intrinsics": [50.0, 50.0, 31.5]}, r"intrinsics has the shape \[3\]; it is to be \[4\] or \[3, 3\]"),
    ({"intrinsics": [0.0, 50.0, 31.5, 23.5]}, "fx 0, fy 50, cx 31.5, cy 23.5 are not those of 64x48 pixels"),
    ({"intrinsics": [50.0, 50.0, 319.5, 239.5]}, "are not those of 64x48 pixels"),
    ({"intrinsics": [50.0, 50.0, float("inf"), 23.5]}, "intrinsics holds inf"),
    ({"camera_pose": TURN}, r"camera_pose has the shape \[4\]"),
    ({"camera_pose": DOWN.T}, "no rotation with a place"),
    ({"camera_pose": changed(DOWN, (0, slice(3)), 0.0)}, "no rotation with a place"),
    ({"camera_pose": changed(DOWN, (0, 3), 300.0)}, "m from the base: is it in mm"),
    ({"state": STATE[:6]}, r"state has the shape \[6\]; it is to be \[7\]"),
    ({"state": changed(STATE, 2, np.nan)}, "state holds nan"),
    ({"state": changed(STATE, 0, 300.0)}, "is it in mm"),
    ({"state": changed(STATE, 3, 178.0)}, "are they in degrees"),
    ({"state": changed(STATE, 6, 80.0)}, "a gripper of 80; 0 is closed, 1 is open"),
    ({"state": [[1], [2, 3]]}, "it is to be numbers"),
    ({"state": {"x": 1}}, "it is to be numbers"),
    ({"state": [10**400] * 7}, "it is to be numbers"),
    ({"prompt": None}, "prompt is missing"),
    ({"prompt": 5}, "prompt is 5; it is to be a text"),
    ({"prompt": ["a", "b"]}, "it is to be a text"),
    ({"prompt": "x" * 501}, "501 characters; it is to have 500 at most"),
    ({"reset": "yes"}, "reset is 'yes'; it is to be true or false"),
]


@pytest.mark.parametrize(("changes", "words"), BAD)
def test_what_is_no_observation_is_named(changes, words):
    with pytest.raises(ObservationError, match=words) as refused:
        READER.read(message_of(0, **changes))
    assert str(refused.value).isprintable() and len(str(refused.value)) < 400


def test_other_kinds_of_the_same_are_taken():
    whole = READER.read(message_of(0)).observation
    matrix = [[50.0, 0.0, 31.5], [0.0, 50.0, 23.5], [0.0, 0.0, 1.0]]
    state = [float(value) for value in message_of(0)["observation/state"]]
    points = message_of(0)["observation/points"].astype(np.float64)
    other = READER.read(
        message_of(0, intrinsics=matrix, state=state, points=points, camera_pose=DOWN.tolist())
    ).observation
    assert (other.state == whole.state).all() and (other.points == whole.points).all()
    assert other.camera.fx == whole.camera.fx and (other.camera.pose == whole.camera.pose).all()
    holes = READER.read(message_of(0, points=changed(points, 3, np.nan))).observation
    assert np.isnan(holes.points[3]).all()  # the policy drops and counts them


def test_a_file_of_names_is_read(tmp_path):
    file = tmp_path / "names.yaml"
    file.write_text("image: cam/top\nintrinsics: [50, 50, 31.5, 23.5]\ndepth_scale: 0.001\n")
    names = load_names(file)
    assert (names.of["image"], names.of["state"], names.of["prompt"]) == ("cam/top", "observation/state", "prompt")
    assert names.fixed == {"intrinsics": [50, 50, 31.5, 23.5], "depth_scale": 0.001}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("picture: a", "an observation has no picture; it has image, points"),
        ("image: 5", "image: 5 is to be a name"),
        ("intrinsics: {}", "intrinsics: {} is to be a name, or the value that it always has"),
        ("image: observation/state", "two entries are called observation/state"),
        ("- image", "not names by entries"),
    ],
)
def test_a_file_of_something_else_is_named(tmp_path, text, words):
    file = tmp_path / "names.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=words) as refused:
        load_names(file)
    assert str(refused.value).startswith(str(file))
