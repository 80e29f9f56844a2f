"""`tristage dataset export` and `import`: a bag becomes a LeRobotDataset, whatever ends it, and comes back."""

import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from damage import SMALL_BAG
from lerobot_sets import MAPPING, foreign

from tristage_ros.cli import main
from tristage_ros.datasets.bagged import open_dataset
from tristage_ros.datasets.lerobot.dataset import open_lerobot


def files(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def bags(tmp_path_factory):
    """Make a folder of two runs."""
    folder = tmp_path_factory.mktemp("runs")
    for name in ("one", "two"):
        shutil.copytree(SMALL_BAG, folder / name / "bag")
    return folder


@pytest.fixture(scope="module")
def exported(bags, tmp_path_factory):
    root = tmp_path_factory.mktemp("exported") / "set"
    assert main(["dataset", "export", str(bags), "--out", str(root)]) == 0
    return root


def test_a_bag_is_exported_frame_by_frame(bags, exported):
    for made, read in zip(open_dataset(bags), open_lerobot(exported), strict=True):
        assert (read.task, read.trim, dict(read.facts)) == (made.task, made.trim, dict(made.facts))
        for one, other in zip(made.frames(), read.frames(), strict=True):
            assert (other.stamp, other.source) == (one.stamp, one.source)
            assert (other.state == one.state.astype(np.float32)).all()
            assert (other.joints == one.joints.astype(np.float32)).all()
            for camera, depth in one.depths.items():
                kept = depth <= 4.095
                assert np.abs(other.depths[camera] - depth)[kept].max() < 0.5e-3
                assert (other.depths[camera][~kept] == 0).all()
            assert list(other.images) == list(one.images)
            for camera, image in one.images.items():
                assert np.abs(other.images[camera].astype(int) - image).mean() < 4.0  # of 255


def test_import_and_export_again_change_nothing(exported, tmp_path, capsys):
    assert main(["dataset", "import", str(exported), "--out", str(tmp_path / "again")]) == 0
    assert "2 episodes" in capsys.readouterr().out
    assert files(tmp_path / "again") == files(exported)


def test_a_killed_export_leaves_whole_episodes_and_is_gone_on_with(bags, exported, tmp_path):
    root = tmp_path / "set"
    command = [sys.executable, "-m", "tristage_ros", "dataset", "export", str(bags), "--out", str(root)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and not ((root / "meta/info.json").exists() and (root / ".unfinished").exists()):
            time.sleep(0.01)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    (episode,) = open_lerobot(root)
    assert sum(1 for _ in episode.frames()) == sum(1 for _ in next(iter(open_lerobot(exported))).frames())
    assert main(["dataset", "export", str(bags), "--out", str(root), "--resume"]) == 0
    assert files(root) == files(exported)


@pytest.mark.parametrize("version", ["v3.0", "v2.1"])
def test_what_others_wrote_is_imported_by_a_mapping_and_without_one_refused(version, tmp_path, capsys):
    root, mapping, out = foreign(tmp_path / "theirs", version), tmp_path / "mapping.yaml", tmp_path / "ours"
    assert main(["dataset", "import", str(root), "--out", str(out)]) == 2
    told = capsys.readouterr().err
    assert "give --mapping" in told and "main_joint_1" in told and told.count("\n") == 1 and not out.exists()
    mapping.write_text(MAPPING)
    assert main(["dataset", "import", str(root), "--mapping", str(mapping), "--out", str(out)]) == 0
    assert [episode.facts["imported"] for episode in open_lerobot(out)] == [f"LeRobot {version}"] * 2


def test_a_folder_with_something_in_it_is_not_written_into(bags, tmp_path, capsys):
    (tmp_path / "mine").write_text("something")
    assert main(["dataset", "export", str(bags), "--out", str(tmp_path)]) == 2
    assert "is not empty; give a folder that is not there yet" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
