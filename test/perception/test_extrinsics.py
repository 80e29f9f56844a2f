from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tristage_ros.perception.extrinsics import load_extrinsics, save_extrinsics

GOOD = """
cameras:
  wrist:
    parent: flange
    translation: [0.1, -0.2, 3]
    rotation: [0.5, -0.5, 0.5, -0.5]
    simulation: {vertical_fov: 58.0}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "cameras.yaml"
    path.write_text(text)
    return path


def test_pose_is_read(tmp_path: Path) -> None:
    mounts = load_extrinsics(str(written(tmp_path, GOOD)))
    mount = mounts["wrist"]
    assert list(mounts) == ["wrist"]
    assert (mount.name, mount.parent) == ("wrist", "flange")
    assert mount.lens == "", "what camera_info says"
    # The rotation of REP-103: the optical frame's z looks along the parent's x, its x along -y, its y along -z.
    expected = [[0, 0, 1, 0.1], [-1, 0, 0, -0.2], [0, -1, 0, 3], [0, 0, 0, 1]]
    np.testing.assert_allclose(mount.pose, expected, atol=1e-12)


def test_the_lens_is_read_and_outlives_a_calibration(tmp_path: Path) -> None:
    source = written(tmp_path, GOOD.replace("    parent", "    lens: inverse_brown_conrady\n    parent"))
    mounts = load_extrinsics(source)
    save_extrinsics(tmp_path / "new.yaml", source, mounts, {"wrist": {"views": 10}})
    assert load_extrinsics(tmp_path / "new.yaml")["wrist"].lens == mounts["wrist"].lens == "inverse_brown_conrady"


def test_shipped_cameras_look_at_the_workspace() -> None:
    mounts = load_extrinsics(Path(__file__).resolve().parents[2] / "config" / "cameras.yaml")
    assert {mount.parent for mount in mounts.values()} == {"base_link", "flange"}
    front = mounts["front"].pose
    height = front[2, 3] / -front[2, 2]  # along the optical axis to the table
    on_table = front[:3, 3] + height * front[:3, 2]
    assert 0.0 < on_table[0] < 0.6
    assert abs(on_table[1]) < 0.2


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("flange", "elbow", ["parent", "'elbow'", "base_link"]),
        ("parent: flange", "pose: 1", ["parent", "None"]),
        ("[0.1, -0.2, 3]", "[0.1, -0.2]", ["translation", "3 numbers"]),
        ("[0.1, -0.2, 3]", "[0.1, -0.2, up]", ["translation", "'up'"]),
        ("[0.1, -0.2, 3]", "[0.1, .nan, 3]", ["translation", "finite"]),
        ("    rotation: [0.5, -0.5, 0.5, -0.5]\n", "", ["rotation", "None"]),
        ("[0.5, -0.5, 0.5, -0.5]", "[0, 0, 0, 0]", ["rotation", "length 0"]),
        ("[0.5, -0.5, 0.5, -0.5]", "[true, 0, 0, 0]", ["rotation", "True"]),
        ("    parent", "    lens: fisheye\n    parent", ["lens", "'fisheye'", "equidistant"]),
        ("    parent", "    lens: [1]\n    parent", ["lens", "[1]"]),
    ],
)
def test_errors_name_file_camera_and_key(tmp_path: Path, old: str, new: str, words: list[str]) -> None:
    assert old in GOOD
    path = written(tmp_path, GOOD.replace(old, new))
    with pytest.raises(ValueError) as error:
        load_extrinsics(path)
    assert all(word in str(error.value) for word in [str(path), "'wrist'", *words]), error.value


@pytest.mark.parametrize("text", ["", "[1, 2]", "cameras: {}", "cameras: [\n", "cameras: {wrist: 3}", "a: b" * 200])
def test_other_files_are_refused_in_a_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"cameras\.yaml: ") as error:
        load_extrinsics(written(tmp_path, text))
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


def test_numbers_are_read_as_ros_2_reads_them(tmp_path: Path) -> None:
    mount = load_extrinsics(written(tmp_path, GOOD.replace("[0.1, -0.2, 3]", "[1e-1, -2e-1, 3]")))["wrist"]
    np.testing.assert_allclose(mount.pose[:3, 3], [0.1, -0.2, 3.0])


@pytest.mark.parametrize("name", ["side cam", "1cam", "2", '""', "a/b", "~", "kamera-1", "größe"])
def test_a_name_that_ros_cannot_use_is_refused_by_name(tmp_path: Path, name: str) -> None:
    assert "wrist:" in GOOD
    with pytest.raises(ValueError, match=r"cameras\.yaml: .* cannot be called") as error:
        load_extrinsics(written(tmp_path, GOOD.replace("wrist:", f"{name}:")))
    assert repr(name.strip('"')) in str(error.value)


def test_two_cameras_of_one_name_are_refused(tmp_path: Path) -> None:
    entry = GOOD.partition("cameras:")[2]
    with pytest.raises(ValueError, match="wrist is there twice"):
        load_extrinsics(written(tmp_path, GOOD + entry))


def test_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_extrinsics(tmp_path / "nowhere.yaml")


def test_a_rotation_is_bit_by_bit_that_of_scipy(tmp_path: Path) -> None:
    path, draw = tmp_path / "cameras.yaml", np.random.default_rng(5)
    for _ in range(20):
        rotation = draw.normal(size=4)
        rotation = np.round(rotation / np.linalg.norm(rotation), 5)
        entry = f"{{parent: flange, translation: [0.0, 0.0, 0.0], rotation: {rotation.tolist()}}}"
        path.write_text(f"cameras: {{front: {entry}}}\n")
        expected = Rotation.from_quat(rotation).as_matrix()
        assert np.array_equal(load_extrinsics(path)["front"].pose[:3, :3], expected)
