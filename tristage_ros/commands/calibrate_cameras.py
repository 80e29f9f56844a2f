"""The command `tristage calibrate-cameras`: a dialogue with a person who moves arm and board, then the mounts."""

from __future__ import annotations

import argparse
import os
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import rclpy
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rich.console import Console
from rich.table import Table
from sensor_msgs.msg import CameraInfo, Image, JointState
from tristage_msgs.msg import ArmStatus

from tristage_ros.devices.arm.kinematics import forward
from tristage_ros.devices.realsense.device import connected
from tristage_ros.graph.graph import environment
from tristage_ros.graph.middleware import without_images
from tristage_ros.graph.namespaces import node_arguments
from tristage_ros.perception.camera import CameraModel
from tristage_ros.perception.camera_info import camera_model
from tristage_ros.perception.charuco import Board
from tristage_ros.perception.color import color_image
from tristage_ros.perception.extrinsics import CameraMount, load_extrinsics, save_extrinsics
from tristage_ros.perception.hand_eye import Calibration, View, calibrate
from tristage_ros.resources import resource
from tristage_ros.ros import qos
from tristage_ros.ros.context import begin
from tristage_ros.ros.convert import seconds
from tristage_ros.ros.joints import JointHistory, zero_of
from tristage_ros.ros.subscriptions import Subscriptions

MARGIN = 0.010  # m of white around the printed board, at least
SUSPICIOUS = 1.0  # px; a larger error tells of a wrong board, wrong intrinsics or an arm that moved
HELP = """Enter: take a view    b: the board was moved    q: calibrate with what was taken
Move the arm by hand or with its teach button, about ten times per place of the board, and turn the wrist a lot."""


def run(options: argparse.Namespace) -> int:
    """Do what the options say; return the exit code.

    Raises:
        ValueError: the options, the cameras file or the views do not do; the message is one line for a person.
    """
    console = Console()
    if options.list:
        return _list(console)
    board = board_of(options)
    if options.print is not None:
        print_board(board, options.print)
        console.print(f"written: {options.print}; print it at 100 % and measure it: a square has {options.square:g} mm")
        return 0
    source = options.cameras_file or resource("config", "cameras.yaml")
    mounts = load_extrinsics(source)
    names = options.cameras or list(mounts)
    if unknown := [name for name in names if name not in mounts]:
        raise ValueError(f"{source} has no camera {', '.join(unknown)}; it has: {', '.join(mounts)}")
    _check_out(options.out, source)
    lenses = {name: mounts[name].lens for name in names}
    with _listening(lenses, board, node_arguments(options)) as views:
        try:
            _converse(views, console)
        except KeyboardInterrupt:
            console.print("stopped; nothing was written")
            return 130
        found = calibrate(
            views.views, {name: mounts[name].parent for name in names}, views.models, board, options.board_on
        )
    _report(console, mounts, found)
    _write(options.out, source, mounts, found)
    told = f"written: {options.out}; start the graph with cameras_file:={options.out.resolve()}"
    console.print(told, soft_wrap=True, highlight=False)
    return 0


def _check_out(out: Path, source: Path) -> None:
    """Refuse, before anything is measured, a file that could not be written or that is somebody's."""
    if not out.parent.is_dir():
        raise ValueError(f"--out {out}: there is no folder {out.parent}")
    if out.exists() and not (source.exists() and out.samefile(source)):
        raise ValueError(f"--out {out} exists already: name another file, or start from it with --cameras-file {out}")


def board_of(options: argparse.Namespace) -> Board:
    """Return the board that the options describe; raise ValueError when it cannot be."""
    squares = re.fullmatch(r"(\d+)x(\d+)", options.board)
    if squares is None:
        raise ValueError(f"--board {options.board} is not COLUMNSxROWS; write for instance 5x4")
    return Board(int(squares[1]), int(squares[2]), options.square * 1e-3, options.marker * 1e-3)


