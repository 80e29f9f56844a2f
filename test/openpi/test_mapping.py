"""Maps of policies: what a person writes, and what is said about a mistake."""

import numpy as np
import pytest
import yaml

from tristage_ros.openpi.mapping import MapError, map_file, read_map
from tristage_ros.openpi.questions import Moment, padded, question

JOINTS = np.array([0.1, 1.2, -1.1, 0.2, 0.9, -0.3, 0.035])
COLOR = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)


def moment(**changes):
    images = {"front": COLOR, "wrist": COLOR[:, ::-1]}
    return Moment(**({"stamp": 1.0, "images": images, "joints": JOINTS} | changes))


def shipped(name="joints"):
    return yaml.safe_load(map_file(name).read_text())


def written(folder, content):
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump(content))
    return read_map(path)


@pytest.mark.parametrize(
    ("name", "width", "shapes"),
    [
        ("tristage", 8, {"observation.images.front": (224, 224, 3), "observation.state": (7,)}),
        ("joints", 7, {"observation/wrist_image": (224, 224, 3), "observation/state": (7,)}),
        ("libero", 7, {"observation/image": (224, 224, 3), "observation/state": (8,)}),
        ("aloha", 14, {"state": (14,)}),
    ],
)
def test_what_is_shipped_tells_what_its_layout_has(name, width, shapes):
    mapped = read_map(map_file(name))
    asked = question(mapped, moment(), "close the box")
    assert mapped.width == width and asked["prompt"] == "close the box"
    assert {key: asked[key].shape for key in shapes} == shapes
    assert all(
        value.dtype == np.uint8 for key, value in asked.items() if "image" in key and not isinstance(value, dict)
    )


def test_aloha_has_its_pictures_in_a_map_of_their_own_channels_first():
    asked = question(read_map(map_file("aloha")), moment(), "")
    assert {name: image.shape for name, image in asked["images"].items()} == {
        "cam_high": (3, 224, 224), "cam_left_wrist": (3, 224, 224)
    }  # fmt: skip
    np.testing.assert_allclose(asked["state"], [*JOINTS[:6], 0.5, *7 * [0.0]])
    assert asked["state"].dtype == np.float64


def test_units_and_the_gripper_are_theirs(tmp_path):
    content = shipped()
    content["observation"]["state"][0]["parts"] = [
        {"joints": {"unit": "deg"}},
        {"position": {"unit": "mm"}},
        {"rotation": {"as": "quaternion_wxyz"}},
        {"gripper": {"closed": 1.0, "open": -1.0}},
    ]
    state = question(written(tmp_path, content), moment(), "")["observation/state"]
    np.testing.assert_allclose(state[:6], np.degrees(JOINTS[:6]), rtol=1e-5)
    np.testing.assert_allclose(state[6:9], 1e3 * moment().tool[:3, 3], rtol=1e-5)
    assert np.linalg.norm(state[9:13]) == pytest.approx(1.0, abs=1e-6) and state[9] >= 0.0
    assert state[13] == pytest.approx(0.0, abs=1e-6)  # half open


@pytest.mark.parametrize(("height", "width", "inside"), [(32, 32, (24, 32)), (48, 32, (24, 32)), (96, 128, (96, 128))])
def test_a_picture_is_padded_and_not_distorted(height, width, inside):
    image = padded(np.full((48, 64, 3), 200, np.uint8), height, width)
    rows, columns = np.nonzero(image[..., 0])
    assert image.shape == (height, width, 3)
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == inside
    assert abs(rows.min() - (height - 1 - rows.max())) <= 1  # in the middle


def test_pictures_are_near_those_that_openpi_resizes():
    pil = pytest.importorskip("PIL.Image")
    smooth = np.asarray(pil.fromarray(COLOR).resize((480, 360), pil.BICUBIC))
    theirs = np.asarray(pil.fromarray(smooth).resize((224, 168), pil.BILINEAR))
    assert np.abs(padded(smooth, 224, 224)[28:196].astype(int) - theirs).mean() < 2.0


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("action", "columns"), [{"joints": {"unit": "rad", "of": "absolute"}}], "columns of action are joints; write"),
        (
            ("action", "columns", 0),
            {"joints": {"unit": "grad", "of": "absolute"}},
            "unit of joints of action is 'grad'",
        ),
        (("action", "columns", 0), {"joints": {"unit": "rad", "of": "arm"}}, "of of joints of action is 'arm'"),
        (("action", "columns", 0), {"wheels": {}}, "there is no wheels of action"),
        (("action", "columns", 1), {"gripper": {"closed": 1, "open": 1}}, "are both 1"),
        (("action", "rate"), 0.01, "0.1 Hz or more"),
        (("action", "rate"), "fast", "rate of action"),
        (("action", "execute"), 1000, "execute of action, steps is 1000; write a number from 1 to 256"),
        (("action", "horizon"), 10, "action has no 'horizon'"),
        (("observation", "images", 0, "size"), 224, r"size of the image of front is 224; write \[height, width\]"),
        (("observation", "images", 0, "order"), "bgr", "order of the image of front is 'bgr'"),
        (("observation", "state", 0, "parts", 0), {"joints": {}}, "joints of observation/state is {}"),
        (("observation", "state", 0, "dtype"), "int8", "dtype of observation/state is 'int8'"),
        (("observation", "prompt"), "", "the key of prompt"),
        (("metadata",), [1], "metadata is"),
        (("observation",), None, "observation is None"),
    ],
)
def test_a_mistake_is_told_with_the_key_and_what_to_write(tmp_path, place, value, words):
    content = shipped()
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with pytest.raises(MapError, match=words):
        written(tmp_path, content)


def test_a_map_that_is_none_is_named():
    with pytest.raises(MapError, match="'liberty'; there are: aloha, joints, libero, tristage"):
        map_file("liberty")
    with pytest.raises(MapError, match="nowhere"):
        map_file("/nowhere/map.yaml")
