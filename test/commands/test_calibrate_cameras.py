"""`tristage calibrate-cameras` on cameras that see a rendered board: the dialogue, the refusals, the file."""

import argparse
import io
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import rclpy
from board_scene import START, BoardScene, pose, random_joints, seeing
from camera_source import CameraSource
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState

from tristage_ros.cli import main
from tristage_ros.commands import calibrate_cameras
from tristage_ros.commands.calibrate_cameras import STILL
from tristage_ros.commands.options import add_calibrate_cameras_options
from tristage_ros.devices.arm.kinematics import forward
from tristage_ros.perception.charuco import Board
from tristage_ros.perception.extrinsics import load_extrinsics
from tristage_ros.perception.lens import Lens
from tristage_ros.resources import resource
from tristage_ros.ros.convert import camera_info_message, header, seconds
from tristage_ros.ros.joints import ARM_JOINTS, GRIPPER_JOINT

NAMES = ("front", "wrist")
BOARD = Board()
UP, MIDDLE = pose([0, 0, 0], [np.pi, 0, 0]), pose([-BOARD.size[0] / 2, -BOARD.size[1] / 2, 0], [0, 0, 0])
ON_TABLE = [
    pose([0.33, y, 0.04], [0, 0, -np.pi / 2]) @ UP @ pose([0, 0, 0], [-0.2, 0, 0]) @ MIDDLE for y in (-0.06, 0.06)
]


def options(*words):
    parser = argparse.ArgumentParser()
    add_calibrate_cameras_options(parser)
    return parser.parse_args(words)


class Cell:
    """Publish what both cameras see and where the arm stands, again and again, from a process of its own as it were."""

    def __init__(self, truth):
        self.truth, self.scene, self.context = truth, BoardScene(BOARD), rclpy.Context()
        rclpy.init(args=[], context=self.context)
        self.node = Node("cell", context=self.context)
        self.sources = {}
        for name in NAMES:
            self.sources[name] = CameraSource(self.node, name, seeing(name))
        self.joints, self.since = START, 0.0
        self.images = {}
        self._stop, self._lock = threading.Event(), threading.Lock()
        self.encoding = "rgb8"
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def show(self, joints, board):
        """Move arm and board; tell whether the wrist camera sees the board well."""
        mounts = {"front": self.truth["front"], "wrist": forward(joints) @ self.truth["wrist"]}
        images = {name: self.scene.see(name, mounts[name], board) for name in NAMES}
        seen = BOARD.find(images["wrist"])
        with self._lock:
            self.images, self.joints, self.since = images, joints, time.time()
        return seen is not None and len(seen.ids) >= 8

    def _run(self):
        while not self._stop.wait(0.05):
            with self._lock:
                now, joints, images = time.time(), self.joints, dict(self.images)
                message = JointState(header=header(now, "base_link"), name=[*ARM_JOINTS, GRIPPER_JOINT])
                message.position = [*map(float, joints), 0.05]
                self.sources["front"].joints.publish(message)
                for name, image in images.items():
                    self.sources[name].publish_info(now)
                    self.sources[name].publish_color(image, self.encoding, stamp=now)

    def close(self):
        self._stop.set()
        self._thread.join()
        self.node.destroy_node()
        self.context.try_shutdown()
        self.scene.close()


@pytest.fixture
def truth():
    mounts = load_extrinsics(resource("config", "cameras.yaml"))
    return {name: mount.pose @ pose([0.012, -0.008, 0.005], [0.02, 0.03, -0.02]) for name, mount in mounts.items()}


@pytest.fixture
def cell(ros_domain, truth):
    made = Cell(truth)
    yield made
    made.close()


@pytest.fixture
def listening(monkeypatch):
    """Let the test see the node that the command makes."""
    made = []

    class Watched(calibrate_cameras.BoardViews):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            made.append(self)

    monkeypatch.setattr(calibrate_cameras, "BoardViews", Watched)
    return made


def seen_since(views, moment):
    """Wait until the command has images and joint states that are younger than `moment`."""
    end = time.monotonic() + 60.0
    while time.monotonic() < end:
        stamps = [seconds(image.header.stamp) for image in views._images.values()]
        if len(stamps) == 2 and len(views.models) == 2 and min(*stamps, views._joints.newest) > moment:
            return
        time.sleep(0.02)
    raise AssertionError("the command heard nothing")


