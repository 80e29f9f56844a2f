"""What further cameras saw at the moment of an observation, for policies that look through more than the front one."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from tristage_ros.observing.buffer import NotReadyError
from tristage_ros.observing.messages import Message, seconds
from tristage_ros.perception.color import color_image


class Pictures:
    """Keep the newest colour images of some cameras. Safe to use from several threads."""

    def __init__(self, cameras: Iterable[str], tolerance: float) -> None:
        """Begin without any; what is within `tolerance` s belongs together."""
        self._lock, self._tolerance = threading.Lock(), tolerance
        self._images: dict[str, deque[Message]] = {camera: deque(maxlen=8) for camera in cameras}

    def add(self, camera: str, message: Message) -> None:
        """Take an image of one of the cameras."""
        with self._lock:
            self._images[camera].append(message)

    def at(self, stamp: float) -> dict[str, NDArray[np.uint8]]:
        """Return the images [H, W, 3] RGB at `stamp` (s, ROS time) by camera.

        Raises:
            NotReadyError: one is missing, or too far from that moment.
            ValueError: one is malformed.
        """
        with self._lock:
            known = {camera: list(images) for camera, images in self._images.items()}
        return {camera: self._nearest(camera, images, stamp) for camera, images in known.items()}

    def _nearest(self, camera: str, images: list[Message], stamp: float) -> NDArray[np.uint8]:
        if not images:
            raise NotReadyError(f"no image of {camera} yet")
        image = min(images, key=lambda message: abs(seconds(message.header.stamp) - stamp))
        if abs(seconds(image.header.stamp) - stamp) > self._tolerance:
            raise NotReadyError(
                f"no image of {camera} within {self._tolerance * 1e3:.0f} ms of the observation's stamp"
            )
        return color_image(image.data, image.encoding, image.height, image.width, step=image.step)
