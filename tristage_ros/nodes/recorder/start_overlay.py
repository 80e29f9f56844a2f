"""The start picture of an episode laid over the live image, so that a person sets the scene as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image

from tristage_ros.bags.episodes.pictures import blended, read_picture
from tristage_ros.perception.color import color_image
from tristage_ros.ros import qos
from tristage_ros.ros.convert import image_message, seconds
from tristage_ros.ros.qos import sending

PERIOD = 0.1  # s between two of them, at least


class StartOverlay:
    """Publish `~/start_overlay` while somebody listens."""

    def __init__(self, node: Node, chosen: Callable[[], Path | None]) -> None:
        """Create the publisher; `chosen` returns which picture is laid over, None where there is none."""
        self._node, self._chosen = node, chosen
        self._publisher = node.create_publisher(Image, "~/start_overlay", qos.IMAGES)
        self._due = 0.0  # s, stamp
        self._picture: tuple[Path | None, NDArray[np.uint8] | None] = (None, None)

    def wanted(self) -> bool:
        """Return whether somebody listens."""
        return bool(self._publisher.get_subscription_count())

    def show(self, data: bytes) -> None:
        """Lay the picture over a serialised image, unless one was published just before."""
        message = deserialize_message(data, Image)
        stamp = seconds(message.header.stamp)
        if 0.0 <= stamp - self._due < PERIOD:
            return
        self._due = stamp
        live = image_of(message)
        start = self._start()
        shown = live if start is None else blended(start, live)
        with sending(self._node, "start overlay"):
            self._publisher.publish(image_message(shown, "rgb8", stamp, message.header.frame_id))

    def _start(self) -> NDArray[np.uint8] | None:
        path = self._chosen()
        if path != self._picture[0]:
            self._picture = path, read_picture(path) if path else None
        return self._picture[1]


def image_of(message: Image) -> NDArray[np.uint8]:
    """Return an image message as [H, W, 3] RGB; raise ValueError where it is none that is read here."""
    return color_image(message.data, message.encoding, message.height, message.width, step=message.step)