def person(cell, listening, views_per_place):
    """Do what the help says, as a person would."""
    rng = np.random.default_rng(0)
    for place, board in enumerate(ON_TABLE):
        if place:
            yield "b\n"
        taken = 0
        while taken < views_per_place:
            if cell.show(random_joints(rng), board):
                seen_since(listening[0], cell.since + 2 * STILL)
                taken += 1
                yield "\n"
    yield "q\n"


def test_the_dialogue_recovers_the_mounts_and_writes_the_file(cell, truth, listening, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sys, "stdin", person(cell, listening, 6))
    path = tmp_path / "mine.yaml"
    assert calibrate_cameras.run(options("--out", str(path))) == 0
    found = load_extrinsics(path)
    for name in NAMES:
        assert np.linalg.norm(found[name].pose[:3, 3] - truth[name][:3, 3]) < 0.002
        turn = np.arccos(np.clip((np.trace(found[name].pose[:3, :3].T @ truth[name][:3, :3]) - 1) / 2, -1, 1))
        assert np.rad2deg(turn) < 0.2
    assert [mount.parent for mount in found.values()] == ["base_link", "flange"]
    text = path.read_text()
    assert "vertical_fov" in text and "error_px" in text  # what was there before, and how good it is
    said = capsys.readouterr().out
    assert "error in px" in said and "error in mm" in said and f"cameras_file:={path}" in said


def test_an_arm_that_moves_and_a_camera_that_is_silent_or_not_read_are_told(
    cell, listening, monkeypatch, capsys, tmp_path
):
    def hasty():
        cell.show(START, ON_TABLE[0])
        seen_since(listening[0], cell.since + 2 * STILL)
        cell.show(START + 0.1, ON_TABLE[0])
        seen_since(listening[0], cell.since)
        yield "\n"
        cell.encoding = "nv12"
        seen_since(listening[0], time.time() + 2 * STILL)
        yield "\n"
        cell.images = {}
        time.sleep(2.0)
        yield "\n"
        yield "q\n"

    monkeypatch.setattr(sys, "stdin", hasty())
    with pytest.raises(ValueError, match="0 views"):
        calibrate_cameras.run(options("--out", str(tmp_path / "mine.yaml")))
    said = capsys.readouterr().out
    assert "moving" in said and "s old" in said and "'nv12' is not supported" in said
    assert not (tmp_path / "mine.yaml").exists()


def test_the_lens_of_the_cameras_file_is_used_and_one_that_cannot_be_is_what_the_dialogue_says(ros_domain):
    info = camera_info_message(replace(seeing("front"), lens=Lens("fisheye", (0.1,) * 8)), 1.0)
    rclpy.init(args=[])
    try:
        views = calibrate_cameras.BoardViews({"front": "", "wrist": "rational_polynomial"}, BOARD)
        for name in NAMES:
            views._on_info(name, info)
        views._images["front"] = Image()
        assert "no lens model 'fisheye'" in views.take(0)["front"]
        assert views.models["wrist"].lens == Lens("rational_polynomial", (0.1,) * 8)
        views.destroy_node()
    finally:
        rclpy.try_shutdown()


def test_without_a_camera_that_is_said(ros_domain, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "stdin", io.StringIO("\nq\n"))
    assert main(["calibrate-cameras", "--out", str(tmp_path / "mine.yaml")]) == 2
    captured = capsys.readouterr()
    assert "nothing on /front/color/image_raw" in captured.out
    assert captured.err.startswith("error: camera wrist has 0 views") and captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--board", "five"], "COLUMNSxROWS"),
        (["--square", "20"], "36 mm do not fit squares of 20 mm"),
        (["--cameras", "rear"], "no camera rear"),
        (["--print", "board.png"], "board.png does not end in .pdf"),
        (["--cameras-file", "/nowhere/cameras.yaml"], "/nowhere/cameras.yaml"),
    ],
)
def test_bad_input_is_one_line_that_names_it(words, complaint, capsys):
    assert main(["calibrate-cameras", *words]) == 2
    error = capsys.readouterr().err
    assert complaint in error and error.count("\n") == 1


def test_the_printed_board_is_true_to_scale(tmp_path, capsys):
    path = tmp_path / "board.pdf"
    assert main(["calibrate-cameras", "--print", str(path)]) == 0
    box = path.read_bytes().split(b"/MediaBox [")[1].split(b"]")[0].split()
    millimetres = [float(edge) / 72 * 25.4 for edge in box[2:]]
    assert millimetres == pytest.approx([240 + 20, 192 + 20], abs=0.1)  # 5 x 48 mm, 4 x 48 mm and the margins
