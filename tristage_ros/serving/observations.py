"""From a client's message to an observation of the policy: every value is checked, and named where it is of no use."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tristage_ros.mla.values import Observation
from tristage_ros.perception.camera import CameraModel
from tristage_ros.perception.cloud import RgbdFrame, Workspace, build_cloud
from tristage_ros.serving.names import Names
from tristage_ros.words import one_line, shown

Floats = NDArray[np.float64]

SIDES = (32, 4096)  # pixels of an image
MOST_POINTS = 1 << 16
FARTHEST = 20.0  # m from the base: what is farther is in another unit
MOST_TURN = 4 * math.pi  # rad: larger angles are degrees
MOST_PROMPT = 500  # characters
SLACK = 0.01  # of a gripper's opening, and of what makes a matrix a rotation
DEPTH_SCALES = {"uint16": 1e-3, "float32": 1.0, "float64": 1.0}  # m per unit


class ObservationError(ValueError):
    """Say in one line what of a message is no observation."""


@dataclass(frozen=True)
class CloudSettings:
    """Hold how depth becomes the cloud that the model sees."""

    workspace: Workspace
    points: int = 1024
    stride: int = 2  # pixels


@dataclass(frozen=True)
class Request:
    """Hold what a client wants of one step."""

    observation: Observation
    prompt: str
    reset: bool


class Reader:
    """Read messages whose entries have the names that a client gives them."""

    def __init__(self, names: Names, cloud: CloudSettings) -> None:
        """Read entries by `names`, and make clouds of depths as `cloud` says."""
        self.names, self.cloud = names, cloud

    def read(self, message: Mapping[str, Any]) -> Request:
        """Return what a message wants.

        Raises:
            ObservationError: an entry is missing, of another kind, or has a value that no camera and no arm gives.
        """
        prompt = self._prompt(message)
        reset = self.names.get(message, "reset")
        if not isinstance(reset, (bool, type(None))):
            raise ObservationError(f"{self._called('reset')} is {shown(reset)}; it is to be true or false")
        image = self._image(message)
        camera = self._camera(message, image.shape[1], image.shape[0])
        state = self._state(message)
        depth = self._depth(message, image.shape[:2])
        points = self._points(message)
        if points is None:
            points = self._cloud(image, depth, camera)
        return Request(Observation(image, camera, points, state, depth), prompt, bool(reset))

    def _called(self, entry: str) -> str:
        return one_line(self.names.of[entry])

    def _entry(self, message: Mapping[str, Any], entry: str) -> Any:
        value = self.names.get(message, entry)
        if value is None:
            came = ", ".join(one_line(name, 40) for name in sorted(message)[:16]) or "nothing"
            raise ObservationError(f"{self._called(entry)} is missing; there came {came}")
        return value

    def _numbers(self, message: Mapping[str, Any], entry: str, *shapes: tuple[int, ...]) -> Floats:
        """Return an array, or numbers in lists, of one of `shapes`; all finite."""
        value = self._entry(message, entry)
        try:
            numbers = np.asarray(value)
            if numbers.dtype.kind not in "iuf":
                raise ValueError
        except (ValueError, TypeError, OverflowError):  # of texts, maps and lists of unequal lengths
            raise ObservationError(f"{self._called(entry)} is {shown(value)}; it is to be numbers") from None
        if numbers.shape not in shapes:
            wanted = " or ".join(str(list(shape)) for shape in shapes)
            raise ObservationError(f"{self._called(entry)} has the shape {list(numbers.shape)}; it is to be {wanted}")
        if not np.isfinite(numbers).all():
            raise ObservationError(f"{self._called(entry)} holds {_odd(numbers)}; it is to be finite numbers")
        return numbers.astype(np.float64)

    def _prompt(self, message: Mapping[str, Any]) -> str:
        prompt = self._entry(message, "prompt")
        if not isinstance(prompt, str):
            raise ObservationError(f"{self._called('prompt')} is {shown(prompt)}; it is to be a text")
        if len(prompt) > MOST_PROMPT:
            told = f"{self._called('prompt')} has {len(prompt)} characters; it is to have {MOST_PROMPT} at most"
            raise ObservationError(told)
        return prompt

    def _image(self, message: Mapping[str, Any]) -> NDArray[np.uint8]:
        image = self._array(message, "image")
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            odd = f" with {_odd(image)}" if not np.isfinite(image).all() else ""
            told = f"is {image.dtype} {list(image.shape)}{odd}; it is to be uint8 [H, W, 3], RGB from 0 to 255"
            raise ObservationError(f"{self._called('image')} {told}")
        low, high = SIDES
        if not all(low <= side <= high for side in image.shape[:2]):
            told = f"is {image.shape[1]}x{image.shape[0]} pixels; both sides are to be from {low} to {high}"
            raise ObservationError(f"{self._called('image')} {told}")
        return np.array(image, np.uint8)  # the message's own cannot be written, which torch complains about

    def _array(self, message: Mapping[str, Any], entry: str) -> NDArray[Any]:
        value = self._entry(message, entry)
        if not isinstance(value, np.ndarray):
            raise ObservationError(f"{self._called(entry)} is {shown(value)}; it is to be a numpy array")
        return value

    def _state(self, message: Mapping[str, Any]) -> NDArray[np.float32]:
        state = self._numbers(message, "state", (7,))
        for what, values, limit, hint in (
            ("a tool at", state[:3], FARTHEST, "m from the base: is it in mm?"),
            ("angles of", state[3:6], MOST_TURN, "rad: are they in degrees?"),
        ):
            if np.abs(values).max() > limit:
                raise ObservationError(f"{self._called('state')} has {what} {values.tolist()} {hint}")
        if not -SLACK <= state[6] <= 1 + SLACK:
            raise ObservationError(f"{self._called('state')} has a gripper of {state[6]:g}; 0 is closed, 1 is open")
        return state.astype(np.float32)

    def _camera(self, message: Mapping[str, Any], width: int, height: int) -> CameraModel:
        told = self._numbers(message, "intrinsics", (4,), (3, 3))
        fx, fy, cx, cy = told if told.shape == (4,) else told[[0, 1, 0, 1], [0, 1, 2, 2]]
        longest, (low, high) = 100.0 * max(width, height), (-0.5, 1.5)
        sound = 0 < fx < longest and 0 < fy < longest and low < cx / width < high and low < cy / height < high
        if not sound:
            found = f"fx {fx:g}, fy {fy:g}, cx {cx:g}, cy {cy:g}"
            raise ObservationError(f"{self._called('intrinsics')} {found} are not those of {width}x{height} pixels")
        pose = self._numbers(message, "camera_pose", (4, 4))
        turn = pose[:3, :3]
        rigid = np.abs(turn @ turn.T - np.eye(3)).max() < SLACK and np.linalg.det(turn) > 0
        if not rigid or np.abs(pose[3] - (0, 0, 0, 1)).max() > SLACK:
            told_pose = f"{self._called('camera_pose')} is {shown(pose.round(3).tolist())}"
            raise ObservationError(f"{told_pose}, no rotation with a place: is it a quaternion, or transposed?")
        if np.abs(pose[:3, 3]).max() > FARTHEST:
            told_place = f"{self._called('camera_pose')} is at {pose[:3, 3].tolist()}"
            raise ObservationError(f"{told_place} m from the base: is it in mm?")
        return CameraModel(width, height, float(fx), float(fy), float(cx), float(cy), pose)

    def _depth(self, message: Mapping[str, Any], size: tuple[int, ...]) -> NDArray[np.float32] | None:
        """Return depth [H, W] in m, NaN where nothing was measured; None where there is none."""
        if self.names.get(message, "depth") is None:
            return None
        depth = self._array(message, "depth")
        if depth.dtype.name not in DEPTH_SCALES or depth.shape != size:
            told = f"is {depth.dtype} {list(depth.shape)}; it is to be uint16 or float {list(size)}, as the image"
            raise ObservationError(f"{self._called('depth')} {told}")
        scale = DEPTH_SCALES[depth.dtype.name]
        if self.names.get(message, "depth_scale") is not None:
            scale = float(self._numbers(message, "depth_scale", ()))
            if not 1e-6 <= scale <= 1e3:
                raise ObservationError(f"{self._called('depth_scale')} is {scale:g}; it is to be m per unit of depth")
        with np.errstate(over="ignore", invalid="ignore"):
            metres: NDArray[np.float32] = depth.astype(np.float32) * np.float32(scale)
            metres[~((metres > 0) & (metres < np.inf))] = np.nan
        measured = metres[~np.isnan(metres)]
        if not len(measured):
            raise ObservationError(f"{self._called('depth')} has no pixel that was measured")
        if measured.min() > FARTHEST:
            told = f"is {measured.min():g} m and farther: say by {self._called('depth_scale')} what its unit is"
            raise ObservationError(f"{self._called('depth')} {told}")
        return metres

    def _points(self, message: Mapping[str, Any]) -> NDArray[np.float32] | None:
        if self.names.get(message, "points") is None:
            return None
        points = self._array(message, "points")
        if points.dtype.name not in ("float32", "float64") or points.ndim != 2 or points.shape[1] != 3:
            told = f"is {points.dtype} {list(points.shape)}; it is to be float32 or float64 [N, 3], m"
            raise ObservationError(f"{self._called('points')} {told}")
        if len(points) > MOST_POINTS:
            told = f"has {len(points)} points; it is to have {MOST_POINTS} at most: thin it"
            raise ObservationError(f"{self._called('points')} {told}")
        sound = np.isfinite(points).all(axis=1)
        if not sound.any():
            raise ObservationError(f"{self._called('points')} has no finite one among {len(points)}")
        if (far := float(np.abs(points[sound]).max())) > FARTHEST:
            raise ObservationError(f"{self._called('points')} reaches {far:g} m from the base: is it in mm?")
        return points.astype(np.float32)

    def _cloud(
        self, image: NDArray[np.uint8], depth: NDArray[np.float32] | None, camera: CameraModel
    ) -> NDArray[np.float32]:
        if depth is None:
            wanted = " or ".join(map(self._called, ("points", "depth")))
            raise ObservationError(f"{wanted} is missing: the policy sees in 3D, too")
        cloud, box = self.cloud, self.cloud.workspace
        points = build_cloud(
            [RgbdFrame(image, depth, camera, 0.0)], box, count=cloud.points, stride=cloud.stride
        ).points
        if not len(points):
            where = f"from {list(box.lower)} to {list(box.upper)} m"
            raise ObservationError(
                f"{self._called('depth')} shows nothing {where}: check {self._called('camera_pose')}"
            )
        return points


def _odd(values: NDArray[Any]) -> str:
    """Return the first number that is not finite."""
    return str(values[~np.isfinite(values)].flat[0])
