"""Where cameras are mounted, from views of one board: hand-eye calibration, then the least reprojection error of all.

Every view ties together a camera, the arm's flange and the board:
    board in camera = inv(camera in its parent) . inv(its parent in base) . (board's parent in base) . (board in parent)
where each parent is the base or the flange. Camera and board on different parents are found by OpenCV's hand-eye
calibration; what shares a parent with the board follows from a camera that does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from tristage_ros.perception.camera import CameraModel
from tristage_ros.perception.charuco import Board, Corners

Pose = NDArray[np.float64]  # [4, 4]
Parent = Literal["base_link", "flange"]
FEWEST_VIEWS = 5
LEAST_TURN = np.deg2rad(15.0)  # about the second of two axes; less leaves the camera's place open
NO_DISTORTION = np.zeros(5)  # the lens has been seen to
OUTLIER = 1.0  # px; an error that is larger counts less than by its square


@dataclass(frozen=True)
class View:
    """Hold what one camera saw of the board."""

    camera: str
    placement: int  # views with the same number saw the board at the same place in its parent
    flange: Pose  # in the base frame, m
    corners: Corners


@dataclass(frozen=True)
class Calibration:
    """Hold the result for one camera."""

    pose: Pose  # optical frame in its parent, m
    views: int
    pixels: float  # px, root mean square of the reprojection error
    millimetres: float  # mm, the same at the distance of the board


class CalibrationError(ValueError):
    """Say what the views lack; the message is one line for a person."""


def calibrate(
    views: Sequence[View],
    parents: Mapping[str, Parent],
    models: Mapping[str, CameraModel],
    board: Board,
    board_on: Parent,
) -> dict[str, Calibration]:
    """Return the mount of every camera in `parents`, by name; `board_on` is what the board is fixed to.

    Raises:
        CalibrationError: there are too few views, they are too alike, or a camera is not tied to the others.
    """
    problem = _Problem(views, parents, models, board, board_on)
    cameras, boards = problem.start()
    return problem.refine(cameras, boards)


class _Problem:
    """Hold the views and what is known of the cameras."""

    def __init__(
        self,
        views: Sequence[View],
        parents: Mapping[str, Parent],
        models: Mapping[str, CameraModel],
        board: Board,
        board_on: Parent,
    ) -> None:
        self.views, self.parents, self.models, self.board, self.board_on = views, parents, models, board, board_on
        self.seen = [_board_in_camera(view.corners, models[view.camera], board) for view in views]

    def start(self) -> tuple[dict[str, Pose], dict[int, Pose]]:
        """Return a first estimate of the cameras and of the board's placements."""
        cameras = {name: self._hand_eye(name) for name, parent in self.parents.items() if parent != self.board_on}
        if not cameras:
            raise CalibrationError(
                f"no camera moves against the board: with the board on {self.board_on}, "
                "views of a camera on the other of base_link and flange are needed"
            )
        boards: dict[int, Pose] = {}
        for view, seen in zip(self.views, self.seen, strict=True):
            if view.camera in cameras:
                boards.setdefault(view.placement, self._offset(view) @ cameras[view.camera] @ seen)
        for name in self.parents:
            if name not in cameras:
                cameras[name] = self._beside(name, boards)
        return cameras, boards

    def _offset(self, view: View) -> Pose:
        """Return the parent of the view's camera in the parent of the board."""
        parent = self.parents[view.camera]
        if parent == self.board_on:
            return np.eye(4)
        return view.flange if parent == "flange" else np.asarray(np.linalg.inv(view.flange), np.float64)

    def _hand_eye(self, name: str) -> Pose:
        placements = [view.placement for view in self.views if view.camera == name]
        most = max(set(placements), key=placements.count, default=None)
        chosen = [
            (self._offset(view), seen)
            for view, seen in zip(self.views, self.seen, strict=True)
            if view.camera == name and view.placement == most
        ]
        _require_turns(name, [offset for offset, _ in chosen])
        offsets, boards = [offset for offset, _ in chosen], [seen for _, seen in chosen]
        rotation, translation = cv2.calibrateHandEye(
            [pose[:3, :3] for pose in offsets],
            [pose[:3, 3] for pose in offsets],
            [pose[:3, :3] for pose in boards],
            [pose[:3, 3] for pose in boards],
            method=cv2.CALIB_HAND_EYE_PARK,
        )
        return _pose(rotation, translation)

    def _beside(self, name: str, boards: Mapping[int, Pose]) -> Pose:
        """Return a camera that shares the board's parent, from a placement that another camera has seen."""
        for view, seen in zip(self.views, self.seen, strict=True):
            if view.camera == name and view.placement in boards:
                return boards[view.placement] @ np.linalg.inv(seen)
        raise CalibrationError(
            f"camera {name} has not seen the board where another camera saw it too; put it where both see it"
        )

    def refine(self, cameras: Mapping[str, Pose], boards: Mapping[int, Pose]) -> dict[str, Calibration]:
        """Return the mounts with the least reprojection error over all views of known placements."""
        used = [view for view in self.views if view.placement in boards]
        start = np.concatenate([_vector(pose) for pose in (*cameras.values(), *boards.values())])

        def unpack(vector: NDArray[np.float64]) -> tuple[dict[str, Pose], dict[int, Pose]]:
            poses = [_from_vector(part) for part in vector.reshape(-1, 6)]
            count = len(cameras)
            return dict(zip(cameras, poses, strict=False)), dict(zip(boards, poses[count:], strict=True))

        def errors(vector: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.concatenate([self._errors(view, *unpack(vector))[0].ravel() for view in used])

        solution = least_squares(errors, start, loss="soft_l1", f_scale=OUTLIER)
        poses, placed = unpack(solution.x)
        return {name: self._result(name, [v for v in used if v.camera == name], poses, placed) for name in cameras}

    def _errors(
        self, view: View, cameras: Mapping[str, Pose], boards: Mapping[int, Pose]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the errors [N, 2] px of a view's corners, and the same in mm at the corner's distance."""
        model = self.models[view.camera]
        seen = np.linalg.inv(self._offset(view) @ cameras[view.camera]) @ boards[view.placement]
        points = self.board.points(view.corners.ids) @ seen[:3, :3].T + seen[:3, 3]
        pixels = _pixels(points, model) - view.corners.pixels
        return pixels, 1e3 * pixels * points[:, 2:] / (model.fx, model.fy)

    def _result(
        self, name: str, views: Sequence[View], cameras: Mapping[str, Pose], boards: Mapping[int, Pose]
    ) -> Calibration:
        pairs = [self._errors(view, cameras, boards) for view in views]
        pixels, millimetres = (_root_mean_square(part) for part in zip(*pairs, strict=True))
        return Calibration(cameras[name], len(views), pixels, millimetres)


def _pixels(points: NDArray[np.float64], model: CameraModel) -> NDArray[np.float64]:
    """Return where points [N, 3] (m, optical frame) are in the image, [N, 2] px."""
    if model.lens is not None:
        points = np.column_stack([model.lens.distort(points[:, :2] / points[:, 2:]), np.ones(len(points))])
    projected, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), model.matrix, NO_DISTORTION)
    return np.asarray(projected.reshape(-1, 2), np.float64)


def _board_in_camera(corners: Corners, model: CameraModel, board: Board) -> Pose:
    pixels = corners.pixels
    if model.lens is not None:
        focal, centre = np.array([model.fx, model.fy]), np.array([model.cx, model.cy])
        pixels = model.lens.undistort((pixels - centre) / focal) * focal + centre
    found, turn, place = cv2.solvePnP(
        board.points(corners.ids), pixels, model.matrix, NO_DISTORTION, flags=cv2.SOLVEPNP_IPPE
    )
    if not found:
        raise CalibrationError("the board's pose cannot be told from its corners; is its size right?")
    return _pose(cv2.Rodrigues(turn)[0], place)


def _require_turns(name: str, offsets: Sequence[Pose]) -> None:
    if len(offsets) < FEWEST_VIEWS:
        raise CalibrationError(
            f"camera {name} has {len(offsets)} views of one placement of the board; take at least {FEWEST_VIEWS}"
        )
    turns = Rotation.from_matrix([offsets[0][:3, :3].T @ pose[:3, :3] for pose in offsets]).as_rotvec()
    spread = float(np.linalg.svd(turns, compute_uv=False)[1])
    if spread < LEAST_TURN:
        raise CalibrationError(
            f"the views of camera {name} are too alike: turn the flange by more than {np.rad2deg(LEAST_TURN):.0f} "
            f"degrees about two different axes between them (so far {np.rad2deg(spread):.0f} about the second)"
        )


def _root_mean_square(parts: Iterable[NDArray[np.float64]]) -> float:
    return float(np.sqrt((np.concatenate(list(parts)) ** 2).sum(axis=1).mean()))


def _pose(rotation: NDArray[np.float64], translation: NDArray[np.float64]) -> Pose:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, np.ravel(translation)
    return pose


def _vector(pose: Pose) -> NDArray[np.float64]:
    return np.concatenate([Rotation.from_matrix(np.array(pose[:3, :3])).as_rotvec(), pose[:3, 3]])


def _from_vector(vector: NDArray[np.float64]) -> Pose:
    return _pose(Rotation.from_rotvec(vector[:3]).as_matrix(), vector[3:])
