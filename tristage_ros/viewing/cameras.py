"""What the cameras saw, and what was kept of it: images, the overlay, the cloud in the overlay's colours.

A control step says of which observation it speaks by its stamp; image and cloud of that stamp are painted here, so that
nothing has to be drawn where the step is made.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tristage_ros.bags.reader import Message
from tristage_ros.observing.messages import cloud_points
from tristage_ros.perception.camera import CameraModel, patch_of_points
from tristage_ros.perception.camera_info import camera_model
from tristage_ros.perception.color import KEPT_COLORS, color_image, draw_overlay
from tristage_ros.perception.extrinsics import CameraMount
from tristage_ros.viewing.arm import transform
from tristage_ros.viewing.logger.wire import Record

Floats = NDArray[np.float64]

KEPT, CLOUD = "kept", "cell/cloud"
JPEG = (cv2.IMWRITE_JPEG_QUALITY, 80)
PLANE = 0.12  # m from a camera to where its image stands in the cell
POINT = 0.004  # m, radius
UNSEEN = (150, 150, 160)  # of points beside the front image, of which a step does not tell
REMEMBERED = 30  # messages, of which a step may speak
TOLERANCE = 50_000_000  # ns between a step and what it is about


class CameraView:
    """One camera: where it is, and what it sees."""

    def __init__(self, mount: CameraMount) -> None:
        """Begin without a lens, which the first camera_info tells."""
        self.mount = mount
        self.path = f"cell/{mount.name}"
        self.model: CameraModel | None = None

    def placed(self, flange: Floats | None, time: int | None) -> Iterator[Record]:
        """Yield the pose of the optical frame; `flange`: that of the arm, [4, 4], for a camera that is on it."""
        pose = self.mount.pose if flange is None else flange @ self.mount.pose
        yield transform(self.path, pose, time)

    def info(self, message: Any) -> Iterator[Record]:
        """Yield the camera's pinhole where it is another than before; a lens beside it is not drawn."""
        model = camera_model(message, self.mount.lens)
        if self.model is not None and np.array_equal(model.matrix, self.model.matrix):
            return
        self.model = model
        fields = {
            "image_from_camera": model.matrix,
            "resolution": [model.width, model.height],
            "image_plane_distance": PLANE,
        }
        yield Record(self.path, "Pinhole", fields)

    def image(self, message: Message) -> Record:
        """Return a colour image, compressed."""
        return encoded(f"{self.path}/image", pixels_of(message), message.header_stamp)


class KeptView:
    """What the steps kept, on the front image and on the cloud that they were about."""

    def __init__(self, front: CameraView) -> None:
        """Begin with nothing seen; `front` is the camera that the policy looks through."""
        self._front = front
        self._images: deque[Message] = deque(maxlen=REMEMBERED)
        self._clouds: deque[Message] = deque(maxlen=REMEMBERED)
        self._drawn = -1

    def remember(self, message: Message, *, cloud: bool) -> None:
        """Take a front image or a cloud, of which a step may speak."""
        (self._clouds if cloud else self._images).append(message)

    def step(self, pruning: Any, stamp: int) -> Iterator[Record]:
        """Yield the overlay and the cloud of a PruningStats whose observation is of `stamp`, ns."""
        keep_2d, keep_3d = (np.asarray(keep, np.bool_) for keep in (pruning.keep_2d, pruning.keep_3d))
        patches = np.asarray(pruning.patch_of_point, np.int64)
        image, cloud = nearest(self._images, stamp), nearest(self._clouds, stamp)
        if image is not None:
            self._drawn = stamp
            yield encoded(KEPT, draw_overlay(pixels_of(image), keep_2d, keep_3d, patches), stamp)
        if cloud is not None and self._front.model is not None:
            points = cloud_points(cloud.value)
            points = points[np.isfinite(points).all(axis=1)]
            camera = replace(self._front.model, pose=self._front.mount.pose)
            colors = cloud_colors(points, camera, keep_2d, keep_3d, patches)
            yield Record(CLOUD, "Points3D", {"positions": points, "colors": colors, "radii": [POINT]}, stamp)

    def overlay(self, message: Message) -> Iterator[Record]:
        """Yield an overlay that the policy drew, where the image it was drawn on is not known."""
        if message.header_stamp != self._drawn:
            yield encoded(KEPT, pixels_of(message), message.header_stamp)


def cloud_colors(
    points: NDArray[np.float32],
    camera: CameraModel,
    keep_2d: NDArray[np.bool_],
    keep_3d: NDArray[np.bool_],
    patch_of_token: NDArray[np.int64],
) -> NDArray[np.uint8]:
    """Return the colours [N, 3] of points [N, 3] (m, base frame): those of the overlay's patch that each is seen in.

    `keep_2d` [P], `keep_3d` [T] and `patch_of_token` [T] are those of a step.

    Raises:
        ValueError: P is not a square number, or the 3D arrays differ in length.
    """
    grid = math.isqrt(len(keep_2d))
    if grid * grid != len(keep_2d) or len(keep_3d) != len(patch_of_token):
        raise ValueError(
            f"{len(keep_2d)} 2D tokens are no square, or {len(keep_3d)} 3D tokens have not as many patches"
        )
    seen_3d = np.zeros(len(keep_2d), np.int64)
    seen_3d[patch_of_token[(patch_of_token >= 0) & keep_3d]] = 1
    kind = np.append(keep_2d + 2 * seen_3d, len(KEPT_COLORS))  # the last: what -1, beside the image, is
    palette = np.array([*KEPT_COLORS.values(), UNSEEN], np.uint8)
    return np.asarray(palette[kind[patch_of_points(points, camera, grid)]], np.uint8)


def nearest(messages: deque[Message], stamp: int) -> Message | None:
    """Return the message whose header is nearest to `stamp`, ns, None where none is near enough."""
    found = min(messages, key=lambda message: abs(message.header_stamp - stamp), default=None)
    return found if found is not None and abs(found.header_stamp - stamp) <= TOLERANCE else None


def pixels_of(message: Message) -> NDArray[np.uint8]:
    """Return an image message as [H, W, 3] RGB; raise ValueError for another encoding or data that does not fit."""
    image = message.value
    return color_image(image.data, image.encoding, image.height, image.width, step=image.step)


def encoded(path: str, pixels: NDArray[np.uint8], time: int) -> Record:
    """Return an image [H, W, 3] RGB as a JPEG."""
    _, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), JPEG)
    return Record(path, "EncodedImage", {"contents": data, "media_type": "image/jpeg"}, time)