def print_board(board: Board, path: Path) -> None:
    """Write the board, true to scale, to a PDF file."""
    if path.suffix != ".pdf":
        raise ValueError(f"--print {path} does not end in .pdf, the format that keeps the scale")
    inches = [(edge + 2 * MARGIN) / 0.0254 for edge in board.size]
    page = Figure(figsize=(inches[0], inches[1]))
    left, bottom = (MARGIN / 0.0254 / edge for edge in inches)
    axes = page.add_axes((left, bottom, 1 - 2 * left, 1 - 2 * bottom))
    axes.imshow(board.image(240), cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto")
    axes.axis("off")
    page.savefig(path)


def _list(console: Console) -> int:
    cameras = connected()
    for camera in cameras:
        console.print(str(camera), highlight=False)
    if not cameras:
        console.print("no RealSense camera is connected to this machine")
    return 0 if cameras else 1


@contextmanager
def _listening(lenses: Mapping[str, str], board: Board, ros_arguments: list[str]) -> Iterator[BoardViews]:
    os.environ.update(without_images(environment()))
    begin(ros_arguments)
    views, executor = BoardViews(lenses, board), SingleThreadedExecutor()
    executor.add_node(views)

    def spin() -> None:
        with suppress(ExternalShutdownException):
            executor.spin()

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    try:
        yield views
    finally:
        executor.shutdown()
        thread.join(timeout=5.0)
        views.destroy_node()
        rclpy.try_shutdown()


def _converse(views: BoardViews, console: Console) -> None:
    console.print(HELP)
    placement = 0
    for line in sys.stdin:
        word = line.strip().lower()
        if word == "q":
            return
        if word == "b":
            placement += 1
            console.print(f"place {placement + 1} of the board")
        elif word:
            console.print(HELP)
        else:
            for name, outcome in views.take(placement).items():
                count = sum(view.camera == name for view in views.views)
                console.print(f"{name}: {outcome} ({count} views)", highlight=False)


def _report(console: Console, mounts: Mapping[str, CameraMount], found: Mapping[str, Calibration]) -> None:
    table = Table("camera", "on", "views", "error in px", "error in mm", "moved by, in mm")
    for name, result in found.items():
        moved = 1e3 * float(((result.pose[:3, 3] - mounts[name].pose[:3, 3]) ** 2).sum()) ** 0.5
        errors = f"{result.pixels:.2f}", f"{result.millimetres:.2f}", f"{moved:.1f}"
        table.add_row(name, mounts[name].parent, str(result.views), *errors)
    console.print(table)
    for name, result in found.items():
        if result.pixels > SUSPICIOUS:
            console.print(
                f"{name}: {result.pixels:.1f} px is much: measure the board, and let arm and board stand still"
            )


def _write(path: Path, source: Path, mounts: Mapping[str, CameraMount], found: Mapping[str, Calibration]) -> None:
    result = {name: replace(mounts[name], pose=calibration.pose) for name, calibration in found.items()}
    notes = {
        name: {"views": c.views, "error_px": round(c.pixels, 3), "error_mm": round(c.millimetres, 3)}
        for name, c in found.items()
    }
    save_extrinsics(path, source, result, notes)


# Views of the board, taken from running cameras and a standing arm.

OLDEST = 1.0  # s; an image that is older does not show what is there now
STILL = 0.3  # s that the arm must have stood when an image was made
MOTION = 0.002  # rad; joints that moved less in that time stood


class BoardViews(Node):
    """Listen to cameras and joint states, and keep what they show of the board."""

    def __init__(self, lenses: Mapping[str, str], board: Board) -> None:
        """Subscribe to colour images and camera_info of the cameras in `lenses`, which has what their mounts say."""
        super().__init__("calibrate_cameras")
        self._board = board
        self._images: dict[str, Image] = {}
        self._joints = JointHistory()
        self._dh_is_offset = True  # zero convention of the arm's firmware
        self._lenses = dict(lenses)
        self._refused: dict[str, str] = {}  # why there is no model
        self.models: dict[str, CameraModel] = {}
        self.views: list[View] = []
        subscriptions = Subscriptions(self)
        for name in self._lenses:
            subscriptions.add(Image, f"{name}/color/image_raw", partial(self._images.__setitem__, name), qos.NEWEST)
            subscriptions.add(CameraInfo, f"{name}/color/camera_info", partial(self._on_info, name), qos.NEWEST)
        subscriptions.add(JointState, "joint_states", self._on_joints, 10)
        subscriptions.add(ArmStatus, "arm/status", self._on_status, 1)

    def _on_info(self, name: str, message: CameraInfo) -> None:
        try:
            self.models[name] = camera_model(message, self._lenses[name], self._image(name))
        except ValueError as error:
            self._refused[name] = str(error)
            self.models.pop(name, None)

    def _image(self, name: str) -> str:
        return self.resolve_topic_name(f"{name}/color/image_raw")

    def _on_joints(self, message: JointState) -> None:
        try:
            self._joints.add(message)
        except ValueError as error:
            self.get_logger().warning(str(error), throttle_duration_sec=5.0)

    def _on_status(self, message: ArmStatus) -> None:
        self._dh_is_offset = zero_of(self, message, self._dh_is_offset)

    def take(self, placement: int) -> dict[str, str]:
        """Keep a view of every camera that sees the board now; return what became of each, for a person."""
        return {name: self._take(name, placement) for name in self._lenses}

    def _take(self, name: str, placement: int) -> str:
        message = self._images.get(name)
        if message is None:
            return f"nothing on {self._image(name)}"
        if name not in self.models:
            return self._refused.get(name, f"nothing on {self.resolve_topic_name(f'{name}/color/camera_info')}")
        stamp = seconds(message.header.stamp)
        age = self.get_clock().now().nanoseconds * 1e-9 - stamp
        if abs(age) > OLDEST:
            return f"its image is {age:.1f} s old"
        joints = self._standing(stamp)
        if isinstance(joints, str):
            return joints
        try:
            color = color_image(message.data, message.encoding, message.height, message.width, step=message.step)
        except ValueError as error:
            return str(error)
        corners = self._board.find(color)
        if corners is None:
            return "does not see enough of the board"
        self.views.append(View(name, placement, forward(joints[:6], self._dh_is_offset), corners))
        return f"{len(corners.ids)} corners"

    def _standing(self, stamp: float) -> NDArray[np.float64] | str:
        before, now = self._joints.at(stamp - STILL), self._joints.at(stamp)
        if before is None or now is None:
            return f"no joint states of its moment on {self.resolve_topic_name('joint_states')}"
        if np.abs(now - before)[:6].max() > MOTION:
            return "the arm was moving; let it stand and try again"
        return now
